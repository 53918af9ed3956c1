"""Colour pixels of four bytes, as PyTorch and Pillow resize them, and the planes that networks take."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

_PIXEL = np.dtype("<u4")    # its lowest byte, the first in memory, is red


def pixels_of(planes: np.ndarray) -> np.ndarray:
    """uint8 [3, height, width] -> uint8 [height, width, 4], the fourth byte 0.

    By arithmetic on whole pixels, which NumPy does many at a time. It takes a third of the time of a change of layout,
    which moves single bytes, in NumPy as in PyTorch. `planes_of` takes half of it.
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
    """uint8 [height, width, channels], contiguous, brought to `size` (height, width) by PyTorch, which computes with
    integers of 16 bits."""
    # The batch axis is added before the channels are moved: added after it, PyTorch would take the pixels for planes
    # and move all bytes.
    channels_last = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    picture = interpolate(channels_last, size, mode=mode, align_corners=False, antialias=antialias)[0]
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())    # copies only for an edge of one pixel


def scaled(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 [channels, height, width] on the CPU, brought to `size` (height, width) bilinearly, not antialiased."""
    if len(picture) != 3:
        return interpolate(picture[None], size, mode="bilinear", align_corners=False)[0]
    return torch.from_numpy(planes_of(resized(pixels_of(picture.numpy()), size)))
