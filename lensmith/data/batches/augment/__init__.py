"""The table of augmentations, and what makes a whole batch of them at once."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import UserError, nearest
from lensmith.base.hashed_random import hashed
from lensmith.base.pictures import PADDING
from lensmith.data.batches.augment.augmentation import Augmentation
from lensmith.data.batches.augment.blend import Blend
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.colour import Brightness, Contrast, Hue, Saturation
from lensmith.data.batches.augment.crop_padding import CropPadding
from lensmith.data.batches.augment.erase import Erase
from lensmith.data.batches.augment.flip import Flip
from lensmith.data.batches.augment.mosaic import Mosaic
from lensmith.data.batches.augment.random_streams import PARTNER, TILE
from lensmith.data.batches.augment.resized_crop import ResizedCrop
from lensmith.data.batches.augment.rotate import Rotate
from lensmith.data.batches.augment.shrink import Shrink
from lensmith.data.batches.augment.tile_layout import TILES
from lensmith.data.batches.augment.zoom import Zoom
from lensmith.data.sources.sample import Batch

# In the order of their settings in a recipe, and of what each adds to the changes of a batch. To add one write its
# dataclass in a file of this folder, its line here, and its settings in docs/recipe.md.
AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "crop_padding": CropPadding,
    "resized_crop": ResizedCrop,
    "flip": Flip,
    "rotate": Rotate,
    "brightness": Brightness,
    "contrast": Contrast,
    "saturation": Saturation,
    "hue": Hue,
    "erase": Erase,
    "blend": Blend,
    "shrink": Shrink,
    "zoom": Zoom,
    "mosaic": Mosaic,
}


class Augment:
    """What is done to training batches; without settings nothing.

    Invariant: what happens to a sample depends on (seed, epoch, index in the set) alone, never on its neighbours; and
    where balanced sampling draws it again in one epoch, on how often it was drawn before. The numbers are drawn on the
    CPU; pixels are changed where they are, and on a CPU with the same bits for any number of threads.
    """

    def __init__(self, *, seed: int = 0, classes: Mapping[str, tuple[str, ...]] | None = None, length: int = 0,
                 epochs: int = 0, padding: int | None = None, **settings: Any):
        """Raises UserError for a setting that no augmentation has, and for wrong values.

        seed: of the run.
        classes: the names of the classes of each target, which blended targets are spread over.
        length: the samples of the set, among which partners are drawn.
        epochs: of the run, of which the last may go without some augmentations.
        padding: the value of pixels where no picture is, as Form.level has it; None: a gray of all the dtype's values.
        settings: those of the AUGMENTATIONS, as `flip=True`.
        """
        self.seed, self.classes, self.length, self.epochs = seed, classes or {}, length, epochs
        self.padding = padding
        self._blend, self._mosaic, self._shrink = Blend(), Mosaic(), Shrink()    # those that a batch is prepared for
        self._used: list[Augmentation] = []
        for augmentation in _augmentations(settings):
            match augmentation:
                case Blend():
                    self._blend = augmentation
                case Mosaic():
                    self._mosaic = augmentation
                case Shrink():
                    self._shrink = augmentation
            augmentation.check()
            if augmentation != type(augmentation)():
                self._used.append(augmentation)
        _check_together(settings)

    @property
    def is_on(self) -> bool:
        """Whether anything is done at all."""
        return bool(self._used)

    @property
    def shrunk_epochs(self) -> int:
        """So many first epochs show smaller pictures."""
        return self._shrink.epochs

    def blends(self, epoch: int) -> bool:
        """Whether samples are blended with another."""
        return self._blend.is_on and not self._is_closed(epoch)

    def tiles(self, epoch: int) -> bool:
        """Whether samples are put together of four."""
        return self._mosaic.mosaic > 0 and not self._is_closed(epoch)

    def _is_closed(self, epoch: int) -> bool:
        last = self._mosaic.close_mosaic
        return bool(last) and epoch >= self.epochs - last

    def company(self, epoch: int) -> int:
        """How many partners each sample needs: three for its mosaic, then one to be blended with."""
        return (TILES - 1) * self.tiles(epoch) + self.blends(epoch)

    def partners(self, epoch: int, rows: Tensor, occurrences: Tensor | None = None) -> Tensor:
        """int64 [batch, company]: the samples that each of `rows` meets, in its draw after `occurrences` others."""
        keys = self._keys(epoch, rows, occurrences).view(np.int64)
        drawn = [hashed(keys, TILE, number) for number in range((TILES - 1) * self.tiles(epoch))]
        if self.blends(epoch):
            partner = hashed(self.seed, epoch, rows.numpy(), PARTNER)
            if occurrences is not None:
                partner = np.where(occurrences.numpy() == 0, partner, hashed(keys, PARTNER))
            drawn.append(partner)
        chosen = np.array(drawn, dtype=np.uint64).reshape(-1, len(rows)).T >> np.uint64(1)
        return torch.from_numpy((chosen % np.uint64(self.length)).astype(np.int64))

    def _keys(self, epoch: int, rows: Tensor, occurrences: Tensor | None) -> np.ndarray:
        """uint64 [batch]: what all that is drawn for a sample follows from."""
        first = hashed(self.seed, epoch, rows.numpy())
        if occurrences is None:
            return first
        again = hashed(self.seed, epoch, rows.numpy(), occurrences.numpy())
        return np.where(occurrences.numpy() == 0, first, again)

    def __call__(self, batch: Batch, epoch: int, partner: Batch | None = None) -> Batch:
        """The augmented batch; `partner` holds those of `partners`, sample by sample, where there are any."""
        others, company = None, self.company(epoch)
        if company:
            assert partner is not None
            numbers = torch.arange(len(batch) * company).view(-1, company)
            if self.tiles(epoch):
                others = partner.take(numbers[:, : TILES - 1].flatten())
            if company > TILES - 1:
                partner = partner.take(numbers[:, -1])
        changed = self._changes(partner, epoch).each_picture() if partner is not None and self.blends(epoch) else None
        changes = self._changes(batch, epoch, others=others, partner=changed)
        batch = changes.each_picture()
        for change in changes.afterwards:
            batch = change(batch)
        return batch

    def _changes(self, batch: Batch, epoch: int, *, others: Batch | None = None,
                 partner: Batch | None = None) -> Changes:
        changes = Changes(batch=batch, keys=self._keys(epoch, batch.indices, batch.occurrences), epoch=epoch,
                          seed=self.seed, classes=self.classes, others=others, partner=partner)
        by_itself = PADDING * (257 if batch.images.dtype == torch.uint16 else 1)
        changes.placement.padding = by_itself if self.padding is None else self.padding
        for augmentation in self._used:
            augmentation.apply(changes)
        return changes


def _augmentations(settings: Mapping[str, Any]) -> list[Augmentation]:
    """Every augmentation of the table with its settings."""
    names = {entry: [field.name for field in fields(entry)] for entry in AUGMENTATIONS.values()}    # type: ignore[arg-type]
    accepted = [name for names_of_entry in names.values() for name in names_of_entry]
    for name in settings:
        if name not in accepted:
            raise UserError(f"there is no augment.{name}.{nearest(name, accepted)} Known: {', '.join(accepted)}.")
    return [entry(**{name: settings[name] for name in names_of_entry if name in settings})
            for entry, names_of_entry in names.items()]


def _check_together(settings: Mapping[str, Any]) -> None:
    """Raises UserError for settings that are right by themselves and not together."""
    anew = [name for name in ("zoom", "mosaic") if settings.get(name)]
    moved = [name for name in ("crop_padding", "resized_crop", "rotate") if settings.get(name)]
    if anew and moved:
        raise UserError(f"augment.{anew[0]} and augment.{moved[0]} both place the picture anew: leave one of them out")
