"""A data set that lies in memory as one tensor of pictures: what IDX and CIFAR files are, and what the store makes."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from lensmith.base.pictures import Form, Place, bring, to_pil
from lensmith.base.values import Value
from lensmith.data.sample import Batch, Sample


class Numbered(Sequence[Place]):
    """The places of pictures that lie in one file, by their number in it."""

    def __init__(self, file: str, size: tuple[int, int], rows: np.ndarray):
        self.file, self.size, self.rows = file, size, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i):    # type: ignore[no-untyped-def]
        return Place(f"{self.file}#{self.rows[i]}", self.size)

    def subset(self, rows: np.ndarray) -> "Numbered":
        return Numbered(self.file, self.size, self.rows[rows])


class InMemory:
    """A Source whose pictures are uint8 or uint16 [n, channels, height, width]."""

    def __init__(self, images: Tensor, targets: dict[str, Value], classes: dict[str, tuple[str, ...]], *,
                 places: Sequence[Place], groups: np.ndarray | None = None):
        self.images, self.targets, self.classes = images, targets, classes
        self.places, self.groups = places, groups

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Sample:
        return Sample(self.images[i], {name: value[i] for name, value in self.targets.items()}, self.places[i])

    def place(self, i: int) -> Place:
        return self.places[i]

    def gather(self, rows: Tensor) -> Batch:
        """The samples `rows` (int64 [batch]) as a batch, copied at once."""
        targets = {name: value.take(rows) for name, value in self.targets.items()}
        return Batch(take_pictures(self.images, rows), targets, self._places(rows), rows)

    def _places(self, rows: Tensor) -> Sequence[Place]:
        if isinstance(self.places, Numbered):    # made only when they are looked at
            return self.places.subset(rows.numpy())
        return [self.places[i] for i in rows.tolist()]

    def subset(self, rows: Sequence[int]) -> Self:
        chosen = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        targets = {name: value.take(chosen) for name, value in self.targets.items()}
        groups = None if self.groups is None else self.groups[chosen.numpy()]
        return type(self)(take_pictures(self.images, chosen), targets, self.classes, places=self._places(chosen),
                          groups=groups)

    def shaped(self, form: Form) -> Self:
        """The same pictures in another form, by the same way that a picture file takes."""
        if self.images.shape[1:] == (form.channels, *form.size) and self.images.dtype == form.dtype:
            return self
        images = torch.stack([bring(to_pil(image), form)[0] for image in self.images])
        return type(self)(images, self.targets, self.classes, places=self.places, groups=self.groups)


def take_pictures(images: Tensor, rows: Tensor) -> Tensor:
    """`images[rows]`; torch indexes uint16 only by its bytes."""
    if images.dtype == torch.uint16:
        return images.view(torch.int16)[rows].view(torch.uint16)
    return images.index_select(0, rows)
