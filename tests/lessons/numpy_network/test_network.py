"""The two networks: their gradients, their training, and what is told of a step."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from lensmith.base.errors import ModelError
from lensmith.engine.optimize import leaves, sgd
from lensmith.lessons.numpy_network.gradient_check import gradient_gaps, in_float64
from lensmith.lessons.numpy_network.in_pytorch import in_numpy, in_pytorch
from lensmith.lessons.numpy_network.layer_times import devices, times_beside
from lensmith.lessons.numpy_network.learn import Examples, answers, learn
from lensmith.lessons.numpy_network.network import NumpyNetwork, Sgd, numpy_lenet, train_step, two_layer
from lensmith.lessons.numpy_network.step_trace import trace_step
from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network

MAKE = {"two layers": two_layer, "lenet": numpy_lenet}


def batch(pictures: int, edge: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Drawn pictures of three classes, bright in another row each."""
    draw, labels = np.random.default_rng(5), np.arange(pictures) % 3
    images = draw.normal(0, 0.3, (pictures, 1, edge, edge)).astype(np.float32)
    for number, label in enumerate(labels):
        images[number, 0, 5 * label + 1 : 5 * label + 4] += 1
    return images, labels


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_every_gradient_is_pytorchs(make):
    gaps = gradient_gaps(make(0, (1, 16, 16), 3), *batch(4))
    assert [gap.weight for gap in gaps] == list(make(0, (1, 16, 16), 3).weights)
    assert all(gap.agrees and gap.gap < 1e-12 and gap.largest > 0 for gap in gaps)


def test_a_wrong_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch):
    from lensmith.lessons.numpy_network import activations

    monkeypatch.setattr(activations.Relu, "backward", lambda self, gradient, **_: gradient)
    gaps = {gap.weight: gap for gap in gradient_gaps(two_layer(0, (1, 16, 16), 3), *batch(4))}
    assert not gaps["dense1.weight"].agrees and gaps["dense2.weight"].agrees


def test_sgd_moves_as_the_optimizer_of_a_run():
    network = in_float64(numpy_lenet(1, (1, 16, 16), 3))
    twin, optimizer = in_pytorch(network), Sgd(0.05, 0.9)
    images, labels = batch(6)
    moves = sgd(leaves(twin), rate=0.05, momentum=0.9, nesterov=False, decay=0.0)
    for _ in range(3):    # from the second step on there is momentum
        train_step(network, images.astype(np.float64), labels, optimizer)
        torch.nn.functional.cross_entropy(twin(torch.from_numpy(images).double()), torch.from_numpy(labels)).backward()
        for each in moves:
            each.step()
            each.zero_grad()
    for name, parameter in twin.named_parameters():
        assert network.weights[name] == pytest.approx(parameter.detach().numpy(), abs=1e-12)


def test_learning_is_the_same_for_the_same_seed_and_learns():
    train = Examples(*batch(96))

    def trained() -> tuple[NumpyNetwork, list]:
        network = numpy_lenet(0, (1, 16, 16), 3)
        return network, list(learn(network, train, epochs=4, batch=16, rate=0.03, momentum=0.9, seed=0))

    (first, rows), (second, _) = trained(), trained()
    assert all((first.weights[name] == second.weights[name]).all() for name in first.weights)
    assert [row.epoch for row in rows] == [1, 2, 3, 4] and rows[-1].loss < 0.5 * rows[0].loss
    assert (answers(first, train.pictures).argmax(1) == train.labels).mean() > 0.95


def test_lenet_has_the_layers_and_shapes_of_the_backbone_lenet_and_answers_as_it_does():
    backbone = BACKBONES["lenet"](inputs=1, size=(28, 28))
    network = Network(backbone, backbone.classifier(10), mean=[70.0], deviation=[90.0]).eval()
    ours, own = in_numpy(network), numpy_lenet(0, (1, 28, 28), 10)
    assert [type(layer) for layer in ours.layers.values()] == [type(layer) for layer in own.layers.values()]
    assert [array.shape for array in ours.weights.values()] == [array.shape for array in own.weights.values()]
    images = torch.randint(0, 256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        expected, standardised = network(images).numpy(), network.standardise(images).numpy()
    assert ours.forward(standardised) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("layers", "text"), [
    ([{"conv": 4}, "batchnorm", "relu", "globalpool"], "layer batchnorm1 is BatchNorm2d, which the lesson does not"),
    ([{"conv": 4, "bias": False}, "relu", {"dense": 4}], "layer conv1 has no bias"),
    ([{"conv": 4}, {"conv": 4, "groups": 2}, {"dense": 4}], "layer conv2 has groups"),
])
def test_a_layer_that_the_lesson_does_not_have_is_named(layers, text: str):
    backbone = BACKBONES["stack"](layers, inputs=1, size=(12, 12))
    network = Network(backbone, backbone.classifier(3), mean=[0.0], deviation=[1.0])
    with pytest.raises(ModelError, match=text):
        in_numpy(network)


def test_a_network_that_is_no_list_is_refused():
    backbone = BACKBONES["csp"](inputs=1, size=(64, 64))
    with pytest.raises(ModelError, match="no list of layers .* take a run with the backbone lenet"):
        in_numpy(Network(backbone, backbone.classifier(3), mean=[0.0], deviation=[1.0]))


def test_a_step_is_told_as_it_was_taken():
    network, (images, labels) = numpy_lenet(0, (1, 16, 16), 3), batch(1)
    before = deepcopy(network)
    trace = trace_step(network, 255 * images[0], images[0], int(labels[0]), rate=0.01)
    assert trace.loss == pytest.approx(-np.log(trace.probabilities[trace.label]), rel=1e-5)
    assert trace.loss_after < trace.loss
    assert trace.layers[0].inputs is not None and (trace.layers[0].inputs == images[0]).all()
    for number, layer in enumerate(trace.layers):
        if number:
            assert (layer.inputs == trace.layers[number - 1].output).all()
            assert (layer.inputs_gradient == trace.layers[number - 1].output_gradient).all()
        for key, weight in layer.weights.items():
            assert (weight.before == before.weights[f"{layer.name}.{key}"]).all()
            assert (weight.after == network.weights[f"{layer.name}.{key}"]).all()
            assert weight.after == pytest.approx(weight.before - 0.01 * weight.gradient, abs=1e-7)


def test_times_are_told_of_every_layer_and_device():
    network = two_layer(0, (1, 16, 16), 3)
    found = times_beside(network, *batch(4))
    assert [times.where.split(",")[0] for times in found] == ["NumPy", *(f"PyTorch on {each}" for each in devices())]
    for times in found:
        assert [layer.layer for layer in times.layers] == list(network.layers)
        assert times.step > 0 and all(layer.forward >= 0 and layer.backward >= 0 for layer in times.layers)
