"""What a task would score with one answer for all pictures, without looking at any: what a score is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lensmith.tasks.metrics.error_sums import ErrorSums, coefficient_of_determination
from lensmith.tasks.metrics.numbers import error_tables
from lensmith.tasks.metrics.rates import ClassCounts, fraction_right, mean_iou
from lensmith.tasks.segmentation import count_pixels
from lensmith.tasks.task import Task
from lensmith.values.labels import UNKNOWN, Label, Numbers
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value


@dataclass(frozen=True)
class Baseline:
    """The score of one answer for all pictures."""

    answer: str           # what is said of every picture: `always naming 'dog'`
    score: float          # what that scores
    spread: float = 0.0   # the standard deviation of the score over other samples of as many pictures; 0: not known


def baselines(task: Task, trained: Mapping[str, Value], measured: Mapping[str, Value],
              classes: Mapping[str, tuple[str, ...]]) -> dict[str, Baseline]:
    """The baseline of each score that has one, by the name of the score: `accuracy_top1`, of several tasks
    `breed/accuracy_top1`.

    Of labels it is the accuracy of always naming the class that most training pictures have, of masks the mIoU of the
    class that most training pixels have, and of numbers the R2 of always saying their mean in training. Tags and
    objects have none, and neither has a target of which a split knows nothing.

    trained, measured: the stacked targets of the training split, and of the split that is measured.
    """
    found = {}
    for name in task.needs:
        alone = task if task.of_kinds is None else task.of_kinds[trained[name].kind]
        of_one = _baseline(trained[name], measured[name], classes[name])
        if of_one is not None:
            found[alone.score if task.of_kinds is None else f"{name}/{alone.score}"] = of_one
    return found


def _baseline(trained: Value, measured: Value, classes: tuple[str, ...]) -> Baseline | None:
    match trained, measured:
        case Label(), Label():
            counts, truth = (torch.bincount(one.index[one.index != UNKNOWN], minlength=len(classes))
                             for one in (trained, measured))
            return _of_commonest(counts, truth, classes)
        case Mask(), Mask():
            counts, truth = (count_pixels(one, len(classes)) for one in (trained, measured))
            return _of_commonest(counts, truth, classes, pixels=True)
        case Numbers(), Numbers():
            return _of_mean(trained.values.double(), measured.values.double())
    return None


def _of_commonest(counts: Tensor, truth: Tensor, classes: tuple[str, ...], *, pixels: bool = False) -> Baseline | None:
    """Of always naming the first of the commonest classes; both are int64 [classes]."""
    if not counts.sum() or not truth.sum():
        return None
    commonest, total = int(counts.argmax()), int(truth.sum())
    named = np.zeros(len(classes), dtype=np.int64)
    named[commonest] = total
    counted = ClassCounts(np.minimum(truth.numpy(), named), truth.numpy(), named)
    score = float((mean_iou if pixels else fraction_right)(counted))
    # Of labels the number that is right is binomial. Pixels of one picture are not independent.
    spread = 0.0 if pixels else (score * (1 - score) / total) ** 0.5
    return Baseline(f"always naming {classes[commonest]!r}", score, spread)


def _of_mean(trained: Tensor, measured: Tensor) -> Baseline | None:
    """Of always saying the mean; both are float64 [n, quantities], NaN where not known."""
    mean = trained.nanmean(0)
    truth = measured.numpy()
    if mean.isnan().any() or np.isnan(truth).all(0).any():
        return None
    tables = error_tables(truth, mean.expand_as(measured).numpy())
    return Baseline("always saying the mean",
                    float(coefficient_of_determination(ErrorSums(*(table.sum(0) for table in tables)))))
