"""One example, a batch of them, and what a data set is: uint8 pictures with named targets."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from lensmith.base.pictures import Form, Place
from lensmith.values.value import Value, to_device


@dataclass(frozen=True)
class Sample:
    """One picture with what is known of it."""

    image: Tensor                 # uint8 or uint16 [channels, height, width]
    targets: dict[str, Value]
    place: Place


@dataclass(frozen=True)
class Batch:
    """Pictures of one size with their targets stacked."""

    images: Tensor                        # uint8 or uint16 [batch, channels, height, width]
    targets: dict[str, Value]
    places: Sequence[Place] = ()          # one a picture; where it came from
    indices: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))    # int64 [batch], in the set
    occurrences: Tensor | None = None     # int64 [batch]: earlier draws of the sample in this epoch; None: no draws

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Self:
        """The batch with pictures and targets on `device`. `indices` and `occurrences` stay on the CPU, where random
        numbers are drawn from them."""
        targets = {name: value.to(device) for name, value in self.targets.items()}
        return replace(self, images=to_device(self.images, device), targets=targets)

    def take(self, rows: Tensor) -> Self:
        """The samples `rows` (int64 [k], on the CPU) of this batch, in that order."""
        on_device = rows.to(self.images.device)
        return replace(self, images=self.images[on_device] if self.images.dtype != torch.uint16 else
                       self.images.view(torch.int16)[on_device].view(torch.uint16),
                       targets={name: value.take(on_device) for name, value in self.targets.items()},
                       places=[self.places[row] for row in rows.tolist()] if len(self.places) else (),
                       indices=self.indices[rows],
                       occurrences=None if self.occurrences is None else self.occurrences[rows])


@runtime_checkable
class Dataset(Protocol):
    """What every format gives. The keys of `classes` are the targets that the set provides."""

    classes: dict[str, tuple[str, ...]]    # target name -> class names (for numbers: the names of the quantities)

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Sample: ...


class Collection(Dataset, Protocol):
    """A data set whose targets are known without reading a picture, so that it can be split, weighed and counted."""

    targets: dict[str, Value]        # stacked, one row a sample
    groups: np.ndarray | None        # str [n]: samples of one group stay in one split; None where nothing is grouped

    def subset(self, rows: Sequence[int]) -> Self: ...

    def place(self, i: int) -> Place: ...


class Source(Collection, Protocol):
    """A collection as a format opens it, before the form of its pictures is chosen."""

    def shaped(self, form: Form) -> Self:
        """The same samples, their pictures brought to `form`."""


@dataclass(frozen=True)
class Splits:
    """What opening a data set gives: the splits that it brings, and an account of what was found."""

    splits: dict[str, Any]                          # "train", "valid", "test" -> Source; "all" where it brings none
    # For data.json: where it lies, what was dropped and why; `notes` are sentences that are told to the user.
    account: dict[str, Any] = field(default_factory=dict)


def collate(samples: Sequence[Sample], indices: Tensor | None = None) -> Batch:
    """Samples whose pictures have one size -> a batch."""
    first = samples[0].targets
    targets = {name: type(value).stack([sample.targets[name] for sample in samples]) for name, value in first.items()}
    images = torch.stack([sample.image for sample in samples])
    places = [sample.place for sample in samples]
    return Batch(images, targets, places, indices if indices is not None else torch.arange(len(samples)))
