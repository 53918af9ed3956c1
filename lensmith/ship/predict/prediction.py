"""What a network says of one picture."""

from dataclasses import dataclass, field
from typing import Any

from lensmith.ship.answers import ANSWERS
from lensmith.ship.answers.by_target import by_names, targets_as_json, targets_as_row, targets_in_words
from lensmith.ship.predict.score_map import ScoreMap
from lensmith.values import OBJECTS, of_kind
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.labels import Label
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture; `error` instead where the picture could not be read."""

    file: str
    values: dict[str, Value] = field(default_factory=dict)              # target name -> a single value
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)     # target name -> class names
    error: str | None = None
    from_memory: bool = False                                           # `file` then only counts the pictures
    size: tuple[int, int] | None = None                                 # height, width of the file, upright
    map: ScoreMap | None = None    # of a fully convolutional classifier, where the picture is larger than it needs

    def first(self, *kinds: str) -> str:
        """The name of the first target of one of these kinds; empty where there is none."""
        return next(iter(of_kind(self.values, *kinds)), "")

    @property
    def boxes(self) -> Boxes | None:
        """The objects, the highest score first, in the file's pixels; None where the network finds no objects.

        This, `masks`, `mask` and `label` are the first of their kind; `values` has all.
        """
        value = self.values.get(self.first(*OBJECTS))
        return value if isinstance(value, Boxes) else None

    @property
    def masks(self) -> Masks | None:
        """The objects with their pixels (`Masks.mask`) at the file's own size; None where the network gives none."""
        value = self.values.get(self.first("masks"))
        return value if isinstance(value, Masks) else None

    @property
    def mask(self) -> Mask | None:
        """The class of each pixel, uint8 at the file's own size, 255 where the network saw nothing.

        None where the network gives no mask.
        """
        value = self.values.get(self.first("mask"))
        return value if isinstance(value, Mask) else None

    @property
    def label(self) -> str | None:
        """The name of the likeliest class; None where the network gives no label."""
        top = self.top(1)
        return top[0][0] if top else None

    @property
    def score(self) -> float | None:
        """The probability of that class."""
        top = self.top(1)
        return top[0][1] if top else None

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest class names with their probabilities, best first."""
        name = self.first("label")
        value = self.values.get(name)
        return [(self.names[name][number], score) for number, score in value.top(k)] if isinstance(value, Label) else []

    def as_json(self, top: int = 5) -> dict[str, Any]:
        """Plain data; of a label the `top` likeliest classes with their probabilities; several values by name."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        score_map = {} if self.map is None else {"map": self.map.as_json(self.names[self.first("label")])}
        return {"file": self.file, **targets_as_json(self.values, self.names, top), **score_map}

    def text(self, k: int = 3) -> str:
        """One line in words: `Ankle boot 97.1 %, Sneaker 2.5 %`."""
        if self.error is not None:
            return self.error
        score_map = "" if self.map is None else f"; {self.map.in_words(self.names[self.first('label')], k)}"
        return targets_in_words(self.values, self.names, k) + score_map

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """The lines of a CSV table: one an object, or one a class of a mask, where this is all; else `row`."""
        for name, value in self.values.items():
            as_rows = ANSWERS[value.kind].as_rows
            if as_rows is not None and not by_names(self.values):
                return as_rows(self.file, value, self.names[name])
        return [self.row(top)]

    def row(self, top: int = 1) -> dict[str, Any]:
        """One line of a CSV table; the `top` likeliest classes as label, score, label2, score2, ..."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        return {"file": self.file, **targets_as_row(self.values, self.names, top)}
