"""Colour pixels of four bytes each, as PyTorch's and Pillow's resizing want them, and the planes that networks want."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

_PIXEL = np.dtype("<u4")    # its lowest byte, the first in memory, is red


def pixels_of(planes: np.ndarray) -> np.ndarray:
    """uint8 [3, height, width] -> uint8 [height, width, 4], the fourth byte 0.

    By arithmetic on whole pixels, which NumPy does many at a time: a third of the time of moving single bytes, which
    is what a change of layout does, in NumPy as in PyTorch. So does `planes_of`, in half.
    """
    pixels = planes[2].astype(_PIXEL)
    for plane in (planes[1], planes[0]):
        pixels <<= 8
        pixels |= plane
    return pixels.view(np.uint8).reshape(*pixels.shape, 4)


def planes_of(pixels: np.ndarray) -> np.ndarray:
    """uint8 [height, width, 4], contiguous, which is overwritten -> uint8 [3, height, width]."""
    whole = pixels.view(_PIXEL)[:, :, 0]
    planes = np.empty((3, *whole.shape), dtype=np.uint8)
    for number, plane in enumerate(planes):
        if number:
            whole >>= 8
        np.copyto(plane, whole, casting="unsafe")    # the lowest byte
    return planes


def resized(pixels: np.ndarray, size: tuple[int, int], *, mode: str = "bilinear",
            antialias: bool = False) -> np.ndarray:
    """uint8 [height, width, channels], contiguous, brought to `size` (height, width) by PyTorch, which does this to
    bytes by integers of 16 bits."""
    # The axis of one picture before the channels are moved: after it PyTorch takes it for planes, and moves all bytes.
    channels_last = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    found = interpolate(channels_last, size, mode=mode, align_corners=False, antialias=antialias)
    return np.ascontiguousarray(found[0].permute(1, 2, 0).numpy())    # it is, but for edges of a single pixel


def scaled(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 [channels, height, width] on the CPU, brought to `size` (height, width) bilinearly, not antialiased."""
    if len(picture) != 3:
        return interpolate(picture[None], size, mode="bilinear", align_corners=False)[0]
    return torch.from_numpy(planes_of(resized(pixels_of(picture.numpy()), size)))
