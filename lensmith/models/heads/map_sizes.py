"""How maps of one picture meet whose extents differ by what layers have cut off and rounded away."""

from collections.abc import Sequence

import torch
from torch import Tensor


def brought_to(level: Tensor, size: Sequence[int], *, within: int) -> Tensor:
    """The map [batch, channels, height, width] cut, or its border repeated, to `size` (height, width).

    What is missing or too much by less than `within` cells was rounded on the right and below, where strides do it;
    more has been taken off by convolutions without padding, on both sides alike.
    """
    for axis, wanted in zip((2, 3), size, strict=True):
        missing = wanted - level.shape[axis]
        before = 0 if abs(missing) < within else int(missing / 2)
        level = _changed(level, axis, before, missing - before)
    return level


def _changed(level: Tensor, axis: int, before: int, after: int) -> Tensor:
    """The map with so many cells more, or fewer, at both ends of an axis."""
    first, last = max(0, -before), level.shape[axis] - max(0, -after)
    if (first, last) != (0, level.shape[axis]):
        level = level.narrow(axis, first, last - first)
    if before <= 0 and after <= 0:
        return level
    # Not replication_pad2d, whose gradient differs from run to run on CUDA.
    left, right = level.narrow(axis, 0, 1), level.narrow(axis, level.shape[axis] - 1, 1)
    return torch.cat([left] * max(0, before) + [level] + [right] * max(0, after), axis)
