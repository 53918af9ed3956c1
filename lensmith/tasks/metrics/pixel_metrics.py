"""How well masks are found: the overlap of each class, fractions of pixels, and how close their edges lie."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.confusion import nothing_to_measure
from lensmith.tasks.metrics.from_counts import headlines_of, intervals_of
from lensmith.tasks.metrics.intervals import resampled_rows
from lensmith.tasks.metrics.rates import ClassCounts, edge_f1_by_class, f1_by_class, iou_by_class, ratio
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

_NEAR = (2.0, 0.0075)    # an edge is found within so many pixels, or such a fraction of the diagonal if that is more
_COLUMNS = ("hits", "support", "predicted")


class MaskMetrics:
    """Counts which pixel's class was taken for which. Void pixels of the truth are not counted."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)    # pixels, rows the truth
        self.rows: dict[str, list[Tensor]] = {name: [] for name in _COLUMNS}    # int64 [pictures, classes], pixels
        self.edges = torch.zeros(4, len(classes), dtype=torch.int64)    # as of `edge_hits`

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int = 0) -> None:
        """Raises DataError for a class that is not of this task."""
        truth, predicted = targets["mask"], predictions["mask"]
        assert isinstance(truth, Mask) and isinstance(predicted, Mask)
        true_classes, predicted_classes = truth.classes.long(), predicted.classes.long()
        classes, pictures = len(self.classes), len(true_classes)
        known = true_classes != IGNORED
        beyond = known & (true_classes >= classes) | (true_classes < 0)
        if beyond.any():
            raise DataError(f"a mask holds the class {int(true_classes[beyond][0])}, and the task has {classes} "
                            f"classes, numbered 0 to {classes - 1}: test on masks of the classes of the training set")
        picture = torch.arange(pictures).view(-1, 1, 1)
        cell = torch.where(known, (picture * classes + true_classes) * classes + predicted_classes,
                           pictures * classes * classes)
        counts = torch.bincount(cell.flatten(), minlength=pictures * classes * classes + 1)[:-1]
        table = counts.view(pictures, classes, classes)
        self.confusion += table.sum(0)
        for name, rows in zip(_COLUMNS, (table.diagonal(dim1=1, dim2=2), table.sum(2), table.sum(1)), strict=True):
            self.rows[name].append(rows)
        self.edges += edge_hits(true_classes, predicted_classes.where(known, IGNORED), classes)

    def state(self) -> dict[str, Tensor]:
        """The counts as tensors, to be sent to another process."""
        nothing = torch.zeros(0, len(self.classes), dtype=torch.int64)
        return {"confusion": self.confusion, "edges": self.edges,
                **{name: torch.cat([nothing, *rows]) for name, rows in self.rows.items()}}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's counts."""
        self.confusion = self.confusion + state["confusion"]
        self.edges = self.edges + state["edges"]
        for name, rows in self.rows.items():
            rows.append(state[name])

    def counts(self) -> ClassCounts:
        """The pixels by class of all pictures together. Raises DataError where no pixel is known."""
        if not self.confusion.any():
            raise nothing_to_measure("pixel of a known class")
        return ClassCounts(*(table.sum(0) for table in self._tables()), edges=self.edges.numpy())

    def _tables(self) -> list[np.ndarray]:
        """float64 [pictures, classes] each: hits, support and predicted."""
        return [torch.cat(self.rows[name]).numpy().astype(np.float64) for name in _COLUMNS]

    def result(self) -> dict[str, Any]:
        """The metrics of masks, over the pixels of all pictures together, boundary_f1 where the truth has an edge;
        intervals, by bootstrap over the pictures; details. Raises DataError where no pixel is known."""
        counts, tables = self.counts(), self._tables()
        samples = (ClassCounts(*(weights @ table for table in tables)) for weights in resampled_rows(*tables[0].shape))
        details = {"count": int((tables[1].sum(1) > 0).sum()), **self._by_class(counts),
                   "confusion": self.confusion.tolist(), "confusion_names": list(self.classes)}
        return {**headlines_of("mask", counts), "intervals": intervals_of("mask", samples), "details": details}

    def _by_class(self, counts: ClassCounts) -> dict[str, Any]:
        """A row for each class met in the truth or in the predictions, and the names of the others."""
        met, edge_f1 = np.flatnonzero(counts.support + counts.predicted), edge_f1_by_class(counts)
        columns = {"IoU": iou_by_class(counts), "dice": f1_by_class(counts),
                   "precision": ratio(counts.hits, counts.predicted), "recall": ratio(counts.hits, counts.support)}
        rows = [{"class": self.classes[number], **{name: float(values[number]) for name, values in columns.items()},
                 "boundary_f1": None if np.isnan(edge_f1[number]) else float(edge_f1[number]),
                 "pixels": int(counts.support[number])} for number in met.tolist()]
        return {"per_class": rows, "absent": [name for number, name in enumerate(self.classes) if number not in met]}


