"""Resized crop: a part of each picture, enlarged to the size of the whole."""

import math
from dataclasses import dataclass

import torch

from lensmith.base.errors import UserError
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import AREA, ASPECT


@dataclass(frozen=True, kw_only=True)
class ResizedCrop:
    """Shows a rectangle of an aspect ratio between 3/4 and 4/3 times the picture's (Szegedy 2015)."""

    resized_crop: list[float] | None = None    # [least, most] fraction of the area that is shown

    def check(self) -> None:
        area = self.resized_crop
        if area is not None and not (len(area) == 2 and 0 < area[0] <= area[1] <= 1):
            raise UserError("augment.resized_crop must be the [least, most] fraction of the area, for example [0.35, "
                            f"1.0]; got {area}")

    def apply(self, changes: Changes) -> None:
        least, most = self.resized_crop or (1.0, 1.0)
        area = least + (most - least) * changes.uniform(AREA)
        stretch = torch.exp((changes.uniform(ASPECT) * 2 - 1) * math.log(4 / 3))
        changes.placement.fractions = (area * stretch).sqrt().clamp(max=1), (area / stretch).sqrt().clamp(max=1)
