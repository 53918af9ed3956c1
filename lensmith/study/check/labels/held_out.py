"""What a trained network says of pictures that it never learned from, beside what is annotated."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lensmith.base.pictures import Place
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.fitting import in_files
from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import predictions
from lensmith.engine.plan.plan import Plan
from lensmith.models.network import Network
from lensmith.study.check.labels.suspicious_masks import (
    ClassConfidence,
    SuspiciousMask,
    soft_minimum,
    suspicious_part,
)
from lensmith.tasks.task import Task
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

_LEAST_SCORE = 0.05                  # of an object that is looked at
_SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class JudgedMask:
    """A mask beside what the network says of its pixels."""

    part: SuspiciousMask | None    # its most suspicious part; None where mask and network agree
    quality: float                 # the soft minimum of the pixels' probabilities
    place: Place


class HeldOut:
    """A trained network and pictures that it never learned from. It looks at them when the first answer is asked for.

    Rows count the pictures of all loaders one after another, without those that can no longer be read.
    """

    def __init__(self, name: str, network: Network, task: Task, loaders: Mapping[str, Loader], *, plan: Plan,
                 classes: Mapping[str, tuple[str, ...]]):
        """
        name: of the run, as the user knows it.
        loaders: by split, in order and not augmented.
        classes: the names of the classes of each target.
        """
        self.name, self.network, self.loaders, self.plan, self.classes = name, network, loaders, plan, classes
        # Objects of low scores count too, and pixels keep the probabilities of all classes.
        self.task = task.with_thresholds(_LEAST_SCORE if task.objects else None, None)

    @property
    def targets(self) -> tuple[str, ...]:
        return self.task.needs

    @property
    def paths(self) -> list[str]:
        """The name of each picture."""
        return [place.file for place in self._seen.places]

    def logits(self, target: str) -> Tensor:
        """float32 [n, classes] of a label, or of tags the logarithms of the odds."""
        return torch.cat(self._seen.logits[target])

    def labels(self, target: str) -> Label | Tags:
        """What is annotated of a label or tags, stacked."""
        values = self._seen.labels[target]
        return _STACKED[values[0].kind](values)

    def boxes(self, target: str) -> tuple[list[Boxes], list[Boxes]]:
        """What is annotated and what is predicted in each picture, in the pixels of the files."""
        return self._seen.annotated[target], self._seen.predicted[target]

    def masks(self, target: str) -> list[JudgedMask]:
        return self._judged_masks[target]

    @cached_property
    def _seen(self) -> "_Seen":
        """One pass over the pictures; of masks it only takes the class confidences."""
        seen = _Seen(self.classes)
        for batch, predicted in self._predictions():
            seen.add(batch, predicted)
        return seen

    @cached_property
    def _judged_masks(self) -> dict[str, list[JudgedMask]]:
        """A second pass, since what is sure follows from all pictures."""
        thresholds = {target: confidence.thresholds() for target, confidence in self._seen.confidences.items()}
        judged: dict[str, list[JudgedMask]] = {target: [] for target in thresholds}
        for batch, predicted in self._predictions():
            for target in thresholds:
                for row, place in enumerate(batch.places):
                    mask, probabilities = _mask_of(batch.targets[target], predicted[target], row)
                    judged[target].append(JudgedMask(suspicious_part(mask, probabilities, thresholds[target]),
                                                     soft_minimum(mask, probabilities), place))
        return judged

    def _predictions(self) -> Iterator[tuple[Batch, dict[str, Value]]]:
        self.plan.settle()
        for loader in self.loaders.values():
            for batch, predicted, _ in predictions(self.network, self.task, loader, plan=self.plan):
                yield batch, predicted


class _Seen:
    """What is kept of one pass over the pictures, by target."""

    def __init__(self, classes: Mapping[str, tuple[str, ...]]):
        self.places: list[Place] = []
        self.logits: dict[str, list[Tensor]] = {}
        self.labels: dict[str, list[Value]] = {}
        self.annotated: dict[str, list[Boxes]] = {}
        self.predicted: dict[str, list[Boxes]] = {}
        self.confidences: dict[str, ClassConfidence] = {}
        self._classes = classes

    def add(self, batch: Batch, predicted: Mapping[str, Value]) -> None:
        self.places += list(batch.places)
        truth, said = in_files(batch.targets, batch.places), in_files(predicted, batch.places)
        for target, value in said.items():
            if value.kind in _KEEP:
                _KEEP[value.kind](self, target, truth[target], value, len(batch))
            elif isinstance(value, Mask):    # judged in the pixels that the network sees
                confidence = self.confidences.setdefault(target, ClassConfidence(len(self._classes[target])))
                for row in range(len(batch)):
                    confidence.update(*_mask_of(batch.targets[target], predicted[target], row))

    def keep_scores(self, target: str, truth: Value, logits: Tensor) -> None:
        self.logits.setdefault(target, []).append(logits)
        self.labels.setdefault(target, []).append(truth)

    def keep_boxes(self, target: str, truth: Boxes, said: Boxes, count: int) -> None:
        for kept, boxes in ((self.annotated, truth), (self.predicted, said)):
            kept.setdefault(target, []).extend(boxes[row] for row in range(count))


def _probabilities(said: Any) -> Tensor:
    return said.scores.clamp(_SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)


# kind -> how what is annotated and what is said of it in so many pictures, in the pixels of the files, are kept.
_KEEP: dict[str, Callable[[_Seen, str, Any, Any, int], None]] = {
    "label": lambda seen, target, truth, said, count: seen.keep_scores(target, truth, _probabilities(said).log()),
    "tags": lambda seen, target, truth, said, count: seen.keep_scores(target, truth, _probabilities(said).logit()),
    "boxes": lambda seen, target, truth, said, count: seen.keep_boxes(target, truth, said, count),
    "masks": lambda seen, target, truth, said, count: seen.keep_boxes(target, truth.boxes(), said.boxes(), count),
}
# kind -> what is annotated of all pictures, stacked.
_STACKED: dict[str, Callable[[list[Any]], Label | Tags]] = {
    "label": lambda values: Label(torch.cat([value.index for value in values])),
    "tags": lambda values: Tags(torch.cat([value.present for value in values])),
}


def _mask_of(truth: Value, predicted: Value, row: int) -> tuple[Tensor, Tensor]:
    """uint8 [height, width], the classes of a mask, and float [classes, height, width], what the network says."""
    assert isinstance(truth, Mask) and isinstance(predicted, Mask) and predicted.scores is not None
    return truth.classes[row].to(torch.uint8), predicted.scores[row]
