"""Arithmetic on the pixels of a batch: its pictures as floats, a few at a time, and rounded back."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.packed_pixels import scaled

_CACHED = 1 << 18    # floats, one megabyte: what a core's own cache holds beside the result
_WORTH_A_CALL = 2_500    # pixels: from 50 x 50 on one call for each picture is cheaper than a grid for all of them
_LUMA = (0.299, 0.587, 0.114)    # ITU-R BT.601, as torchvision and Pillow weigh colours into gray
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def in_chunks(images: Tensor, change: Callable[[Tensor, slice], Tensor]) -> Tensor:
    """`images` uint8 or uint16 [batch, channels, height, width] after `change(floats, rows)`, rounded to their type.

    `change` gets the pictures `rows` of the batch as floats, which it may overwrite, and returns as many of that size.
    On a CPU it gets a few pictures at a time: a batch of photographs would leave the cache at each operation.
    """
    chunk = len(images) if images.device.type != "cpu" else max(1, _CACHED // max(1, images[:1].numel()))
    changed = torch.empty_like(images)
    for start in range(0, len(images), max(1, chunk)):
        rows = slice(start, start + chunk)
        changed[rows] = rounded(change(images[rows].float(), rows), images.dtype)
    return changed


def rounded(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats, which are overwritten, as uint8 or uint16."""
    whole = values.round_().clamp_(0, torch.iinfo(dtype).max)
    return whole.to(torch.int32).to(dtype) if dtype == torch.uint16 else whole.to(dtype)


def mean_of(values: Tensor) -> Tensor:
    """[batch, channels, 1, 1]: the mean of each plane, by lines, so that no bit depends on the number of threads."""
    return values.mean(3, keepdim=True).mean(2, keepdim=True)


# No fused operation (addcmul, add with a factor) is used below. They round differently at the end of a tensor than
# within it, so that a picture's bits would depend on its neighbours in the batch.

def gray(colour: Tensor) -> Tensor:
    """[batch, 1, height, width]"""
    if colour.shape[1] != 3:
        return colour
    red, green, blue = colour.split(1, 1)
    return (red * _LUMA[0]).add_(green * _LUMA[1]).add_(blue * _LUMA[2])


def contrasted(colour: Tensor, factor: Tensor) -> Tensor:
    """mean + factor * (colour - mean), with the mean gray of each picture; `factor` is [batch, 1, 1, 1]. Overwrites
    `colour`."""
    mean = mean_of(gray(colour)) * (1 - factor)
    return colour.mul_(factor).add_(mean)


def saturated(colour: Tensor, factor: Tensor) -> Tensor:
    """gray + factor * (colour - gray), with the gray of each pixel; `factor` is [batch, 1, 1, 1]. Overwrites
    `colour`."""
    shade = gray(colour) * (1 - factor)
    return colour.mul_(factor).add_(shade)


def turn_hue(colour: Tensor, angle: Tensor) -> Tensor:
    """Turn the colour plane of YIQ, which keeps the brightness, by `angle` float [batch], radians."""
    turn = torch.zeros(len(angle), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    matrix = (torch.linalg.inv(_YIQ) @ turn @ _YIQ).to(colour.device)[:, :, :, None, None, None]
    red, green, blue = colour.split(1, 1)
    rows = [(red * matrix[:, i, 0]).add_(green * matrix[:, i, 1]).add_(blue * matrix[:, i, 2]) for i in range(3)]
    return torch.cat(rows, 1)


def rectangle(wide: Tensor, high: Tensor, x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """int64 [batch, 4]: left, top, width and height in whole pixels of a rectangle in a picture of `size` (height,
    width). It has `wide` x `high` pixels and lies at the fractions x, y of the room that remains; all float [batch]."""
    height, width = size
    wide, high = wide.round().clamp(0, width), high.round().clamp(0, height)
    return torch.stack((((width - wide + 1) * x).floor(), ((height - high + 1) * y).floor(), wide, high), 1).long()


def inside(rectangles: Tensor, size: tuple[int, int], device: torch.device) -> Tensor:
    """bool [batch, 1, height, width] on `device`: the pixels of each rectangle."""
    left, top, wide, high = rectangles.to(device)[:, :, None].unbind(1)
    column, row = torch.arange(size[1], device=device), torch.arange(size[0], device=device)
    across = (column >= left) & (column < left + wide)
    down = (row >= top) & (row < top + high)
    return down[:, None, :, None] & across[:, None, None, :]


def enlarged(images: Tensor, rectangles: Tensor, mirrored: Tensor) -> Tensor:
    """What each picture shows within its rectangle (int64 [batch, 4], from `rectangle`), bilinearly at the size of the
    whole, mirrored where `mirrored` (bool [batch]); both on the CPU. Pixels outside of the rectangle do not count."""
    height, width = images.shape[-2:]
    if images.device.type == "cpu" and images.dtype == torch.uint8 and height * width >= _WORTH_A_CALL:
        # In integers of 16 bits, which is three times as fast as by a grid, and at most 1 apart from it.
        shown = torch.empty_like(images)
        copied = shown.numpy()    # PyTorch takes longer to hand such small copies out to threads than to make them
        for row, ((x, y, wide, high), flip) in enumerate(zip(rectangles.tolist(), mirrored.tolist(), strict=True)):
            crop = scaled(images[row, :, y : y + high, x : x + wide], (height, width))
            copied[row] = (crop.flip(2) if flip else crop).numpy()    # NumPy would mirror the bytes one at a time
        return shown
    left, top, wide, high = (edge.float() for edge in rectangles[:, :, None].unbind(1))
    across = _within((torch.arange(width) + 0.5) / width, left, wide) * 2 / width - 1
    down = _within((torch.arange(height) + 0.5) / height, top, high) * 2 / height - 1
    across = torch.where(mirrored[:, None], across.flip(1), across).to(images.device)
    down = down.to(images.device)

    def sampled(values: Tensor, rows: slice) -> Tensor:
        columns = torch.complex(across[rows], torch.zeros_like(across[rows]))
        lines = torch.complex(torch.zeros_like(down[rows]), down[rows])
        grid = torch.view_as_real(columns[:, None] + lines[:, :, None])
        return F.grid_sample(values, grid, padding_mode="border", align_corners=False)

    return in_chunks(images, sampled)


def _within(fraction: Tensor, first: Tensor, length: Tensor) -> Tensor:
    """float [batch, n]: where, in pixels, the `fraction` of a stretch lies that begins at `first`, half a pixel from
    its ends or more."""
    return (fraction * length).clamp(min=0.5).minimum(length - 0.5) + first
