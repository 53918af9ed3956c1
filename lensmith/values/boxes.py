"""Objects as rectangles with a class each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lensmith.values.value import Value


@dataclass(frozen=True)
class Boxes(Value):
    """Objects as rectangles with a class each."""

    kind: ClassVar[str] = "boxes"
    spatial: ClassVar[bool] = True

    corners: Tensor                 # float32 [n, 4]: x0 y0 x1 y1, pixels of the network's picture
    classes: Tensor                 # int64 [n]
    scores: Tensor | None = None    # float32 [n]; None in the truth
    image: Tensor | None = None     # int64 [n], ascending: which picture of the batch; None for a single picture
    crowd: Tensor | None = None     # bool [n]: regions that neither count nor cost (COCO iscrowd, VOC difficult)
    area: Tensor | None = None      # float32 [n], square pixels of the file: the annotation's own where it gives one

    @classmethod
    def stack(cls, values: Sequence[Self]) -> Self:
        image = torch.cat([torch.full_like(boxes.classes, i) for i, boxes in enumerate(values)])
        names = [name for name in values[0]._tensors() if name != "image"]
        return cls(**{name: torch.cat([getattr(boxes, name) for boxes in values]) for name in names}, image=image)

    def _rows(self, chosen: Tensor, image: Tensor | None) -> Self:
        kept = {name: tensor[chosen] for name, tensor in self._tensors().items() if name != "image"}
        return replace(self, **kept, image=image)

    def chosen(self, kept: Tensor) -> Self:
        """The boxes where `kept` (bool [n]) is true."""
        return self._rows(kept.nonzero()[:, 0], None if self.image is None else self.image[kept])

    def take(self, rows: Tensor) -> Self:
        assert self.image is not None
        rows, device = rows.contiguous(), rows.device
        first, last = torch.searchsorted(self.image, rows), torch.searchsorted(self.image, rows, right=True)
        counts = last - first
        image = torch.repeat_interleave(torch.arange(len(rows), device=device), counts)
        within = torch.arange(int(counts.sum()), device=device) - \
            torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        return self._rows(first[image] + within, image)

    def __getitem__(self, row: int) -> Self:
        assert self.image is not None
        return self._rows((self.image == row).nonzero()[:, 0], None)

    def flip(self, width: int) -> Self:
        x0, y0, x1, y1 = self.corners.unbind(1)
        return replace(self, corners=torch.stack((width - x1, y0, width - x0, y1), 1))

    def warp(self, matrix: Tensor, size: tuple[int, int]) -> Self:
        edges = torch.tensor([0, 0, size[1], size[0]], dtype=torch.float32, device=self.corners.device)
        return self.warp_and_cut(matrix, edges.expand(len(matrix), 4))

    def warp_and_cut(self, matrix: Tensor, windows: Tensor, *, least: float = 0.0, edge: float = 1e-3) -> Self:
        """A stacked value after each picture's own affine map (`warp`), cut to a window of each.

        `windows` float [batch, 4]: x0 y0 x1 y1. A box is left out unless at least the fraction `least` of its area
        remains, and more than `edge` pixels each way.
        """
        assert self.image is not None
        corners, kept = self._warped_corners(matrix, windows, least=least, edge=edge)
        return replace(self, corners=corners)._rows(kept, self.image[kept])

    def _warped_corners(self, matrix: Tensor, windows: Tensor, *, least: float, edge: float) -> tuple[Tensor, Tensor]:
        """The corners as `warp_and_cut` makes them, and int64 [kept] the boxes that it keeps."""
        assert self.image is not None
        x0, y0, x1, y1 = self.corners.unbind(1)
        corners = torch.stack((torch.stack((x0, x1, x1, x0), 1), torch.stack((y0, y0, y1, y1), 1)), 1)    # [n, 2, 4]
        maps = matrix[self.image]
        moved = maps[:, :, :2] @ corners + maps[:, :, 2:]
        low, high = moved.amin(2), moved.amax(2)
        uncut_area = (high - low).prod(1)
        first, last = windows[self.image].split(2, 1)
        low, high = low.maximum(first).minimum(last), high.maximum(first).minimum(last)
        extent = high - low
        enough = extent.prod(1) >= least * uncut_area
        if self.crowd is not None:    # any part of a region that does not count does not count either
            enough = enough | self.crowd
        kept = ((extent > edge).all(1) & enough).nonzero()[:, 0]
        return torch.cat((low, high), 1), kept

    def in_files(self, fits: Tensor, sizes: Tensor) -> Self:
        assert self.image is not None
        scale, shift = fits[self.image].split(2, 1)
        limit = sizes[self.image].flip(1).repeat(1, 2)
        corners = (self.corners - shift.repeat(1, 2)) / scale.repeat(1, 2)
        return replace(self, corners=corners.clamp(min=0).minimum(limit).to(self.corners.dtype))

    def renumbered(self, numbers: Tensor, classes: int) -> Self:
        return replace(self, classes=numbers[self.classes])

    def mix(self, other: Self, fraction: Tensor, classes: int) -> Self:
        """The boxes of both pictures, of each where its fraction is above 0 (Zhang 2019): an object that shines through
        is there."""
        assert self.image is not None and other.image is not None
        mine = (fraction[self.image] > 0).nonzero()[:, 0]
        theirs = (1 - fraction[other.image] > 0).nonzero()[:, 0]
        return self._rows(mine, self.image[mine]).join(other._rows(theirs, other.image[theirs]))

    def join(self, other: Self) -> Self:
        """The boxes of two stacked values of the same pictures, those of a picture together."""
        assert self.image is not None and other.image is not None
        image, order = torch.cat((self.image, other.image)).sort(stable=True)
        names = [name for name in self._tensors() if name != "image"]
        return replace(self, image=image, **{name: torch.cat((getattr(self, name), getattr(other, name)))[order]
                                             for name in names})

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        scores = self.scores.tolist() if self.scores is not None else [None] * len(self.classes)
        rows = zip(self.corners.tolist(), self.classes.tolist(), scores, strict=True)
        return {"boxes": [{"label": names[c], "corners": box, **({} if s is None else {"score": s})}
                          for box, c, s in rows]}
