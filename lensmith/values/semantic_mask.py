"""One class per pixel, and a mask of the network's picture as one of the file that it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.pictures import Place
from lensmith.values.value import Value

IGNORED = 255    # the class of a pixel that neither counts nor costs
_AT_ONCE = 1 << 22    # numbers of all classes that are held at a time


@dataclass(frozen=True)
class Mask(Value):
    """One class per pixel."""

    classes: Tensor                 # int64 or uint8 [height, width]; IGNORED where a pixel neither counts nor costs
    scores: Tensor | None = None    # float [classes, height, width], summing to 1; where a prediction keeps them

    def flip(self, width: int) -> Self:
        return replace(self, **{name: tensor.flip(-1) for name, tensor in self._tensors().items()})

    def warp(self, matrix: Tensor, size: tuple[int, int]) -> Self:
        grid = sampling_grid(matrix, self.classes.shape[-2:], size)
        moved = F.grid_sample(self.classes[:, None].float() + 1, grid, mode="nearest", align_corners=False)
        # What came from outside the picture sampled as 0: no class was seen there.
        classes = torch.where(moved[:, 0] == 0, IGNORED + 1, moved[:, 0]).long() - 1
        return replace(self, classes=classes, scores=None)

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        counts = torch.bincount(self.classes.flatten(), minlength=len(names))[: len(names)]
        return {"pixels": dict(zip(names, counts.tolist(), strict=True))}


def in_file(mask: Mask, place: Place) -> Mask:
    """A single mask as one of the file's own size: uint8 [height, width], IGNORED where the network saw nothing.

    Where the mask has `scores` these are interpolated bilinearly and the likeliest class is taken, so that outlines
    come out smooth; else each pixel takes the class of the nearest. The ground around a letterboxed picture has no part
    in it.
    """
    found = torch.full(place.size, IGNORED, dtype=torch.uint8)
    (rows, seen_rows), (columns, seen_columns) = (
        _sources(place.size[axis], mask.classes.shape[axis], place.fit[1 - axis], place.fit[3 - axis])
        for axis in range(2))
    if not len(rows) or not len(columns):
        return Mask(found)
    if mask.scores is None:
        classes = mask.classes[rows.round().long()][:, columns.round().long()].to(torch.uint8)
    else:
        step = max(1, _AT_ONCE // (len(mask.scores) * len(columns)))
        classes = torch.cat([between(between(mask.scores, part, 1), columns, 2).argmax(0).to(torch.uint8)
                             for part in rows.split(step)])
    found[seen_rows, seen_columns] = classes
    return Mask(found)


def _sources(length: int, edge: int, scale: float, shift: float) -> tuple[Tensor, slice]:
    """Where the pixels of a file lie among the `edge` cells of an axis, in cells from the first one's middle, for those
    that the network saw; and which these are."""
    place = (torch.arange(length, dtype=torch.float64) + 0.5) * scale + shift
    seen = ((place > 0) & (place < edge)).nonzero()[:, 0]
    if not len(seen):
        return place[:0], slice(0, 0)
    first, last = max(0, round(shift)), min(edge, round(shift + length * scale))
    inside = (place[seen] - 0.5).clamp(first, max(first, last - 1))
    return inside, slice(int(seen[0]), int(seen[-1]) + 1)


def between(scores: Tensor, places: Tensor, axis: int) -> Tensor:
    """The scores at places between the cells of an axis."""
    low = places.floor().long()
    high = (low + 1).clamp(max=scores.shape[axis] - 1)
    shape = [1] * scores.ndim
    shape[axis] = -1
    share = (places - low).to(scores.dtype).view(shape)
    return torch.lerp(scores.index_select(axis, low), scores.index_select(axis, high), share)


def sampling_grid(matrix: Tensor, source: Sequence[int], target: tuple[int, int]) -> Tensor:
    """Where each target pixel's centre lies in the source, for `grid_sample(align_corners=False)`.

    `matrix` float [batch, 2, 3] takes source pixels to target pixels; sizes are (height, width).
    -> float [batch, height, width, 2], x and y in -1..1.
    """
    height, width = target
    linear = torch.linalg.inv(matrix[:, :, :2])
    scale = linear * torch.tensor([[2 / source[1]], [2 / source[0]]], device=matrix.device)
    x = torch.arange(width, device=matrix.device) + 0.5 - matrix[:, :1, 2]
    y = torch.arange(height, device=matrix.device) + 0.5 - matrix[:, 1:, 2]
    columns = torch.complex(x * scale[:, 0, :1], x * scale[:, 1, :1])
    lines = torch.complex(y * scale[:, 0, 1:] - 1, y * scale[:, 1, 1:] - 1)
    # A place is a number of its column plus one of its line; as complex numbers both axes take one sum.
    return torch.view_as_real(columns[:, None] + lines[:, :, None])