def edge_hits(truth: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """int64 [4, classes]: as of `edge_hits_by_picture`, of all pictures together."""
    return edge_hits_by_picture(truth, predicted, classes).sum(0)


def edge_hits_by_picture(truth: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """int64 [batch, 4, classes]: of the true edge pixels of each class those that were found, and all; of the predicted
    ones those that are right, and all. Both masks are int64 [batch, height, width], void in the same places.

    A pixel is of its class's edge where one beside, above or below it is of another known class. It is found where
    the other mask has an edge pixel of that class within 2 pixels, or within 0.75 % of the diagonal where that is more
    (Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?").
    """
    diagonal = (truth.shape[1] ** 2 + truth.shape[2] ** 2) ** 0.5
    reach = max(_NEAR[0], _NEAR[1] * diagonal)
    true_edges, predicted_edges = _edges(truth), _edges(predicted)
    cells = torch.arange(len(truth)).view(-1, 1, 1) * classes
    counts = []
    for edges, others in ((true_edges, predicted_edges), (predicted_edges, true_edges)):
        all_of_them = (cells + edges)[edges != IGNORED]
        counts += [torch.bincount(numbers, minlength=len(truth) * classes).view(len(truth), classes)
                   for numbers in (_near(edges, others, reach, classes), all_of_them)]
    return torch.stack(counts, 1)


def _edges(mask: Tensor) -> Tensor:
    """The mask where it is an edge, else IGNORED."""
    edge = torch.zeros_like(mask, dtype=torch.bool)
    for axis in (1, 2):
        first, second = mask.narrow(axis, 0, mask.shape[axis] - 1), mask.narrow(axis, 1, mask.shape[axis] - 1)
        differs = (first != second) & (first != IGNORED) & (second != IGNORED)
        edge.narrow(axis, 0, mask.shape[axis] - 1).logical_or_(differs)
        edge.narrow(axis, 1, mask.shape[axis] - 1).logical_or_(differs)
    return mask.where(edge, IGNORED)


def _near(edges: Tensor, others: Tensor, reach: float, number: int) -> Tensor:
    """int64 [n]: of those edge pixels that have one of their class among `others` within `reach` the class, plus the
    number of classes for each picture before theirs."""
    whole = int(reach)
    padded = F.pad(others, (whole, whole, whole, whole), value=IGNORED)
    image, y, x = (edges != IGNORED).nonzero(as_tuple=True)
    classes = edges[image, y, x]
    matched = []
    steps = [(i, j) for i in range(-whole, whole + 1) for j in range(-whole, whole + 1) if i * i + j * j <= reach**2]
    for down, right in sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2):    # most are found close by
        hit = padded[image, y + whole + down, x + whole + right] == classes
        matched.append(image[hit] * number + classes[hit])
        image, y, x, classes = (column[~hit] for column in (image, y, x, classes))
    return torch.cat(matched)
