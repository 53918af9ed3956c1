"""The same network in PyTorch, and a network of a run in NumPy: each with the weights of the other."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.lessons.numpy_network.activations import Relu, Sigmoid, Tanh
from lensmith.lessons.numpy_network.convolution import NumpyConvolution
from lensmith.lessons.numpy_network.dense import Dense, Flatten
from lensmith.lessons.numpy_network.layer import NumpyLayer
from lensmith.lessons.numpy_network.network import NumpyNetwork
from lensmith.lessons.numpy_network.pooling import NumpyAveragePool, NumpyMaxPool
from lensmith.models.backbone import LastMap
from lensmith.models.network import Network


def in_pytorch(network: NumpyNetwork) -> nn.Sequential:
    """PyTorch's own layers under the same names, with copies of the weights."""
    return nn.Sequential(OrderedDict((name, _TO_PYTORCH[type(layer)](layer)) for name, layer in network.layers.items()))


def in_numpy(network: Network) -> NumpyNetwork:
    """The layers of a network that is a list of layers, as `lenet` is, with copies of its weights in float32.

    It takes standardised pictures: what `network.standardise` gives. Raises ModelError for a layer that the lesson
    does not have.
    """
    backbone = getattr(network.backbone, "layers", None)
    if not isinstance(backbone, nn.Sequential) or not isinstance(network.head, LastMap):
        raise ModelError(f"the network is no list of layers ({type(network.backbone).__name__} and "
                         f"{type(network.head).__name__}), and only such a list is computed in NumPy: take a run with "
                         "the backbone lenet, conv10_20 or a stack of conv, pools and dense layers")
    layers: dict[str, NumpyLayer] = {}
    for name, module in [*backbone.named_children(), *network.head.layers.named_children()]:
        if name in layers:    # backbone and head count their layers each by themselves
            name = f"head_{name}"
        layers[name] = _layer_of(name, module)
    return NumpyNetwork(layers)


def _layer_of(name: str, module: nn.Module) -> NumpyLayer:
    if type(module) not in _TO_NUMPY:
        known = ", ".join(kind.__name__ for kind in _TO_NUMPY)
        raise ModelError(f"layer {name} is {type(module).__name__}, which the lesson does not compute in NumPy. It "
                         f"has: {known}. Take a run whose network has these alone, as one with the backbone lenet")
    problem = "has groups" if getattr(module, "groups", 1) != 1 else \
        "has no bias" if getattr(module, "bias", 0) is None else ""
    if problem:
        raise ModelError(f"layer {name} {problem}, and the lesson computes layers of one group with a bias: take "
                         "another run")
    return _TO_NUMPY[type(module)](module)


def _convolution_in_pytorch(layer: Any) -> nn.Module:
    outputs, inputs, kernel, _ = layer.weights["weight"].shape
    return _with_weights(nn.Conv2d(inputs, outputs, kernel, layer.stride, layer.padding, layer.dilation), layer)


def _dense_in_pytorch(layer: Any) -> nn.Module:
    outputs, inputs = layer.weights["weight"].shape
    return _with_weights(nn.Linear(inputs, outputs), layer)


def _with_weights(module: nn.Module, layer: NumpyLayer) -> nn.Module:
    module.to(torch.from_numpy(layer.weights["weight"]).dtype)
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in layer.weights.items()})
    return module


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().float().cpu().contiguous().numpy().copy()


def _edge(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


_TO_PYTORCH: dict[type, Callable[[Any], nn.Module]] = {
    NumpyConvolution: _convolution_in_pytorch,
    Dense: _dense_in_pytorch,
    NumpyMaxPool: lambda layer: nn.MaxPool2d(layer.kernel, layer.stride, layer.padding),
    NumpyAveragePool: lambda layer: nn.AvgPool2d(layer.kernel, layer.stride, layer.padding),
    Relu: lambda layer: nn.ReLU(),
    Sigmoid: lambda layer: nn.Sigmoid(),
    Tanh: lambda layer: nn.Tanh(),
    Flatten: lambda layer: nn.Flatten(),
}
_TO_NUMPY: dict[type, Callable[[Any], NumpyLayer]] = {
    nn.Conv2d: lambda module: NumpyConvolution(_array(module.weight), _array(module.bias), stride=_edge(module.stride),
                                          padding=_edge(module.padding), dilation=_edge(module.dilation)),
    nn.Linear: lambda module: Dense(_array(module.weight), _array(module.bias)),
    nn.MaxPool2d: lambda module: NumpyMaxPool(_edge(module.kernel_size), stride=_edge(module.stride),
                                         padding=_edge(module.padding)),
    nn.AvgPool2d: lambda module: NumpyAveragePool(_edge(module.kernel_size), stride=_edge(module.stride),
                                             padding=_edge(module.padding)),
    nn.ReLU: lambda module: Relu(),
    nn.Sigmoid: lambda module: Sigmoid(),
    nn.Tanh: lambda module: Tanh(),
    nn.Flatten: lambda module: Flatten(),
}
