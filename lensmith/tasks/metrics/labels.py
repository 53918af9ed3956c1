"""How often the class of a picture is right."""

from typing import Any

import torch
from torch import Tensor

from lensmith.tasks.metrics.confusion import (
    balanced_accuracy,
    confusion_intervals,
    count_confusion,
    macro_f1,
    marginals,
    most_confused,
    nothing_to_measure,
    rows_per_class,
)
from lensmith.tasks.metrics.intervals import wilson
from lensmith.values.labels import UNKNOWN, Label
from lensmith.values.value import Value

_WRITTEN_UP_TO = 1000    # classes whose confusion matrix goes into the details; beyond, it would be gigabytes of text


class LabelMetrics:
    """Counts who was taken for whom. Pictures without a label are not counted."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.counts = torch.zeros(len(classes), len(classes), dtype=torch.int64)    # rows the truth
        self.top5 = torch.zeros((), dtype=torch.int64)

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int = 0) -> None:
        truth, found = targets["label"], predictions["label"]
        assert isinstance(truth, Label) and isinstance(found, Label)
        known = truth.index != UNKNOWN
        index, taken = truth.index[known], found.index[known]
        self.counts += count_confusion(index, taken, len(self.classes))
        among = index == taken
        if found.scores is not None:
            among = among | _among_best(found.scores[known], index, 5)
        self.top5 += among.sum()

    def state(self) -> dict[str, Tensor]:
        """The counts as tensors, to be sent to another process."""
        return {"counts": self.counts, "top5": self.top5}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's counts."""
        self.counts = self.counts + state["counts"]
        self.top5 = self.top5 + state["top5"]

    def result(self) -> dict[str, Any]:
        """accuracy_top1, accuracy_top5 (from five classes on), macro_f1, balanced_accuracy; intervals; details.

        The details hold the confusion matrix up to 1,000 classes. Raises DataError where no labelled picture was seen.
        """
        total, right = int(self.counts.sum()), int(self.counts.trace())
        if not total:
            raise nothing_to_measure("label")
        counts = self.counts.numpy()
        hits, support, predicted = marginals(counts)
        headline = {"accuracy_top1": right / total}
        intervals = {"accuracy_top1": wilson(right, total)}
        if len(self.classes) >= 5:
            headline["accuracy_top5"] = int(self.top5) / total
            intervals["accuracy_top5"] = wilson(int(self.top5), total)
        headline["macro_f1"] = float(macro_f1(hits, support, predicted))
        headline["balanced_accuracy"] = float(balanced_accuracy(hits, support))
        details = {"count": total, "per_class": rows_per_class(self.classes, hits, support, predicted),
                   "most_confused": most_confused(self.classes, counts)}
        if len(self.classes) <= _WRITTEN_UP_TO:
            details["confusion"] = counts.tolist()
        return {**headline, "intervals": {**intervals, **confusion_intervals(counts)}, "details": details}


def _among_best(scores: Tensor, index: Tensor, best: int) -> Tensor:
    """bool [batch]: whether fewer than `best` other classes score as high; a tie counts against, and so does NaN."""
    own = scores.gather(1, index[:, None])
    return (~(scores < own)).sum(1) <= best
