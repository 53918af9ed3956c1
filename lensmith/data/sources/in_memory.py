"""A data set that lies in memory as one tensor of pictures: what IDX and CIFAR files are, and what the store makes."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.base.pictures import Form, Place, fit_after, fit_of, refit
from lensmith.data.sources.sample import Batch, Sample
from lensmith.values.value import Value


class Numbered(Sequence[Place]):
    """The places of pictures in one file, by their number in it; all have one size and are fitted alike."""

    def __init__(self, file: str, size: tuple[int, int], rows: np.ndarray,
                 fit: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0)):
        self.file, self.size, self.rows, self.fit = file, size, rows, fit

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i):    # type: ignore[no-untyped-def]
        return Place(f"{self.file}#{self.rows[i]}", self.size, self.fit)

    def subset(self, rows: np.ndarray) -> "Numbered":
        return Numbered(self.file, self.size, self.rows[rows], self.fit)

    def fitted(self, size: tuple[int, int], form: Form) -> "Numbered":
        """The places of the same pictures, of (height, width) `size` now, brought to `form`."""
        return Numbered(self.file, self.size, self.rows, fit_after(self.fit, fit_of(size, form)))


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

    def has(self, form: Form) -> bool:
        """Whether the pictures are of that size, those channels and bits already."""
        return self.images.shape[1:] == (form.channels, *form.size) and self.images.dtype == form.dtype

    def shaped(self, form: Form) -> Self:
        """The same pictures in another form, by the same way that a picture file takes; DataError where they are too
        large for the memory."""
        if self.has(form):
            return self
        images = room_for(len(self), form)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda i: images[i].copy_(refit(self.images[i], form)), range(len(self))):
                pass
        return type(self)(images, self.targets, self.classes, places=_fitted(self, form), groups=self.groups)


class Reshaped:
    """A Source that brings pictures in memory to another form each time they are asked for: there is no room for them
    all in that form."""

    def __init__(self, source: InMemory, form: Form):
        self.source, self.form, self.places = source, form, _fitted(source, form)
        self.targets, self.classes, self.groups = source.targets, source.classes, source.groups

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> Sample:
        targets = {name: value[i] for name, value in self.targets.items()}
        return Sample(refit(self.source.images[i], self.form), targets, self.place(i))

    def place(self, i: int) -> Place:
        return self.places[i]

    def subset(self, rows: Sequence[int]) -> Self:
        subset = type(self)(self.source.subset(rows), self.form)
        subset.targets = {name: subset.targets[name] for name in self.targets}
        return subset

    def shaped(self, form: Form) -> Self:
        return type(self)(self.source, form)


def _fitted(source: InMemory, form: Form) -> Sequence[Place]:
    """The places of pictures that are brought to `form` now, from what was made of their files before."""
    height, width = source.images.shape[2:]
    if isinstance(source.places, Numbered):
        return source.places.fitted((height, width), form)
    step = fit_of((height, width), form)
    return [replace(place, fit=fit_after(place.fit, step)) for place in source.places]


def room_for(count: int, form: Form) -> Tensor:
    """An empty tensor [count, channels, height, width] of the form; DataError where it does not fit into memory."""
    try:
        return torch.empty((count, form.channels, *form.size), dtype=form.dtype)
    except (RuntimeError, MemoryError) as error:
        raise DataError(f"{count:,} pictures of {form.height} x {form.width} do not fit into memory: stream them with "
                        "loading.memory=0, or take smaller ones with pictures.size") from error


def take_pictures(images: Tensor, rows: Tensor) -> Tensor:
    """`images[rows]`; torch indexes uint16 only by its bytes."""
    if images.dtype == torch.uint16:
        return images.view(torch.int16)[rows].view(torch.uint16)
    return images.index_select(0, rows)
