"""What a backbone and a head are, and the heads for whole pictures."""

import inspect
from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.values.value import Value

Size = tuple[int, int]    # (height, width) of the pictures, pixels


class Backbone(nn.Module):
    """Pictures, standardised float [batch, inputs, height, width], to feature maps, finest first.

    A backbone of this package takes `inputs`, the channels of the pictures, and where it needs it `size`, their
    (height, width), beside its own settings. It raises ModelError, with the arithmetic, for a size it cannot take.

    A network that comes whole stands in the place of a backbone. What it brings instead of maps is one of `detector`,
    `instance_detector`, `segmenter`, `outputs` and `scores`; a task takes it for its head or refuses it.
    """

    channels: tuple[int, ...]    # of each map that forward() returns
    strides: tuple[int, ...]     # picture pixels per cell of each map
    name: str = ""               # that of the network in the package it is from
    # (mean, standard deviation), one number a channel, of the pictures, 0 .. 1, that published weights are used to.
    standard: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    # (classes, threshold, overlap, most) -> the head that is a whole network for boxes, or for masks of objects.
    detector: Callable[..., nn.Module] | None = None
    instance_detector: Callable[..., nn.Module] | None = None
    segmenter: Callable[..., nn.Module] | None = None    # (classes) -> the head that is a whole network for masks
    outputs: tuple[Any, ...] = ()    # the yolo and region layers that its maps go into, of a Darknet detector
    scores: bool = False             # whether its only map is [batch, outputs], the scores of whole pictures

    def classifier(self, outputs: int) -> nn.Module:
        """A head from the maps to [batch, outputs], freshly drawn: the network's own dense layers where it has some."""
        return PooledLinear(self.channels[-1], outputs)

    def numbers(self, outputs: int) -> nn.Module:
        """A head from the maps to [batch, outputs] of either sign, for tags and numbers. It is the classifier, unless
        that one ends with a ReLU: the order of classes can do without negative scores, numbers cannot."""
        return self.classifier(outputs)


class LossHead(nn.Module):
    """A head that computes its loss by itself, because it looks at the targets in its forward pass, as two-stage
    detectors sample regions by them."""

    def loss(self, maps: list[Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """The loss terms by name, each a scalar."""
        raise NotImplementedError


def takes_size(head: nn.Module) -> bool:
    """Whether `head.forward` takes the `size` of the pictures beside the maps. All heads of this package do; the head
    of a user's own backbone may take the maps alone."""
    return "size" in inspect.signature(head.forward).parameters


class PooledLinear(nn.Module):
    """The mean over the last map, then a dense layer."""

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        self.dense = nn.Linear(channels, outputs)

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Tensor:    # -> [batch, outputs]
        return cast(Tensor, self.dense(maps[-1].mean((2, 3))))


class LastMap(nn.Module):
    """A head that works on the last map alone, as the dense layers of LeNet and VGG do."""

    def __init__(self, layers: nn.Sequential):
        super().__init__()
        self.layers = layers

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Tensor:    # -> [batch, outputs]
        return cast(Tensor, self.layers(maps[-1]))


def map_edge(edge: int, kernel: int, stride: int, padding: int) -> int:
    """The edge of a map: floor((edge + 2 * padding - kernel) / stride) + 1, below 1 where nothing is left. A dilated
    kernel counts with all the pixels that it spans (Dumoulin and Visin 2016)."""
    return (edge + 2 * padding - kernel) // stride + 1


def reduced(size: tuple[int, int], steps: list[tuple[str, int, int, int]], *, what: str) -> tuple[int, int]:
    """The (height, width) of a map after `steps`, each (name, kernel, stride, padding), of pictures with this size.

    A dilated kernel counts with all the pixels that it spans. Raises ModelError where nothing is left, with the
    arithmetic up to the layer that fails. `what` is the network, as the error calls it.
    """
    trail = [f"{size[0]}x{size[1]}"]
    for name, kernel, stride, padding in steps:
        height, width = (map_edge(edge, kernel, stride, padding) for edge in size)
        trail.append(f"{name} ({kernel}x{kernel}) -> {f'{height}x{width}' if min(height, width) > 0 else 'nothing'}")
        if height < 1 or width < 1:
            raise ModelError(f"{what} cannot take pictures of {trail[0].replace('x', ' x ')} pixels: "
                             f"{', '.join(trail)}. Take larger pictures with pictures.size={least_size(steps)} "
                             "or more.")
        size = height, width
    return size


def least_size(steps: list[tuple[str, int, int, int]]) -> int:
    """The smallest edge that leaves one pixel after `steps`."""
    edge = 1
    for _, kernel, stride, padding in reversed(steps):
        edge = max(1, (edge - 1) * stride + kernel - 2 * padding)
    return edge
