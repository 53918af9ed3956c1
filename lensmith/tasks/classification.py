"""One class per picture: its loss, its decision, and how often it is right."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.rewrites.fully_convolutional import convolutional
from lensmith.tasks.losses.picture_losses import balanced_weights, check_focal, class_entropy, given_weights, unweighted
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
from lensmith.values.value import UNKNOWN, Label, Value

_WRITTEN_UP_TO = 1000    # classes whose confusion matrix goes into the details; beyond, it would be gigabytes of text


class Classification:
    """Which of `classes` a picture shows. The output is [batch, classes], before the softmax; of a fully convolutional
    network [batch, classes, rows, columns], over whose places the scores are averaged (Simonyan and Zisserman 2015)."""

    needs: tuple[str, ...] = ("label",)
    score: str = "accuracy_top1"

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, smoothing: float = 0.0,
                 class_weights: Literal["balanced"] | list[float] | None = None, focal: float = 0.0,
                 window: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None):
        """`targets`, the stacked training labels, are needed by the loss where `class_weights` is "balanced". With
        `window`, (height, width) in cells of the last map, the head is fully convolutional and scores each such
        window: `lensmith convert --convolutional` sets it."""
        if not 0 <= smoothing < 1:
            raise UserError(f"task.smoothing must lie in 0 <= smoothing < 1; got {smoothing}. Usual is 0.1")
        check_focal(focal)
        self.classes, self.smoothing, self.focal, self.window = classes, smoothing, focal, window
        self.balanced = class_weights == "balanced"
        self.weights = given_weights(class_weights, classes, "class")
        if targets is not None:
            assert isinstance(targets, Label)
            labels = targets.index[targets.index != UNKNOWN]
            counts = count_confusion(labels, labels, len(classes)).diagonal()
            if self.balanced:
                self.weights = balanced_weights(counts)

    def head(self, backbone: Backbone) -> nn.Module:
        head = backbone.classifier(len(self.classes))
        if self.window is None:
            return head
        return convolutional(head, backbone.channels[-1], (self.window[0], self.window[1]))

    def _whole(self, output: Tensor) -> Tensor:    # -> [batch, classes]
        return output if self.window is None else output.mean((2, 3))

    def loss(self, output: Tensor, targets: dict[str, Value]) -> dict[str, Tensor]:
        truth = targets["label"]
        assert isinstance(truth, Label)
        if self.balanced and self.weights is None:
            raise unweighted("labels")
        return {"label": class_entropy(self._whole(output), truth, weights=self.weights, smoothing=self.smoothing,
                                       focal=self.focal)}

    def decode(self, output: Tensor) -> dict[str, Value]:
        scores = self._whole(output).float().softmax(1)
        return {"label": Label(scores.argmax(1), scores)}

    def evidence(self, output: Tensor, index: int) -> Tensor:
        return self._whole(output)[:, index]

    def metrics(self) -> "LabelMetrics":
        return LabelMetrics(self.classes)


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
