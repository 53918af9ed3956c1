"""How often the class of a picture is right."""

from typing import Any

import torch
from torch import Tensor

from lensmith.tasks.metrics.confusion import (
    class_counts,
    count_confusion,
    most_confused,
    nothing_to_measure,
    resampled_confusion,
    rows_per_class,
)
from lensmith.tasks.metrics.from_counts import headlines_of, intervals_of
from lensmith.tasks.metrics.intervals import wilson
from lensmith.values.labels import UNKNOWN, Label
from lensmith.values.value import Value

_WRITTEN_UP_TO = 1000    # classes whose confusion matrix goes into the details; beyond, it would be gigabytes of text


class LabelMetrics:
    """Counts which class was taken for which. Pictures without a label are not counted."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.counts = torch.zeros(len(classes), len(classes), dtype=torch.int64)    # rows the truth
        self.top5 = torch.zeros((), dtype=torch.int64)

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int = 0) -> None:
        truth, predicted = targets["label"], predictions["label"]
        assert isinstance(truth, Label) and isinstance(predicted, Label)
        known = truth.index != UNKNOWN
        true_class, predicted_class = truth.index[known], predicted.index[known]
        self.counts += count_confusion(true_class, predicted_class, len(self.classes))
        among_five = true_class == predicted_class
        if predicted.scores is not None:
            among_five = among_five | among_best(predicted.scores[known], true_class, 5)
        self.top5 += among_five.sum()

    def state(self) -> dict[str, Tensor]:
        """The counts as tensors, to be sent to another process."""
        return {"counts": self.counts, "top5": self.top5}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's counts."""
        self.counts = self.counts + state["counts"]
        self.top5 = self.top5 + state["top5"]

    def result(self) -> dict[str, Any]:
        """The metrics of labels, accuracy_top5 from five classes on; intervals; details.

        The details hold the confusion matrix up to 1,000 classes. Raises DataError where no labelled picture was seen.
        """
        total, right = int(self.counts.sum()), int(self.counts.trace())
        if not total:
            raise nothing_to_measure("label")
        matrix = self.counts.numpy()
        counts = class_counts(matrix, top5=int(self.top5) if len(self.classes) >= 5 else None)
        intervals = {"accuracy_top1": wilson(right, total)}
        if counts.top5 is not None:
            intervals["accuracy_top5"] = wilson(counts.top5, total)
        details = {"count": total, "per_class": rows_per_class(self.classes, counts),
                   "most_confused": most_confused(self.classes, matrix)}
        if len(self.classes) <= _WRITTEN_UP_TO:
            details["confusion"] = matrix.tolist()
        return {**headlines_of("label", counts),
                "intervals": intervals | intervals_of("label", resampled_confusion(matrix)), "details": details}


def among_best(scores: Tensor, index: Tensor, best: int) -> Tensor:
    """bool [batch]: whether fewer than `best` other classes score as high; a tie counts against, and so does NaN."""
    score = scores.gather(1, index[:, None])
    return (~(scores < score)).sum(1) <= best
