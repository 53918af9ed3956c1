"""What a view is of a network, what it looks at, and how it is drawn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import torch
from PIL import Image
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form, Place
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.sample import Batch
from lensmith.models.network import Network
from lensmith.tasks.task import Task

# What a view looks at beside the network: nothing, pictures that are named, a set of pictures (the run's own, or those
# that are named in its place), or named pictures beside a set.
Needs = Literal["nothing", "pictures", "set", "pictures and set"]


class Result(Protocol):
    """What a view gives: plain data, whose tensors are its fields."""

    def as_json(self) -> dict[str, Any]:
        """Plain data, without the tensors."""

    def in_words(self) -> list[str]:
        """What was found, a line each."""


@dataclass(frozen=True)
class View:
    """One entry of the table `VIEWS`."""

    look: Callable[..., Any]    # from a ViewSubject to its result; its keyword parameters are its settings
    result: type[Any]           # a Result
    draw: Callable[[Any], "list[Panel]"]
    needs: Needs
    words: str                  # what it shows, in a clause
    layers: int = 0             # of which it is made where they are named: none, one, or any number (-1)
    of_class: bool = False      # whether a class can be named


@dataclass(frozen=True)
class ViewedSet:
    """Pictures in their order and as they are, neither shuffled nor augmented."""

    loader: Loader
    words: str                  # as "training pictures"
    whole: int | None = None    # how many there were before some were chosen

    def __len__(self) -> int:
        return len(self.loader.dataset)

    def in_words(self) -> str:
        """`300 of the 600 training pictures, spread evenly`"""
        if self.whole is None or self.whole == len(self):
            return f"{len(self):,} {self.words}"
        return f"{len(self):,} of the {self.whole:,} {self.words}, spread evenly"

    def at_most(self, number: int) -> "ViewedSet":
        """So many of them, spread evenly, or all where there are no more."""
        if len(self) <= number:
            return self
        rows = [place * len(self) // number for place in range(number)]
        dataset: Any = self.loader.dataset
        return replace(self, loader=Loader(dataset.subset(rows), self.loader.batch, workers=self.loader.workers),
                       whole=len(self))

    def batches(self) -> Iterator[Batch]:
        """All that can be read; `indices` of a batch say which they are."""
        yield from self.loader

    def picture(self, row: int) -> Tensor:
        """uint8 or uint16 [channels, height, width]"""
        return self.loader.dataset[row].image


@dataclass(frozen=True)
class ViewSubject:
    """A trained network, and what is asked of a view of it.

    Pictures are float [batch, channels, height, width] in their own units, as 0 to 255.
    """

    network: Network                       # in evaluation mode, in float32
    task: Task                             # that decides as predictions are shown
    names: Mapping[str, Sequence[str]]     # of the classes, by target
    form: Form
    layers: tuple[str, ...] = ()           # as they were named; none: the view finds one by itself
    wanted: str | None = None              # a class
    pictures: ViewedSet | None = None     # that were named
    set: ViewedSet | None = None          # the run's own, or those that were named in its place
    seed: int = 0

    @property
    def device(self) -> torch.device:
        return self.network.mean.device

    def blank(self) -> Tensor:
        """float [channels, height, width]: the mean colour of the training pictures."""
        return self.network.mean[0].expand(self.form.channels, *self.form.size).clone()

    def given(self) -> Iterator[tuple[Tensor, Place]]:
        """The pictures that were named and can be read, each float [channels, height, width] on the device."""
        assert self.pictures is not None
        for batch in self.pictures.batches():
            for row in range(len(batch)):
                yield batch.images[row].to(self.device).float(), batch.places[row]


@dataclass(frozen=True)
class Spot:
    """A small picture at a place of a map."""

    across: float       # from 0, the left edge, to 1
    down: float         # from 0, the upper edge, to 1
    image: Image.Image
    colour: tuple[int, int, int]
    words: str          # that are shown where it is pointed at


@dataclass(frozen=True)
class Panel:
    """A picture of a view, with the words beneath it."""

    name: str                                    # of its PNG file, without the suffix
    image: Image.Image
    title: str
    lines: tuple[str, ...] = ()
    spots: tuple[Spot, ...] = ()                 # of a map, which a page shows in the place of the image
    axes: tuple[str, str] = ("", "")             # of a map: what goes across and up
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()
    files: Mapping[str, Image.Image] = field(default_factory=dict)    # further PNG files, by their names


def whole(view: str, name: str, value: Any, *, least: int = 1, most: int) -> int:
    """A setting that is a whole number within bounds. Raises UserError for any other."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or \
            not least <= value <= most:
        raise UserError(f"{name}={value} of {view} cannot be: accepted are whole numbers from {least} to {most:,}")
    return int(value)
