"""How far the answers of an exported file are those of the run: by target, over pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lensmith.ship.runtimes.file_facts import OBJECTS_IN_FILES, TargetFacts
from lensmith.values.box_arithmetic import pairwise_iou
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pixel_counts
from lensmith.values.value import Value

SAME_BOX = 0.99     # the IoU from which two boxes of one class are the same one
SAME_MASK = 0.97    # the same of their pixels: a pixel of an outline goes either way where its margin is near 0
_AGREEMENT = 0.99   # the least fraction of answers that are the same
_DIFFERENCE = 1e-3  # the largest difference of a probability, or of a number as a fraction of the largest one
# kind -> what is answered of each picture; its `scores` are compared as numbers.
_ANSWERS: dict[str, Callable[[Any], Tensor]] = {
    "label": lambda value: value.index,
    "tags": lambda value: value.present,
    "mask": lambda value: value.classes,
}


@dataclass
class Parity:
    """The differences of one target, counted picture after picture."""

    kind: str
    largest: float = 0.0    # difference of probabilities; of numbers as a fraction of the largest; of boxes in pixels
    total: float = 0.0
    count: int = 0          # numbers that were compared
    same: int = 0           # answers that are the same: pictures, tags, quantities, pixels or objects
    answers: int = 0

    @property
    def agreement(self) -> float:
        return self.same / self.answers if self.answers else 1.0

    @property
    def agrees(self) -> bool:
        """Whether the file may be called good. Boxes are judged as sets, so that their corners need no limit."""
        within = self.kind in OBJECTS_IN_FILES or self.largest <= _DIFFERENCE
        return within and self.agreement >= _AGREEMENT

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "largest_difference": self.largest,
                "mean_difference": self.total / self.count if self.count else 0.0, "agreement": self.agreement,
                "answers": self.answers, "agrees": self.agrees}

    def add(self, expected: Value, found: Value) -> None:
        """Count the stacked answers of a batch: the run's, and the file's."""
        if isinstance(expected, Boxes):
            assert isinstance(found, Boxes)
            self._add_objects(expected, found)
        elif expected.kind == "numbers":
            scale = expected.values.abs().amax().clamp(min=1.0)    # type: ignore[attr-defined]
            difference = (expected.values - found.values) / scale    # type: ignore[attr-defined]
            self._add(difference, torch.zeros_like(difference), difference.abs() <= _DIFFERENCE)
        else:
            answer = _ANSWERS[expected.kind]
            ours, theirs = expected.scores, found.scores    # type: ignore[attr-defined]
            if ours is None or theirs is None:    # a mask at the size of its file keeps none
                ours = theirs = torch.zeros(0)
            self._add(ours, theirs, answer(expected) == answer(found))

    def _add(self, expected: Tensor | None, found: Tensor | None, same: Tensor) -> None:
        assert expected is not None and found is not None
        difference = (expected - found).abs().nan_to_num(torch.inf)    # no number is no agreement
        self.largest = max(self.largest, float(difference.amax()) if difference.numel() else 0.0)
        self.total, self.count = self.total + float(difference.double().sum()), self.count + difference.numel()
        self.same, self.answers = self.same + int(same.sum()), self.answers + same.numel()

    def _add_objects(self, expected: Boxes, found: Boxes) -> None:
        """Objects as sets: each of the one is the same as at most one of the other."""
        assert expected.image is not None and found.image is not None
        for picture in torch.cat((expected.image, found.image)).unique().tolist():
            ours, theirs = expected[picture], found[picture]
            rows, columns = _matches(ours, theirs)
            self.same += 2 * len(rows)
            self.answers += len(ours.classes) + len(theirs.classes)
            if len(rows):
                difference = (ours.corners[rows] - theirs.corners[columns]).abs()
                self.largest = max(self.largest, float(difference.amax()))
                self.total, self.count = self.total + float(difference.sum()), self.count + difference.numel()


def _matches(ours: Boxes, theirs: Boxes) -> tuple[Tensor, Tensor]:
    """int64 [k] each: the rows of the objects that are the same, each named once."""
    overlap = pairwise_iou(ours.corners, theirs.corners)
    # A box without an area overlaps nothing, itself neither.
    equal = (ours.corners[:, None] - theirs.corners[None]).abs().amax(2) < 1e-3
    same = ((overlap >= SAME_BOX) | equal) & (ours.classes[:, None] == theirs.classes[None])
    if isinstance(ours, Masks) and isinstance(theirs, Masks):
        same &= _same_pixels(ours.bits, theirs.bits)
    rows, columns = [], []
    for row in range(len(same)):
        column = int(same[row].int().argmax()) if same.shape[1] else 0
        if same.shape[1] and same[row, column]:
            rows.append(row)
            columns.append(column)
            same[:, column] = False
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(columns, dtype=torch.int64)


def _same_pixels(ours: Tensor, theirs: Tensor) -> Tensor:
    """bool [n, m]: whether two masks have the same pixels, nearly."""
    shared = torch.stack([pixel_counts(mask & theirs) for mask in ours]) if len(ours) else \
        torch.zeros(0, len(theirs))
    union = pixel_counts(ours)[:, None] + pixel_counts(theirs)[None] - shared
    return shared >= SAME_MASK * union


def parities(targets: Mapping[str, TargetFacts]) -> dict[str, Parity]:
    """A fresh count for each target."""
    return {name: Parity(target.kind) for name, target in targets.items()}
