"""Convolutions without the part of their kernels that, on maps so small, only ever meets the padding."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Trimmed(nn.Conv2d):
    """A convolution that multiplies only by those weights of its kernel that meet a pixel.

    A 3x3 kernel on a map of one pixel is a 1x1 kernel with a border of zeros around the map: an eighth of the weights
    of a ResNet that was made for 224 pixels is all that its last stage uses at 32. The others get the gradient 0, as
    they do in the whole convolution.
    """

    def forward(self, images: Tensor) -> Tensor:
        spans = _spans(self, images)
        if spans is None:
            return super().forward(images)
        (top, bottom, *rows), (left, right, *columns) = spans
        # Cut out of its own layout, so that the gradient comes in it too and is not copied.
        if self.weight.is_contiguous():
            part = self.weight[:, :, top:bottom, left:right]
        else:
            part = self.weight.permute(0, 2, 3, 1)[:, top:bottom, left:right].permute(0, 3, 1, 2)
        if rows[0] == rows[1] >= 0 and columns[0] == columns[1] >= 0:
            return F.conv2d(images, part, self.bias, self.stride, (rows[0], columns[0]), self.dilation, self.groups)
        return F.conv2d(F.pad(images, (*columns, *rows)), part, self.bias, self.stride, 0, self.dilation, self.groups)


def trim_kernels(network: nn.Module) -> int:
    """Make every convolution a Trimmed one, in place; -> how many. The numbers and the names of all weights stay."""
    found = [layer for layer in network.modules() if _may_be(layer)]
    for layer in found:
        layer.__class__ = Trimmed
    return len(found)


@torch.no_grad()
def kernels_reach_beyond(network: nn.Module, images: Tensor) -> bool:
    """Whether `trim_kernels` would save anything at the size of `images` (as the network takes them)."""
    found = []

    def look(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(_spans(layer, inputs[0]) is not None)    # type: ignore[arg-type]

    copied = deepcopy(network).eval()
    for layer in copied.modules():
        if _may_be(layer):
            layer.register_forward_pre_hook(look)
    copied(images)
    return any(found)


def _may_be(layer: nn.Module) -> bool:
    return (type(layer) is nn.Conv2d and max(layer.kernel_size) > 1 and layer.padding_mode == "zeros"
            and not isinstance(layer.padding, str))


def _spans(layer: nn.Conv2d, images: Tensor) -> list[tuple[int, int, int, int]] | None:
    """Of rows and columns (_span); None where all weights are needed."""
    if all(length > step * (size - 1) for length, size, step in
           zip(images.shape[-2:], layer.kernel_size, layer.dilation, strict=True)):
        return None
    assert not isinstance(layer.padding, str)    # `_may_be` leaves these alone
    spans = [_span(*one) for one in zip(images.shape[-2:], layer.kernel_size, layer.stride, layer.padding,
                                        layer.dilation, strict=True)]
    if all(last - first == size for (first, last, *_), size in zip(spans, layer.kernel_size, strict=True)):
        return None
    return spans


def _span(length: int, size: int, stride: int, padding: int, dilation: int) -> tuple[int, int, int, int]:
    """(first, last + 1) of a kernel's weights that meet a pixel along one axis, and the padding that is left before
    and after the pixels, negative where some of them are not looked at."""
    outputs = (length + 2 * padding - dilation * (size - 1) - 1) // stride + 1
    met = [place for place in range(size)
           if any(0 <= at * stride - padding + place * dilation < length for at in range(outputs))]
    if not met:    # no output, or none that sees a pixel: left to PyTorch
        return 0, size, padding, padding
    first, last = met[0], met[-1] + 1
    before = padding - first * dilation
    return first, last, before, (outputs - 1) * stride + dilation * (last - first - 1) + 1 - length - before
