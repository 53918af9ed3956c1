"""One class per pixel, and a mask of the network's picture as one of the file that it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.pictures import Place
from lensmith.values.value import Value

IGNORED = 255         # the class of a pixel that neither counts nor costs
_AT_ONCE = 1 << 22    # interpolated scores, over all classes, that are held at a time


@dataclass(frozen=True)
class Mask(Value):
    """One class per pixel."""

    kind: ClassVar[str] = "mask"
    spatial: ClassVar[bool] = True

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

    def in_file(self, place: Place, size: tuple[int, int]) -> Self:
        """A single mask as one of the file's own size: uint8 [height, width], IGNORED where the network saw nothing.

        Scores are interpolated bilinearly before the likeliest class is taken, which gives smooth outlines. A mask
        without `scores` gives each pixel the class of the nearest cell. The padding of a letterbox is left out.
        """
        in_file = torch.full(place.size, IGNORED, dtype=torch.uint8)
        (rows, seen_rows), (columns, seen_columns) = seen_pixels(place, self.classes.shape)
        if not len(rows) or not len(columns):
            return replace(self, classes=in_file, scores=None)
        if self.scores is None:
            classes = self.classes[rows.round().long()][:, columns.round().long()].to(torch.uint8)
        else:
            step = max(1, _AT_ONCE // (len(self.scores) * len(columns)))
            classes = torch.cat([between(between(self.scores, some_rows, 1), columns, 2).argmax(0).to(torch.uint8)
                                 for some_rows in rows.split(step)])
        in_file[seen_rows, seen_columns] = classes
        return replace(self, classes=in_file, scores=None)

    def compact(self, *, scores: bool) -> Self:
        return replace(self, classes=self.classes.to(torch.uint8), scores=None)

    def renumbered(self, numbers: Tensor, classes: int) -> Self:
        table = torch.full((IGNORED + 1,), IGNORED, dtype=self.classes.dtype)
        table[: len(numbers)] = numbers.to(table)
        moved = torch.empty_like(self.classes)
        for row, mask in enumerate(self.classes):    # one by one: an index takes eight bytes a pixel
            moved[row] = table[mask.long()]
        return replace(self, classes=moved)

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        counts = torch.bincount(self.classes.flatten(), minlength=len(names))[: len(names)]
        return {"pixels": dict(zip(names, counts.tolist(), strict=True))}


def seen_pixels(place: Place, cells: Sequence[int]) -> list[tuple[Tensor, slice]]:
    """Of the rows and of the columns of a file those that the network saw, as a slice, and where they lie among its
    `cells` (rows, columns), counted from the middle of the first cell."""
    return [_sources(place.size[axis], cells[axis], place.fit[1 - axis], place.fit[3 - axis]) for axis in range(2)]


def _sources(length: int, edge: int, scale: float, shift: float) -> tuple[Tensor, slice]:
    """Where the `length` pixels of an axis of the file lie among the network's `edge` cells, and which pixels it saw.

    -> positions of the seen pixels in cells, counted from the middle of the first cell, and the slice of these pixels.
    """
    positions = (torch.arange(length, dtype=torch.float64) + 0.5) * scale + shift
    seen = ((positions > 0) & (positions < edge)).nonzero()[:, 0]
    if not len(seen):
        return positions[:0], slice(0, 0)
    first, last = max(0, round(shift)), min(edge, round(shift + length * scale))
    inside = (positions[seen] - 0.5).clamp(first, max(first, last - 1))
    return inside, slice(int(seen[0]), int(seen[-1]) + 1)


def between(scores: Tensor, positions: Tensor, axis: int) -> Tensor:
    """The scores at `positions` between the cells of an axis, interpolated linearly."""
    low = positions.floor().long()
    high = (low + 1).clamp(max=scores.shape[axis] - 1)
    shape = [1] * scores.ndim
    shape[axis] = -1
    fraction = (positions - low).to(scores.dtype).view(shape)
    return torch.lerp(scores.index_select(axis, low), scores.index_select(axis, high), fraction)


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
    # An affine map is separable: position = f(column) + g(line). Complex numbers add x and y in one operation.
    return torch.view_as_real(columns[:, None] + lines[:, :, None])
