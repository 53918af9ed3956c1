"""Convolutions of small maps, for which oneDNN takes several times as long as need be: kernels without the weights that
meet padding alone, and products of matrices."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from lensmith.models.trial_forward import in_evaluation_mode

# By the bytes of a number, the widest map in pixels for which the gradient of the weights is faster as products of
# matrices: oneDNN works on rows of 16 pixels, whatever part of them the map has. Measured by benchmarks/kernels.py: in
# bfloat16 the products are slower at 14 pixels, in float32 at 7.
_WIDEST = {2: 8, 4: 4}


class Small(nn.Conv2d):
    """A convolution that does less work where its map is small. The numbers are the same.

    It multiplies only by those weights of its kernel that meet a pixel. A 3x3 kernel on a map of one pixel acts as a
    1x1 kernel, since the padding is zeros: at 32 pixels the last stage of a ResNet that was made for 224 uses an eighth
    of its weights. The others get the gradient 0, as they do in the whole convolution. An output of a single pixel is
    one product of two matrices, and the gradient of the weights is a few products wherever the map is small.
    """

    def forward(self, images: Tensor) -> Tensor:
        spans = _spans(self, images)
        if spans is None:
            return self._whole(images)
        (top, bottom, *rows), (left, right, *columns) = spans
        # Cut out in the layout that the weights have, so that the gradient comes in it too and is not copied.
        if self.weight.is_contiguous():
            part = self.weight[:, :, top:bottom, left:right]
        else:
            part = self.weight.permute(0, 2, 3, 1)[:, top:bottom, left:right].permute(0, 3, 1, 2)
        if rows[0] == rows[1] >= 0 and columns[0] == columns[1] >= 0 and (rows[0], columns[0]) != (0, 0):
            return F.conv2d(images, part, self.bias, self.stride, (rows[0], columns[0]), self.dilation, self.groups)
        if any((*rows, *columns)):
            images = F.pad(images, (*columns, *rows))
        if self.groups == 1 and images.shape[-2:] == part.shape[-2:]:
            if not self.weight.is_contiguous():    # channels last: flattened pixel by pixel, as they lie in memory
                images, part = images.movedim(-3, -1), part.movedim(1, -1)
            return F.linear(images.flatten(-3), part.flatten(1), self.bias)[..., None, None]
        return F.conv2d(images, part, self.bias, self.stride, 0, self.dilation, self.groups)

    def _whole(self, images: Tensor) -> Tensor:
        device = images.device.type
        learning = self.training and self.weight.requires_grad and torch.is_grad_enabled()
        if learning and device == "cpu" and images.dim() == 4:
            dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.weight.dtype
            if _narrow(self, images, dtype.itemsize):
                bias = None if self.bias is None else self.bias.to(dtype)
                return _Products.apply(images.to(dtype), self.weight.to(dtype), bias, self.padding)
        return super().forward(images)


class _Products(torch.autograd.Function):
    """A convolution of stride 1 whose gradient of the weights is products of matrices."""

    @staticmethod
    def forward(images: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        return F.conv2d(images, weight, bias, 1, padding)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Tensor) -> None:
        images, weight, _, ctx.padding = inputs    # type: ignore[attr-defined]
        ctx.save_for_backward(images, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        input_gradient = bias_gradient = None
        if ctx.needs_input_grad[0]:
            input_gradient = torch.ops.aten.convolution_backward(
                gradient, images, weight, None, (1, 1), ctx.padding, (1, 1), False, (0, 0), 1, (True, False, False))[0]
        if ctx.needs_input_grad[2]:
            bias_gradient = gradient.sum((0, 2, 3))
        return input_gradient, _weight_gradient(images, gradient, weight.shape, ctx.padding), bias_gradient, None


def _weight_gradient(images: Tensor, gradient: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
    """The gradient of a convolution's weights, [O, C, height, width]: for each row of the kernel the product of the
    output's gradient [O, B x pixels] and of the pixels under that row [B x pixels, width x C]."""
    outputs, inputs, height, width = shape
    above, left = padding
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, left, left, above, above)).contiguous()    # [B, H, W, C]
    rows, columns = gradient.shape[2:]
    batch, line, pixel, _ = padded.stride()
    output_gradient = gradient.permute(0, 2, 3, 1).reshape(-1, outputs).t()
    weight_gradient = images.new_empty(outputs, height, width * inputs)
    for row in range(height):
        # Neighbouring pixels of a line are neighbours in memory, so that `width` of them are one row of the matrix.
        under = padded.as_strided((len(padded), rows, columns, width * inputs), (batch, line, pixel, 1), row * line)
        weight_gradient[:, row] = output_gradient @ under.reshape(-1, width * inputs)
    return weight_gradient.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


def small_maps(network: nn.Module) -> int:
    """Make every convolution a Small one, in place; -> how many. The numbers and the names of all weights stay."""
    layers = [layer for layer in network.modules() if _may_be(layer)]
    for layer in layers:
        layer.__class__ = Small
    return len(layers)


@torch.no_grad()
def has_small_maps(network: nn.Module, images: Tensor) -> bool:
    """Whether `small_maps` would save a noticeable time at the size of `images` (as the network takes them)."""
    saving = []

    def look(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        size = max(layer.kernel_size)    # type: ignore[arg-type]
        # A 1x1 convolution of one pixel, as in squeeze and excitation, is as fast as a product of matrices already.
        saving.append(size > 1 and (_spans(layer, inputs[0]) is not None    # type: ignore[arg-type]
                                    or _narrow(layer, inputs[0], min(_WIDEST))))    # type: ignore[arg-type]

    hooks = [layer.register_forward_pre_hook(look) for layer in network.modules() if _may_be(layer)]
    try:
        with in_evaluation_mode(network):
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return any(saving)


def _may_be(layer: nn.Module) -> bool:
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _axes(layer: nn.Conv2d, images: Tensor) -> list[tuple[int, int, int, int, int]]:
    """For rows and for columns: the pixels, then the layer's kernel size, stride, padding and dilation."""
    assert not isinstance(layer.padding, str)    # `_may_be` leaves such layers alone
    return list(zip(images.shape[-2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True))


def _narrow(layer: nn.Conv2d, images: Tensor, size: int) -> bool:
    """Whether the gradient of the weights is faster as products of matrices, in numbers of `size` bytes."""
    return (max(layer.kernel_size) > 1 and layer.groups == 1 and max(*layer.stride, *layer.dilation) == 1
            and max(_outputs(*axis) for axis in _axes(layer, images)) <= _WIDEST.get(size, 0))


def _spans(layer: nn.Conv2d, images: Tensor) -> list[tuple[int, int, int, int]] | None:
    """For rows and for columns what `_span` gives; None where every weight meets a pixel and the output is more than
    one pixel."""
    axes = _axes(layer, images)
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
    """(first, last + 1) of a kernel's weights that meet a pixel along one axis, and the padding that remains before and
    after the pixels, negative where the first or last pixels meet no weight."""
    outputs = _outputs(length, size, stride, padding, dilation)
    # Weight k of the output number i lies on the pixel i * stride - padding + k * dilation.
    met = [weight for weight in range(size)
           if any(0 <= output * stride - padding + weight * dilation < length for output in range(outputs))]
    if not met:    # there is no output, or none that meets a pixel: left to PyTorch
        return 0, size, padding, padding
    first, last = met[0], met[-1] + 1
    before = padding - first * dilation
    return first, last, before, (outputs - 1) * stride + dilation * (last - first - 1) + 1 - length - before
