"""What is said of a whole picture: a class, tags, or numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.values.value import Value

UNKNOWN = -1     # the label of a picture that has none


@dataclass(frozen=True)
class Label(Value):
    """One class per picture."""

    kind: ClassVar[str] = "label"

    index: Tensor                   # int64 []; UNKNOWN where the picture has no label
    scores: Tensor | None = None    # float [classes], summing to 1; in the truth only where pictures were blended

    def mix(self, other: Self, fraction: Tensor, classes: int) -> Self:
        scores = fraction[:, None] * self._probabilities(classes) + \
            (1 - fraction[:, None]) * other._probabilities(classes)
        return replace(self, index=torch.where(fraction >= 0.5, self.index, other.index), scores=scores)

    def _probabilities(self, classes: int) -> Tensor:
        """float [batch, classes]: the scores, else 1 for the class and 0 for the others; all 0 where it is unknown."""
        if self.scores is not None:
            return self.scores
        return F.one_hot(self.index.clamp(min=0), classes) * (self.index != UNKNOWN).float()[:, None]

    def compact(self, *, scores: bool) -> Self:
        return self if scores else replace(self, scores=None)

    def renumbered(self, numbers: Tensor, classes: int) -> Self:
        return replace(self, index=torch.where(self.index < 0, self.index, numbers[self.index.clamp(min=0)]))

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

    kind: ClassVar[str] = "tags"

    present: Tensor                 # float [classes]: 1 present, 0 absent, NaN not known; between where blended
    scores: Tensor | None = None    # float [classes], each in 0..1

    def mix(self, other: Self, fraction: Tensor, classes: int) -> Self:
        return replace(self, present=fraction[:, None] * self.present + (1 - fraction[:, None]) * other.present)

    def compact(self, *, scores: bool) -> Self:
        return self if scores else replace(self, scores=None)

    def renumbered(self, numbers: Tensor, classes: int) -> Self:
        return replace(self, present=_columns_moved(self.present, numbers, classes))

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        present = self.present.tolist()
        shown: dict[str, Any] = {"tags": [name for name, on in zip(names, present, strict=True) if on >= 0.5]}
        if self.scores is not None:
            shown["scores"] = {name: round(p, 6) for name, p in zip(names, self.scores.tolist(), strict=True)}
        return shown


@dataclass(frozen=True)
class Numbers(Value):
    """One or several quantities per picture, in the units of the file they came from."""

    kind: ClassVar[str] = "numbers"

    values: Tensor    # float32 [quantities]; NaN where not known

    def mix(self, other: Self, fraction: Tensor, classes: int) -> Self:
        return replace(self, values=fraction[:, None] * self.values + (1 - fraction[:, None]) * other.values)

    def renumbered(self, numbers: Tensor, classes: int) -> Self:
        return replace(self, values=_columns_moved(self.values, numbers, classes))

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        return {"numbers": dict(zip(names, self.values.tolist(), strict=True))}


def _columns_moved(columns: Tensor, numbers: Tensor, classes: int) -> Tensor:
    """[n, classes]: column i of `columns` at `numbers[i]`, NaN in the columns that none of them is."""
    moved = torch.full((len(columns), classes), torch.nan, dtype=columns.dtype)
    moved[:, numbers] = columns
    return moved
