"""Erase: some pictures lose a rectangle (Zhong 2017, arXiv 1708.04896)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lensmith.data.batches import pixels
from lensmith.data.batches.augment.augmentation import check_within
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import ERASE, ERASE_AREA, ERASE_ASPECT, ERASE_X, ERASE_Y


@dataclass(frozen=True, kw_only=True)
class Erase:
    """Gives a rectangle of 2 to 33 % of the area, of an aspect ratio up to 1 : 0.3, the picture's mean colour."""

    erase: float = 0.0    # fraction of the pictures

    def check(self) -> None:
        check_within("erase", self.erase, 0, 1)

    def apply(self, changes: Changes) -> None:
        size, device, erased = changes.size, changes.device, self._rectangles(changes)

        def change(values: Tensor, rows: slice) -> Tensor:
            return torch.where(pixels.inside(erased[rows], size, device), pixels.mean_of(values), values)

        changes.pixels.append(change)

    def _rectangles(self, changes: Changes) -> Tensor:
        """int64 [batch, 4], as of pixels.rectangle; of no pixel where nothing is erased."""
        height, width = changes.size
        area = 0.02 + 0.31 * changes.uniform(ERASE_AREA)
        stretch = torch.exp((changes.uniform(ERASE_ASPECT) * 2 - 1) * math.log(1 / 0.3))
        rectangles = pixels.rectangle((area * stretch).sqrt() * width, (area / stretch).sqrt() * height,
                                      changes.uniform(ERASE_X), changes.uniform(ERASE_Y), changes.size)
        return rectangles * (changes.uniform(ERASE) < self.erase)[:, None]
