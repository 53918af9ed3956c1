"""What a network costs with fewer channels: multiply-adds, bytes, and seconds by the measured time of each layer."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.widths import Axis, tensor_named
from lensmith.ship.compress.channels import ChannelGraph

Lengths = Mapping[Axis, int]              # how long each dimension is that is channels
Cost = Callable[[Lengths], float]         # what the network costs at these lengths
_FRACTIONS = (1.0, 0.5, 0.25)             # of the channels at which a layer is timed
_TRIES = 5                                # timed calls, of which the fastest counts


def multiply_adds(network: nn.Module, graph: ChannelGraph) -> Cost:
    """Of convolutions and dense layers for one picture."""
    shapes = {weight: tuple(tensor_named(network, weight).shape) for weight in graph.calls}

    def cost(lengths: Lengths) -> float:
        return float(sum(call.cells * _numel(weight, shapes[weight], lengths) for weight, call in graph.calls.items()))

    return cost


def size(network: nn.Module, graph: ChannelGraph) -> Cost:
    """Bytes of all parameters and buffers."""
    tensors = {name: (tuple(tensor.shape), tensor.element_size()) for name, tensor in network.state_dict().items()}

    def cost(lengths: Lengths) -> float:
        return float(sum(_numel(name, shape, lengths) * each for name, (shape, each) in tensors.items()))

    return cost


def _numel(name: str, shape: tuple[int, ...], lengths: Lengths) -> int:
    return math.prod(lengths.get((name, dimension), length) for dimension, length in enumerate(shape))


@dataclass(frozen=True)
class _Times:
    """Seconds of a layer with some of its inputs and outputs, on the grid of `_FRACTIONS`."""

    table: Tensor    # float64 [inputs, outputs], from all channels down

    def at(self, inputs: float, outputs: float) -> float:
        """Seconds for these fractions of the channels, linear between the points of the grid and to zero below them."""
        (i, a), (j, b) = _between(inputs), _between(outputs)
        table = self.table
        return float((1 - a) * ((1 - b) * table[i, j] + b * table[i, j + 1])
                     + a * ((1 - b) * table[i + 1, j] + b * table[i + 1, j + 1]))


def _between(fraction: float) -> tuple[int, float]:
    """The interval of the grid that a fraction lies in, and how far it is towards the smaller end."""
    for number in range(len(_FRACTIONS) - 2):
        if fraction >= _FRACTIONS[number + 1]:
            break
    else:
        number = len(_FRACTIONS) - 2
    high, low = _FRACTIONS[number], _FRACTIONS[number + 1]
    return number, min((high - fraction) / (high - low), 1.0)


def seconds(network: nn.Module, graph: ChannelGraph) -> Cost:
    """The sum over all layers with weights of their time for one picture, each timed alone on one thread of this CPU
    with all, half and a quarter of its channels (Yang et al. 2018, "NetAdapt", arXiv 1804.03230)."""
    shapes = {weight: tuple(tensor_named(network, weight).shape) for weight in graph.calls}
    modules = dict(network.named_modules())
    times: dict[str, _Times] = {}
    for weight, call in graph.calls.items():
        layer = modules[call.layer]
        times[weight] = _Times(torch.stack([_timed(layer, call.inputs, fraction) for fraction in _FRACTIONS]))

    def cost(lengths: Lengths) -> float:
        total = 0.0
        for weight in graph.calls:
            fractions = [lengths.get((weight, dimension), length) / length
                         for dimension, length in enumerate(shapes[weight][:2])]
            total += times[weight].at(fractions[1], fractions[0])
        return total

    return cost


@torch.inference_mode()
def _timed(layer: nn.Module, shapes: list[tuple[int, ...]], inputs: float) -> Tensor:
    """float64 [outputs]: seconds of a layer for each fraction of its outputs."""
    row = []
    for outputs in _FRACTIONS:
        run = _call(layer, shapes, inputs, outputs)
        run()
        least = float("inf")
        for _ in range(_TRIES):
            began = time.thread_time()
            run()
            least = min(least, time.thread_time() - began)
        row.append(least)
    return torch.tensor(row, dtype=torch.float64)


def _call(layer: nn.Module, shapes: list[tuple[int, ...]], inputs: float, outputs: float) -> Callable[[], object]:
    """A call of the layer with these fractions of its channels on what it was given in one pass."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    kept = [max(1, round(fraction * length))
            for fraction, length in zip((outputs, inputs), weight.shape[:2], strict=True)]
    smaller = torch.randn(*kept, *weight.shape[2:])
    if isinstance(layer, nn.Linear):
        values = [torch.randn(1, kept[1]) for _ in shapes]
        return lambda: [F.linear(value, smaller) for value in values]
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    if isinstance(layer, nn.ConvTranspose2d):
        maps = [torch.randn(1, kept[0] if layer.groups == 1 else shape[0], *shape[1:]) for shape in shapes]
        kernel = smaller if layer.groups == 1 else weight
        padding: Any = layer.padding    # a word, which a transposed convolution never has
        return lambda: [F.conv_transpose2d(value, kernel, None, layer.stride, padding, layer.output_padding,
                                           layer.groups, layer.dilation) for value in maps]
    groups = layer.groups
    if groups > 1:    # whole groups are left out
        groups = max(1, round(outputs * groups))
        smaller = torch.randn(weight.shape[0] // layer.groups * groups, *weight.shape[1:])
    maps = [torch.randn(1, smaller.shape[1] * groups, *shape[1:]) for shape in shapes]
    return lambda: [F.conv2d(value, smaller, None, layer.stride, layer.padding, layer.dilation, groups)
                    for value in maps]
