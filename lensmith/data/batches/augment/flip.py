"""Flip: half of the pictures mirrored left to right."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lensmith.base.hashed_random import hashed, uniform
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import FLIP
from lensmith.data.sources.sample import Batch


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirrors half of the pictures, anew in each epoch, or those that the epoch before left as they were."""

    flip: bool | Literal["alternate"] = False    # "alternate": the half that was not mirrored in the epoch before

    def check(self) -> None:
        pass

    def apply(self, changes: Changes) -> None:
        alternate = self.flip == "alternate"
        changes.placement.mirrored = _alternating(changes.batch, changes) if alternate else changes.uniform(FLIP) < 0.5
        if changes.others is not None:
            changes.placement.mirrored_others = _alternating(changes.others, changes) if alternate else \
                changes.uniform_of_others(FLIP) < 0.5


def _alternating(batch: Batch, changes: Changes) -> Tensor:
    """bool [batch]: a half that depends on the run's seed alone, and in every other epoch the other half."""
    first = uniform(hashed(changes.seed, batch.indices.numpy()), FLIP) < 0.5
    return first if changes.epoch % 2 == 0 else ~first
