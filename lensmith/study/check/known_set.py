"""All that the checks know of a data set: its sources, the account of opening it, its pictures and how it is divided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import MOST_PIXELS
from lensmith.data.sources.sample import Source
from lensmith.data.sources.unknown_targets import known_in
from lensmith.recipe import schema as recipes
from lensmith.recipe.divide_rows import divided_rows
from lensmith.recipe.open_data import Tell, open_splits, refuse_one_class, silent
from lensmith.study.check.finding import Corners, PictureAt
from lensmith.study.check.labels.held_out import HeldOut
from lensmith.study.check.pictures import Pictures, picture_to_show, read_pictures
from lensmith.values import of_kind
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value


@dataclass(frozen=True)
class KnownSet:
    """A data set as it was opened, before its pictures are brought to a form. Rows count the pictures of all opened
    splits one after another; every array of `pictures` and the values of `label` have them in this order."""

    source: str                          # what the user named
    recipe: recipes.Recipe               # resolved; [data], [split], [pictures] and more say how it was opened
    sources: Mapping[str, Source]        # by opened split; targets in the pixels of the files, masks in their files
    account: Mapping[str, Any]           # what was counted while it was opened, with pictures of the same contents
    pictures: Pictures
    splits: Mapping[str, np.ndarray]     # int64 rows of train, valid and test as training divides the set
    budget: float = 0.0                  # seconds for a probe that a check trains; 0: none is trained
    tell: Tell = silent                  # is called with a line where a check takes long
    held_out: HeldOut | None = None      # a run with pictures that it never learned from, where one is named
    _known_rows: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @cached_property
    def paths(self) -> Sequence[str]:
        """The name of each picture below the set's folder."""
        return [source.place(index).file for source in self.sources.values() for index in range(len(source))]

    @cached_property
    def split_of(self) -> np.ndarray:
        """str [n]: the split that each picture is in; "" where training uses it in none."""
        names = np.full(len(self.pictures), "", dtype=object)
        for split, rows in self.splits.items():
            names[rows] = split
        return names

    @cached_property
    def starts(self) -> dict[str, int]:
        """The first row of each opened split."""
        starts, start = {}, 0
        for split, source in self.sources.items():
            starts[split] = start
            start += len(source)
        return starts

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """The class names of each target."""
        classes: dict[str, tuple[str, ...]] = next(iter(self.sources.values())).classes
        return classes

    @property
    def first(self) -> Source:
        """The source that training learns from."""
        return next(iter(self.sources.values()))

    def targets_of(self, *kinds: str) -> tuple[str, ...]:
        """The names of the targets of these kinds."""
        return of_kind(self.first.targets, *kinds)

    def label(self, target: str) -> np.ndarray:
        """int64 [n]: the class of each picture by a target of the kind label; -1 where it is not known."""
        values: list[Any] = [source.targets[target] for source in self.sources.values()]
        return np.concatenate([value.index.numpy() for value in values])

    def row_of(self, path: str) -> int:
        """The row of the picture of this name. Raises DataError where the set has none."""
        if path not in self.rows_by_path:
            raise DataError(f"the set has no picture {path!r}, which the run was asked about: check the data that the "
                            "run names, or other data")
        return self.rows_by_path[path]

    @cached_property
    def rows_by_path(self) -> dict[str, int]:
        """The row of each name; of one that two splits have, that of the first."""
        return {path: row for row, path in reversed(list(enumerate(self.paths)))}

    def stacked(self, target: str) -> Value:
        """What is known of every picture by a target of the kind label, tags or numbers."""
        values = [source.targets[target] for source in self.sources.values()]
        return type(values[0])(**{field.name: torch.cat([getattr(value, field.name) for value in values])
                                  for field in fields(values[0]) if getattr(values[0], field.name) is not None})

    def values(self, split: str, target: str) -> Value:
        """A target of the pictures of a split, stacked, in the pixels of the files."""
        rows = self.splits[split]
        opened = self._opened_split(int(rows[0]))
        return self.sources[opened].targets[target].take(torch.from_numpy(rows - self.starts[opened]))

    def has_target(self, row: int, targets: Sequence[str]) -> bool:
        """Whether anything is known of one of these targets of a picture."""
        opened = self._opened_split(row)
        return any(self._known(opened, target)[row - self.starts[opened]] for target in targets)

    def boxes_of(self, row: int) -> tuple[Corners, ...]:
        """The corners of all objects of a picture, in the pixels of the file."""
        found: list[Corners] = []
        for target in self.targets_of("boxes", "masks"):
            found += map(tuple, self.objects(row, target).corners.tolist())
        return tuple(found)

    def objects(self, row: int, target: str) -> Boxes:
        """The objects of a picture, their corners in the pixels of the file."""
        opened = self._opened_split(row)
        objects = self.sources[opened].targets[target][row - self.starts[opened]]
        assert isinstance(objects, Boxes)
        return objects

    def _opened_split(self, row: int) -> str:
        return next(split for split, start in reversed(self.starts.items()) if row >= start)

    def _known(self, opened: str, target: str) -> np.ndarray:
        if (opened, target) not in self._known_rows:
            self._known_rows[opened, target] = known_in(self.sources[opened], target)
        return self._known_rows[opened, target]

    def image(self, row: int, longest: int) -> Image.Image | None:
        """The picture of a row to be looked at, its longer edge at most `longest` pixels; None where it cannot be
        read."""
        opened = self._opened_split(row)
        return picture_to_show(self.sources[opened], row - self.starts[opened], longest)

    def at(self, row: int) -> PictureAt:
        return PictureAt(str(self.split_of[row]), int(row), self.paths[row])


def know(recipe: recipes.Recipe, *, source: str, budget: float = 0.0, held_out: HeldOut | None = None,
         tell: Tell = silent) -> KnownSet:
    """Open the data set of a resolved recipe and look at every picture. `budget`, `held_out` and `tell` are as of
    KnownSet. Raises UserError and DataError as training does, where the set cannot be opened or divided."""
    opened = open_splits(recipe)
    refuse_one_class(opened)
    for note in opened.account.get("notes", ()):
        tell(note)
    most_pixels = recipe["pictures"].get("most_pixels", MOST_PIXELS)
    pictures = read_pictures(opened.splits, most_pixels=most_pixels, tell=tell)
    without_header = (pictures.sizes == 0).all(1)
    bad, start = {}, 0
    for split, opened_source in opened.splits.items():
        bad[split] = without_header[start : start + len(opened_source)]
        start += len(opened_source)
    splits, same = divided_rows(opened, bad, recipe)
    return KnownSet(source, recipe, opened.splits, {**opened.account, **same}, pictures, splits, budget, tell,
                    held_out)
