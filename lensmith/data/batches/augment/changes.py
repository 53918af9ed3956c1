"""What is done to one batch: every augmentation adds its own, then all of it is done at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from lensmith.base.hashed_random import hashed, uniform
from lensmith.data.batches import pixels
from lensmith.data.batches.augment.placement import Placement, place
from lensmith.data.batches.augment.random_streams import TILE, TOGETHER
from lensmith.data.batches.augment.tile_layout import TILES
from lensmith.data.sources.sample import Batch

_TOGETHER = np.array(TOGETHER)
# (values, rows) -> values: the pictures `rows` of the batch as floats [some, channels, height, width], which it may
# overwrite, in the units of their dtype; what leaves the dtype's range is cut off once all are done.
PixelChange = Callable[[Tensor, slice], Tensor]
BatchChange = Callable[[Batch], Batch]


@dataclass(kw_only=True)
class Changes:
    """The changes of one batch, in the making.

    An augmentation adds to one of three, which are made in this order:
    - `placement`: where in its picture each sample is looked at. All that is asked for is merged into one operation.
    - `pixels`: what becomes of the pixels, one change after the other on the same floats, which are rounded once.
    - `afterwards`: what is done with the whole batch once each picture has been changed by itself.
    """

    batch: Batch                              # as it was loaded
    keys: np.ndarray                          # uint64 [batch]: all that is drawn for a sample follows from its key
    epoch: int
    seed: int                                 # of the run
    classes: Mapping[str, tuple[str, ...]]    # of each target
    others: Batch | None = None               # of each sample the other tiles of its mosaic, in a row; None: no mosaic
    partner: Batch | None = None              # of each sample what it is blended with, changed by itself already
    placement: Placement = field(default_factory=Placement)
    pixels: list[PixelChange] = field(default_factory=list)
    afterwards: list[BatchChange] = field(default_factory=list)
    _drawn: dict[int, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.batch.images.shape[2], self.batch.images.shape[3]

    @property
    def largest(self) -> int:
        """The largest value of a pixel."""
        return torch.iinfo(self.batch.images.dtype).max

    @property
    def device(self) -> torch.device:
        return self.batch.images.device

    def uniform(self, stream: int) -> Tensor:
        """float32 [batch] in [0, 1), on the CPU: a number for each sample, from its key and the stream alone."""
        if stream not in self._drawn:
            if stream in TOGETHER:    # a call takes as long as a thousand numbers: these three come by one
                keys = np.concatenate((self.keys,) * len(TOGETHER))
                drawn = uniform(keys, _TOGETHER.repeat(len(self.keys))).view(len(TOGETHER), -1)
                self._drawn.update(zip(TOGETHER, drawn, strict=True))
            else:
                self._drawn[stream] = uniform(self.keys, stream)
        return self._drawn[stream]

    def uniform_of_others(self, stream: int) -> Tensor:
        """float32 [batch * 3] in [0, 1): the same for the other tiles of each sample's mosaic, in a row."""
        tile = np.tile(np.arange(1, TILES), len(self.keys))
        return uniform(hashed(np.repeat(self.keys, TILES - 1).view(np.int64), TILE, TILES + tile), stream)

    def each_picture(self) -> Batch:
        """The batch with every picture placed and its pixels changed."""
        batch = place(self.batch, self.placement, self.uniform, others=self.others)
        if not self.pixels:
            return batch
        return replace(batch, images=pixels.in_chunks(batch.images, self._change_pixels))

    def _change_pixels(self, values: Tensor, rows: slice) -> Tensor:
        for change in self.pixels:
            values = change(values, rows)
        return values
