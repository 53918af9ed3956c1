"""A quick probe of a data set: logits for every picture from weights that never learned from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.device import choose_device
from lensmith.base.picture_headers import Header
from lensmith.base.pictures import Form
from lensmith.data.sources.deep_values import values_of_files
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.picture_form import Survey, settle_form
from lensmith.data.store.at_once import decode_all, fits
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.recipe.open_data import Tell
from lensmith.study.check.known_set import KnownSet
from lensmith.study.check.labels.folds import deal
from lensmith.study.check.labels.linear_probe import out_of_sample
from lensmith.study.check.labels.network_by_folds import LEAST_EDGE, logits_by_folds
from lensmith.study.check.labels.picture_features import SMALL, PictureFeatures, features_of
from lensmith.values.labels import Label, Tags
from lensmith.values.value import Value

_FEW = 2_000           # gray pictures from which a network is trained in place of taking one that knows photographs
_FOR_FEATURES = 0.7    # of the time goes into the features
_MEMORY = 0.25         # of the free memory that small pictures may take together
_GRAY = ("1", "L", "I")    # Pillow's modes of gray pictures


@dataclass(frozen=True)
class Said:
    """What a probe says of some pictures."""

    rows: np.ndarray      # int64 [k]: which of the set
    logits: np.ndarray    # float32 [k, classes]


class QuickProbe:
    """Judges the pictures of a set that can be read; what several targets need is computed once."""

    def __init__(self, known: KnownSet, *, seconds: float, tell: Tell):
        """`seconds` is the time for one target."""
        self.known, self.seconds, self.tell = known, seconds, tell
        self.rows = np.flatnonzero(known.pictures.readable)

    def say(self, value: Value, rows: np.ndarray, classes: int) -> Said:
        """What is said of the pictures `rows` (int64 [k], ascending), all readable, about a label or tags.

        value: what is known of each of the rows, stacked.
        classes: how many there are.
        """
        folds = torch.from_numpy(deal(_strata(value), alike=self._alike[rows]))
        if self._trains_network:
            pictures = self._small_pictures(rows, value, classes)
            return Said(rows, logits_by_folds(pictures, folds, self.form, seconds=self.seconds, tell=self.tell).numpy())
        chosen = np.searchsorted(self.rows, rows)
        computed = self._features.computed[chosen].numpy()
        chosen, folds, value = chosen[computed], folds[computed], value.take(torch.from_numpy(computed.nonzero()[0]))
        targets, link = (torch.nn.functional.one_hot(value.index, classes).float(), "softmax") \
            if isinstance(value, Label) else (value.present.float(), "sigmoid")    # type: ignore[attr-defined]
        found = out_of_sample(self._features.numbers[chosen], targets, folds, link=link,    # type: ignore[arg-type]
                              seconds=(1 - _FOR_FEATURES) * self.seconds)
        return Said(rows[computed], found.logits.numpy())

    @cached_property
    def form(self) -> Form:
        """The form that the pictures have by themselves, in 8 bits."""
        pictures = self.known.pictures
        headers: list[Header | None] = []
        for (height, width), mode in zip(pictures.sizes.tolist(), pictures.modes.tolist(), strict=True):
            name = pictures.mode_names[mode] if height else ""
            headers.append(Header(height, width, gray=name.partition(" ")[0] in _GRAY, deep=name.endswith("16 bits"))
                           if height else None)
        surveys, start = [], 0
        for source in self.known.sources.values():
            surveys.append(Survey(headers[start : start + len(source)], []))
            start += len(source)
        settings = self.known.recipe["pictures"]
        values = values_of_files(self.known.sources.values(), [surveyed.headers for surveyed in surveys])
        return settle_form(surveys, bits=8, values=values, most_pixels=settings["most_pixels"])

    @property
    def in_words(self) -> str:
        if self._trains_network:
            return "a small network"
        return f"a linear probe on ImageNet features ({self._features.edge} pixels)"

    @property
    def _trains_network(self) -> bool:
        small = max(self.form.size) <= SMALL and min(self.form.size) >= LEAST_EDGE
        return small and self.form.channels == 1 and len(self.rows) >= _FEW and \
            fits(len(self.rows), self.form, fraction=_MEMORY)

    @cached_property
    def _plan(self) -> Plan:
        return make_plan(device=str(choose_device("auto")))

    @cached_property
    def _features(self) -> PictureFeatures:
        self.tell("computing features of the pictures, to look for suspicious labels")
        return features_of(self._readable_sources(self.rows), self.form, seconds=_FOR_FEATURES * self.seconds,
                           plan=self._plan, tell=self.tell)

    @cached_property
    def _alike(self) -> np.ndarray:
        """int64 [n]: the same number for pictures of the set that belong into one fold: of one group of the set, or,
        where it has no groups, with the same contents."""
        contents = [content.tobytes().hex() for content in self.known.pictures.contents]
        for split, source in self.known.sources.items():
            start = self.known.starts[split]
            if source.groups is not None:
                contents[start : start + len(source)] = [f"group {group}" for group in source.groups]
        return np.unique(np.array(contents), return_inverse=True)[1].reshape(-1)

    def _readable_sources(self, rows: np.ndarray) -> list[Any]:
        """The rows of the set as a source for each of its splits."""
        sources = []
        for split, source in self.known.sources.items():
            start = self.known.starts[split]
            own = rows[(rows >= start) & (rows < start + len(source))] - start
            if len(own):
                sources.append(source if len(own) == len(source) else source.subset(own.tolist()))
        return sources

    def _small_pictures(self, rows: np.ndarray, value: Value, classes: int) -> InMemory:
        images = torch.cat([decode_all(source, self.form, keep=True).source.images    # type: ignore[union-attr]
                            for source in self._readable_sources(rows)])
        return InMemory(images, {value.kind: value}, {value.kind: tuple(map(str, range(classes)))},
                        places=Numbered("", self.form.size, np.arange(len(rows))))


def _strata(value: Value) -> np.ndarray:
    """int64 [n]: the class of each picture; of tags the rarest that it has."""
    if isinstance(value, Label):
        return value.index.numpy()
    assert isinstance(value, Tags)
    present = value.present == 1
    order = present.sum(0).argsort()
    rarest: Tensor = present[:, order].int().argmax(1)
    return torch.where(present.any(1), rarest + 1, 0).numpy()
