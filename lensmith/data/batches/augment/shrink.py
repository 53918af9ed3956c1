"""Shrink: smaller pictures in the first epochs (progressive learning, Tan 2021, arXiv 2104.00298)."""

from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.data.batches import pixels
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.placement import scaling, warp
from lensmith.data.sources.sample import Batch


@dataclass(frozen=True, kw_only=True)
class Shrink:
    """Shows the pictures smaller in the first epochs: one of half the edges costs a quarter."""

    shrink: list[float] | None = None    # fraction of the edges, one for each of the first epochs

    def check(self) -> None:
        if any(not 0 < fraction <= 1 for fraction in self.shrink or ()):
            raise UserError("augment.shrink must hold fractions of the edges, above 0 and at most 1, one for each of "
                            f"the first epochs, for example [0.5, 0.75]; got {self.shrink}")

    @property
    def epochs(self) -> int:
        """So many first epochs show smaller pictures."""
        return len(self.shrink or ())

    def apply(self, changes: Changes) -> None:
        if changes.epoch < self.epochs and self.shrink:
            changes.afterwards.append(partial(_smaller, fraction=self.shrink[changes.epoch]))


def _smaller(batch: Batch, fraction: float) -> Batch:
    """The batch at this fraction of its height and width, each pixel the weighted mean of those it covers."""
    height, width = batch.images.shape[-2:]
    size = max(1, round(height * fraction)), max(1, round(width * fraction))
    if size == (height, width):
        return batch
    small = F.interpolate(batch.images.float(), size, mode="bilinear", antialias=True)
    nowhere = torch.zeros(len(batch))
    return warp(batch, pixels.rounded(small, batch.images.dtype),
                lambda: scaling(size[1] / width, size[0] / height, nowhere, nowhere))
