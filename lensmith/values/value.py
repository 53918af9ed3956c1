"""What is said of a picture: a label, tags, numbers, boxes or a mask. Truth and prediction share these types.

A stack of values is a value of the same type: every tensor then has one leading axis more, `[batch, ...]`; boxes
carry `image` instead, the number of the picture that each belongs to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import UserError

IGNORED = 255    # the class of a pixel that neither counts nor costs
UNKNOWN = -1     # the label of a picture that has none


@dataclass(frozen=True)
class Value:
    """The operations that every value shares; the plain ones are right for what does not depend on geometry."""

    def _tensors(self) -> dict[str, Tensor]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def to(self, device: torch.device | str) -> Self:
        return replace(self, **{name: sent(tensor, device) for name, tensor in self._tensors().items()})

    @classmethod
    def stack(cls, values: Sequence[Self]) -> Self:
        """Single values, one a picture -> one stacked value."""
        names = values[0]._tensors()
        return cls(**{name: torch.stack([getattr(value, name) for value in values]) for name in names})

    def take(self, rows: Tensor) -> Self:
        """The pictures `rows` (int64 [k]) of a stacked value, in that order."""
        return replace(self, **{name: tensor[rows] for name, tensor in self._tensors().items()})

    def __getitem__(self, row: int) -> Self:
        """One picture's value out of a stacked one."""
        return replace(self, **{name: tensor[row] for name, tensor in self._tensors().items()})

    def flip(self, width: int) -> Self:
        """The value of the picture mirrored left to right; `width` in pixels."""
        return self

    def warp(self, matrix: Tensor, size: tuple[int, int]) -> Self:
        """A stacked value after each picture's own affine map.

        `matrix` float [batch, 2, 3] takes source pixels (x, y, 1) to target pixels; `size` is the target's
        (height, width).
        """
        return self

    def in_files(self, fits: Tensor, sizes: Tensor) -> Self:
        """A stacked value of the network's pictures as one of the files that they came from.

        `fits` float [batch, 4] as of Place.fit; `sizes` float [batch, 2], each file's height and width.
        """
        return self

    def mix(self, other: Self, share: Tensor, classes: int) -> Self:
        """A stacked value blended with another: `share` float [batch] of self, the rest of `other`."""
        raise UserError(f"mixup and cutmix blend labels, tags and numbers; a {type(self).__name__.lower()} target "
                        "cannot be blended: set augment.mixup=0 and augment.cutmix=0")

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """A single value as plain data; `names` are the classes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Label(Value):
    """One class per picture."""

    index: Tensor                   # int64 []; UNKNOWN where the picture has no label
    scores: Tensor | None = None    # float [classes], summing to 1; in the truth only where pictures were blended

    def mix(self, other: Self, share: Tensor, classes: int) -> Self:
        scores = share[:, None] * self._shares(classes) + (1 - share[:, None]) * other._shares(classes)
        return replace(self, index=torch.where(share >= 0.5, self.index, other.index), scores=scores)

    def _shares(self, classes: int) -> Tensor:
        """float [batch, classes]: the scores, or all on the one class; nothing where the label is unknown."""
        if self.scores is not None:
            return self.scores
        return F.one_hot(self.index.clamp(min=0), classes) * (self.index != UNKNOWN).float()[:, None]

    def top(self, k: int) -> list[tuple[int, float]]:
        """The k likeliest classes of a single prediction, best first, with their probabilities."""
        if self.scores is None:
            return [(int(self.index), 1.0)]
        best = self.scores.topk(min(k, len(self.scores)))
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        shown: dict[str, Any] = {"label": names[int(self.index)] if int(self.index) >= 0 else None}
        if self.scores is not None:
            shown["scores"] = {names[i]: round(p, 6) for i, p in self.top(5)}
        return shown


@dataclass(frozen=True)
class Tags(Value):
    """Any number of classes per picture."""

    present: Tensor                 # float [classes]: 1 present, 0 absent, NaN not known; between where blended
    scores: Tensor | None = None    # float [classes], each in 0..1

    def mix(self, other: Self, share: Tensor, classes: int) -> Self:
        return replace(self, present=share[:, None] * self.present + (1 - share[:, None]) * other.present)

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        present = self.present.tolist()
        shown: dict[str, Any] = {"tags": [name for name, on in zip(names, present, strict=True) if on >= 0.5]}
        if self.scores is not None:
            shown["scores"] = {name: round(p, 6) for name, p in zip(names, self.scores.tolist(), strict=True)}
        return shown


@dataclass(frozen=True)
class Numbers(Value):
    """One or several quantities per picture, in the units of the file they came from."""

    values: Tensor    # float32 [quantities]; NaN where not known

    def mix(self, other: Self, share: Tensor, classes: int) -> Self:
        return replace(self, values=share[:, None] * self.values + (1 - share[:, None]) * other.values)

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        return {"numbers": dict(zip(names, self.values.tolist(), strict=True))}


@dataclass(frozen=True)
class Boxes(Value):
    """Objects as rectangles with a class each."""

    corners: Tensor                 # float32 [n, 4]: x0 y0 x1 y1, pixels of the network's picture
    classes: Tensor                 # int64 [n]
    scores: Tensor | None = None    # float32 [n]; None in the truth
    image: Tensor | None = None     # int64 [n], ascending: which picture of the batch; None for a single picture
    crowd: Tensor | None = None     # bool [n]: regions that neither count nor cost (COCO iscrowd, VOC difficult)
    area: Tensor | None = None      # float32 [n], square pixels of the file: the annotation's own where it gives one

    @classmethod
    def stack(cls, values: Sequence[Self]) -> Self:
        image = torch.cat([torch.full_like(one.classes, i) for i, one in enumerate(values)])
        names = [name for name in values[0]._tensors() if name != "image"]
        return cls(**{name: torch.cat([getattr(one, name) for one in values]) for name in names}, image=image)

    def _rows(self, chosen: Tensor, image: Tensor | None) -> Self:
        kept = {name: tensor[chosen] for name, tensor in self._tensors().items() if name != "image"}
        return replace(self, **kept, image=image)

    def chosen(self, kept: Tensor) -> Self:
        """The boxes where `kept` (bool [n]) is true."""
        return self._rows(kept.nonzero()[:, 0], None if self.image is None else self.image[kept])

    def take(self, rows: Tensor) -> Self:
        assert self.image is not None
        rows, place = rows.contiguous(), rows.device
        first, last = torch.searchsorted(self.image, rows), torch.searchsorted(self.image, rows, right=True)
        counts = last - first
        image = torch.repeat_interleave(torch.arange(len(rows), device=place), counts)
        within = torch.arange(int(counts.sum()), device=place) - \
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
        return self.place(matrix, edges.expand(len(matrix), 4))

    def place(self, matrix: Tensor, windows: Tensor, *, least: float = 0.0, edge: float = 1e-3) -> Self:
        """A stacked value after each picture's own affine map (`warp`), cut to a window of each.

        `windows` float [batch, 4]: x0 y0 x1 y1. Of a box that is cut at least the share `least` of its area has to be
        left, and more than `edge` pixels each way; what is not is left out.
        """
        assert self.image is not None
        corners, kept = self._placed(matrix, windows, least=least, edge=edge)
        return replace(self, corners=corners)._rows(kept, self.image[kept])

    def _placed(self, matrix: Tensor, windows: Tensor, *, least: float, edge: float) -> tuple[Tensor, Tensor]:
        """The corners as `place` makes them, and int64 [kept] the boxes that it leaves."""
        assert self.image is not None
        x0, y0, x1, y1 = self.corners.unbind(1)
        corners = torch.stack((torch.stack((x0, x1, x1, x0), 1), torch.stack((y0, y0, y1, y1), 1)), 1)    # [n, 2, 4]
        own = matrix[self.image]
        moved = own[:, :, :2] @ corners + own[:, :, 2:]
        low, high = moved.amin(2), moved.amax(2)
        whole = (high - low).prod(1)
        first, last = windows[self.image].split(2, 1)
        low, high = low.maximum(first).minimum(last), high.maximum(first).minimum(last)
        left = high - low
        enough = left.prod(1) >= least * whole
        if self.crowd is not None:    # of a region that does not count every part stays one
            enough = enough | self.crowd
        kept = ((left > edge).all(1) & enough).nonzero()[:, 0]
        return torch.cat((low, high), 1), kept

    def in_files(self, fits: Tensor, sizes: Tensor) -> Self:
        assert self.image is not None
        scale, shift = fits[self.image].split(2, 1)
        limit = sizes[self.image].flip(1).repeat(1, 2)
        corners = (self.corners - shift.repeat(1, 2)) / scale.repeat(1, 2)
        return replace(self, corners=corners.clamp(min=0).minimum(limit).to(self.corners.dtype))

    def mix(self, other: Self, share: Tensor, classes: int) -> Self:
        """The boxes of both pictures, wherever each has a share: what shines through is there (Zhang 2019)."""
        assert self.image is not None and other.image is not None
        own, its = ((part[one.image] > 0).nonzero()[:, 0] for one, part in ((self, share), (other, 1 - share)))
        return self._rows(own, self.image[own]).join(other._rows(its, other.image[its]))

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


def of_kind(targets: Mapping[str, Value], *kinds: type[Value]) -> tuple[str, ...]:
    """The names of those targets that are values of one of these types, in their order."""
    return tuple(name for name, value in targets.items() if isinstance(value, kinds))


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on `device`. To CUDA it goes by page-locked memory, so that neither side waits for the copy."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


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
