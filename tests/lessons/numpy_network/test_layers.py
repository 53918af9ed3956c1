"""Each layer of the NumPy network, forward and backward, against PyTorch in float64."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lensmith.lessons.numpy_network.activations import Relu, Sigmoid, Tanh
from lensmith.lessons.numpy_network.convolution import NumpyConvolution, col2im, im2col
from lensmith.lessons.numpy_network.dense import Dense, Flatten
from lensmith.lessons.numpy_network.in_pytorch import in_pytorch
from lensmith.lessons.numpy_network.layer import NumpyLayer
from lensmith.lessons.numpy_network.network import NumpyNetwork
from lensmith.lessons.numpy_network.pooling import NumpyAveragePool, NumpyMaxPool
from lensmith.lessons.numpy_network.softmax import numpy_cross_entropy, numpy_softmax


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


LAYERS = {
    "a convolution": lambda: NumpyConvolution(drawn(4, 3, 3, 3), drawn(4)),
    "stride and padding": lambda: NumpyConvolution(drawn(4, 3, 5, 5), drawn(4), stride=2, padding=2),
    "a dilated one, whose last pixels no window reaches": lambda: NumpyConvolution(
        drawn(2, 3, 3, 3), drawn(2), stride=3, padding=1, dilation=2),
    "1 x 1": lambda: NumpyConvolution(drawn(4, 3, 1, 1), drawn(4)),
    "max pool": lambda: NumpyMaxPool(2, stride=2),
    "overlapping max pool": lambda: NumpyMaxPool(3, stride=2, padding=1),
    "mean": lambda: NumpyAveragePool(2, stride=2),
    "overlapping mean": lambda: NumpyAveragePool(3, stride=2, padding=1),
    "relu": Relu,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "flatten": Flatten,
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("ties", [False, True], ids=["drawn", "with ties"])
def test_a_layer_gives_what_pytorch_gives_and_passes_back_what_it_passes_back(make, ties: bool):
    layer: NumpyLayer = make()
    maps = drawn(2, 3, 10, 9)
    if ties:    # whole numbers: many windows have several largest values, and many values are 0
        maps = maps.round()
    twin, inputs = in_pytorch(NumpyNetwork({"layer": layer})), torch.from_numpy(maps).requires_grad_()
    expected = twin(inputs)
    gradient = drawn(*expected.shape)
    expected.backward(torch.from_numpy(gradient))
    assert layer.forward(maps) == pytest.approx(expected.detach().numpy(), abs=1e-12)
    assert inputs.grad is not None
    assert layer.backward(gradient) == pytest.approx(inputs.grad.numpy(), abs=1e-12)
    grads = {name.removeprefix("layer."): parameter.grad.numpy() for name, parameter in twin.named_parameters()}
    assert set(layer.gradients) == set(grads)
    assert all(layer.gradients[name] == pytest.approx(grads[name], abs=1e-11) for name in grads)


def test_a_dense_layer():
    layer, rows = Dense(drawn(5, 7), drawn(5)), drawn(3, 7)
    expected = rows @ layer.weights["weight"].T + layer.weights["bias"]
    assert layer.forward(rows) == pytest.approx(expected)
    gradient = drawn(3, 5)
    inputs = torch.from_numpy(rows).requires_grad_()
    weight = torch.from_numpy(layer.weights["weight"]).requires_grad_()
    F.linear(inputs, weight, torch.from_numpy(layer.weights["bias"])).backward(torch.from_numpy(gradient))
    assert layer.backward(gradient) == pytest.approx(inputs.grad.numpy())
    assert layer.gradients["weight"] == pytest.approx(weight.grad.numpy())


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2}])
def test_im2col_is_pytorchs_unfold_and_col2im_its_transpose(settings):
    maps = drawn(2, 3, 8, 7)
    columns = im2col(maps, 3, **settings)
    assert columns == pytest.approx(F.unfold(torch.from_numpy(maps), 3, **settings).numpy())
    # <im2col(x), y> = <x, col2im(y)> for all x and y is what it means to be the transpose.
    other = drawn(*columns.shape)
    assert (columns * other).sum() == pytest.approx((maps * col2im(other, maps.shape, 3, **settings)).sum())


def test_the_first_layer_can_leave_out_the_gradient_that_nobody_needs():
    layer = NumpyConvolution(drawn(4, 3, 3, 3), drawn(4))
    gradient = np.ones_like(layer.forward(drawn(2, 3, 8, 8)))
    assert layer.backward(gradient, inputs_too=False) is None and layer.gradients["weight"].shape == (4, 3, 3, 3)


def test_softmax_and_cross_entropy_stay_finite_where_exponentials_do_not():
    logits, labels = np.array([[1000.0, 0.0, -1000.0], [1.0, 2.0, 3.0]]), np.array([2, 0])
    loss, gradient = numpy_cross_entropy(logits, labels)
    rows = torch.from_numpy(logits).requires_grad_()
    expected = F.cross_entropy(rows, torch.from_numpy(labels))
    expected.backward()
    assert loss == pytest.approx(expected.item()) and gradient == pytest.approx(rows.grad.numpy())
    assert numpy_softmax(logits).sum(1) == pytest.approx([1, 1])
