"""Mosaic: pictures put together of four (Bochkovskiy 2020, arXiv 2004.10934)."""

from dataclasses import dataclass

import numpy as np

from lensmith.data.batches.augment.augmentation import check_within
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import MOSAIC


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """Puts some pictures together of themselves and three others, all at one zoom."""

    mosaic: float = 0.0      # fraction of the pictures
    close_mosaic: int = 0    # so many last epochs come without mosaic, mixup and cutmix

    def check(self) -> None:
        check_within("mosaic", self.mosaic, 0, 1)
        check_within("close_mosaic", self.close_mosaic, 0, 1_000_000)

    def apply(self, changes: Changes) -> None:
        if self.mosaic > 0:
            # Without others, as in the last epochs, a picture still comes without its padding, at a random position.
            alone = np.zeros(len(changes.batch), dtype=bool)
            changes.placement.mosaic = alone if changes.others is None else \
                changes.uniform(MOSAIC).numpy() < self.mosaic
