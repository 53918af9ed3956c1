"""Crop with padding: each picture shifted by a few pixels, its border mirrored."""

from dataclasses import dataclass

from lensmith.data.batches.augment.augmentation import check_within
from lensmith.data.batches.augment.changes import Changes


@dataclass(frozen=True, kw_only=True)
class CropPadding:
    """Pads by some pixels, mirrored at the edge, and crops back to the size."""

    crop_padding: int = 0    # pixels by which a picture is shifted at most, each way

    def check(self) -> None:
        check_within("crop_padding", self.crop_padding, 0, 10_000)

    def apply(self, changes: Changes) -> None:
        changes.placement.margin = self.crop_padding
