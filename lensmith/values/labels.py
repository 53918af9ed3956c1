"""What is said of a whole picture: a class, tags, or numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.values.value import Value

UNKNOWN = -1     # the label of a picture that has none


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
