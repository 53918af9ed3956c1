"""Rotate: each picture turned about the middle of what it shows."""

import math
from dataclasses import dataclass

from lensmith.data.batches.augment.augmentation import check_within
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import ROTATE


@dataclass(frozen=True, kw_only=True)
class Rotate:
    """Turns each picture; what comes into view beyond its border is mirrored."""

    rotate: float = 0.0    # degrees, at most, either way

    def check(self) -> None:
        check_within("rotate", self.rotate, 0, 180)

    def apply(self, changes: Changes) -> None:
        changes.placement.angle = (changes.uniform(ROTATE) * 2 - 1) * math.radians(self.rotate)
