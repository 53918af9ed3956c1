"""Bringing the maps of one picture to one size, where layers have cut cells off or rounded them away."""

from collections.abc import Sequence

import torch
from torch import Tensor


def brought_to(level: Tensor, size: Sequence[int], *, within: int) -> Tensor:
    """The map [batch, channels, height, width] with `size` (height, width): cropped, or its border repeated.

    A difference below `within` cells comes of rounding by strides, which takes it off on the right and below. A larger
    one comes of convolutions without padding, which take it off on both sides alike.
    """
    for axis, wanted in zip((2, 3), size, strict=True):
        missing = wanted - level.shape[axis]
        before = 0 if abs(missing) < within else int(missing / 2)
        level = _changed(level, axis, before, missing - before)
    return level


def _changed(level: Tensor, axis: int, before: int, after: int) -> Tensor:
    """The map with so many cells added, or taken off where negative, at both ends of an axis."""
    first, last = max(0, -before), level.shape[axis] - max(0, -after)
    if (first, last) != (0, level.shape[axis]):
        level = level.narrow(axis, first, last - first)
    if before <= 0 and after <= 0:
        return level
    # The gradient of replication_pad2d differs from run to run on CUDA; that of concatenation does not.
    first_cell, last_cell = level.narrow(axis, 0, 1), level.narrow(axis, level.shape[axis] - 1, 1)
    return torch.cat([first_cell] * max(0, before) + [level] + [last_cell] * max(0, after), axis)
