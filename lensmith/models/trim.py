"""Convolutions without the part of their kernels that, on maps so small, only ever meets the padding, and as matrix
products where a single pixel comes out."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Trimmed(nn.Conv2d):
    """A convolution that multiplies only by those weights of its kernel that meet a pixel.

    A 3x3 kernel on a map of one pixel is a 1x1 kernel with a border of zeros around the map: an eighth of the weights
    of a ResNet that was made for 224 pixels is all that its last stage uses at 32. The others get the gradient 0, as
    they do in the whole convolution. A convolution to a single pixel is one product of two matrices: oneDNN takes
    several times as long over it as over the product.
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
        if rows[0] == rows[1] >= 0 and columns[0] == columns[1] >= 0 and (rows[0], columns[0]) != (0, 0):
            return F.conv2d(images, part, self.bias, self.stride, (rows[0], columns[0]), self.dilation, self.groups)
        if any((*rows, *columns)):
            images = F.pad(images, (*columns, *rows))
        if self.groups == 1 and images.shape[-2:] == part.shape[-2:]:
            if not self.weight.is_contiguous():    # pixel by pixel, as they lie in memory
                images, part = images.movedim(-3, -1), part.movedim(1, -1)
            return F.linear(images.flatten(-3), part.flatten(1), self.bias)[..., None, None]
        return F.conv2d(images, part, self.bias, self.stride, 0, self.dilation, self.groups)


def trim_kernels(network: nn.Module) -> int:
    """Make every convolution a Trimmed one, in place; -> how many. The numbers and the names of all weights stay."""
    found = [layer for layer in network.modules() if _may_be(layer)]
    for layer in found:
        layer.__class__ = Trimmed
    return len(found)


@torch.no_grad()
def kernels_reach_beyond(network: nn.Module, images: Tensor) -> bool:
    """Whether `trim_kernels` would save anything to speak of at the size of `images` (as the network takes them)."""
    found = []

    def look(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        size = max(layer.kernel_size)    # type: ignore[arg-type]
        # Those of squeeze and excitation, from one pixel to one, are no slower than a product of matrices.
        found.append(size > 1 and _spans(layer, inputs[0]) is not None)    # type: ignore[arg-type]

    copied = deepcopy(network).eval()
    for layer in copied.modules():
        if _may_be(layer):
            layer.register_forward_pre_hook(look)
    copied(images)
    return any(found)


def _may_be(layer: nn.Module) -> bool:
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _spans(layer: nn.Conv2d, images: Tensor) -> list[tuple[int, int, int, int]] | None:
    """Of rows and columns (_span); None where all weights are needed, and for more than a product of matrices."""
    assert not isinstance(layer.padding, str)    # `_may_be` leaves these alone
    axes = list(zip(images.shape[-2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True))
    single = layer.groups == 1 and all(_outputs(*axis) == 1 for axis in axes)
    if not single and all(length > dilation * (size - 1) for length, size, _, _, dilation in axes):
        return None
    spans = [_span(*axis) for axis in axes]
    if not single and all(last - first == axis[1] for (first, last, *_), axis in zip(spans, axes, strict=True)):
        return None
    return spans


def _outputs(length: int, size: int, stride: int, padding: int, dilation: int) -> int:
    return (length + 2 * padding - dilation * (size - 1) - 1) // stride + 1


def _span(length: int, size: int, stride: int, padding: int, dilation: int) -> tuple[int, int, int, int]:
    """(first, last + 1) of a kernel's weights that meet a pixel along one axis, and the padding that is left before
    and after the pixels, negative where some of them are not looked at."""
    outputs = _outputs(length, size, stride, padding, dilation)
    met = [place for place in range(size)
           if any(0 <= at * stride - padding + place * dilation < length for at in range(outputs))]
    if not met:    # no output, or none that sees a pixel: left to PyTorch
        return 0, size, padding, padding
    first, last = met[0], met[-1] + 1
    before = padding - first * dilation
    return first, last, before, (outputs - 1) * stride + dilation * (last - first - 1) + 1 - length - before
