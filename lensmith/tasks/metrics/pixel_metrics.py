"""How well masks are found: the overlap of each class, shares of pixels, and how close their edges lie."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.confusion import nothing_to_measure, ratio
from lensmith.tasks.metrics.intervals import bounds, resampled_rows
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

_NEAR = (2.0, 0.0075)    # an edge is found within so many pixels, or so large a share of the diagonal if that is more
_COLUMNS = ("hits", "truth", "found")


class MaskMetrics:
    """Counts which pixel's class was taken for which. Void pixels of the truth are not counted."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)    # pixels, rows the truth
        self.rows: dict[str, list[Tensor]] = {name: [] for name in _COLUMNS}    # int64 [pictures, classes], pixels
        self.edges = torch.zeros(4, len(classes), dtype=torch.int64)    # true ones found, true, found ones right, found

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int = 0) -> None:
        """Raises DataError for a class that is not of this task."""
        truth, found = targets["mask"], predictions["mask"]
        assert isinstance(truth, Mask) and isinstance(found, Mask)
        goal, said = truth.classes.long(), found.classes.long()
        classes, pictures = len(self.classes), len(goal)
        known = goal != IGNORED
        beyond = known & (goal >= classes) | (goal < 0)
        if beyond.any():
            raise DataError(f"a mask holds the class {int(goal[beyond][0])}, and the task has {classes} classes, "
                            f"numbered 0 to {classes - 1}: test on masks of the classes of the training set")
        picture = torch.arange(pictures).view(-1, 1, 1)
        cell = torch.where(known, (picture * classes + goal) * classes + said, pictures * classes * classes)
        counts = torch.bincount(cell.flatten(), minlength=pictures * classes * classes + 1)[:-1]
        table = counts.view(pictures, classes, classes)
        self.confusion += table.sum(0)
        for name, rows in (("hits", table.diagonal(dim1=1, dim2=2)), ("truth", table.sum(2)), ("found", table.sum(1))):
            self.rows[name].append(rows)
        self.edges += edge_hits(goal, said.where(known, IGNORED), classes)

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

    def result(self) -> dict[str, Any]:
        """mIoU and dice, in the mean over the classes met in the truth or the predictions, pixel_accuracy, and
        boundary_f1 (`edge_hits`), in the mean over the classes with an edge in the truth, left out where none has one,
        as where all edges are void; intervals; details.

        All are of the pixels of all pictures together; the intervals are by bootstrap over pictures. Raises DataError
        where no pixel is known.
        """
        if not self.confusion.any():
            raise nothing_to_measure("pixel of a known class")
        tables = [torch.cat(self.rows[name]).numpy().astype(np.float64) for name in _COLUMNS]
        hits, truth, found = (table.sum(0) for table in tables)
        headline = {name: float(value) for name, value in _overlaps(hits, truth, found).items()}
        edge_f1 = _edge_f1(self.edges.numpy())
        if not np.isnan(edge_f1).all():
            headline["boundary_f1"] = float(np.nanmean(edge_f1))
        draws: dict[str, list[np.ndarray]] = {}
        for weights in resampled_rows(*tables[0].shape):
            for name, values in _overlaps(*(weights @ table for table in tables)).items():
                draws.setdefault(name, []).append(values)
        met = np.flatnonzero(truth + found)
        columns = {"IoU": ratio(hits, truth + found - hits), "dice": ratio(2 * hits, truth + found),
                   "precision": ratio(hits, found), "recall": ratio(hits, truth)}
        per_class = [{"class": self.classes[one], **{name: float(values[one]) for name, values in columns.items()},
                      "boundary_f1": None if np.isnan(edge_f1[one]) else float(edge_f1[one]),
                      "pixels": int(truth[one])} for one in met.tolist()]
        details = {"count": int((tables[1].sum(1) > 0).sum()), "per_class": per_class,
                   "absent": [name for number, name in enumerate(self.classes) if number not in met],
                   "confusion": self.confusion.tolist(), "confusion_names": list(self.classes)}
        return {**headline, "intervals": {name: bounds(np.concatenate(values)) for name, values in draws.items()},
                "details": details}


def _overlaps(hits: np.ndarray, truth: np.ndarray, found: np.ndarray) -> dict[str, np.ndarray]:
    """mIoU, dice and pixel_accuracy, each [...], from pixels [..., classes] that are right, of the truth, and found."""
    met = (truth + found > 0).sum(-1)
    return {"mIoU": ratio(ratio(hits, truth + found - hits).sum(-1), met),
            "dice": ratio(ratio(2 * hits, truth + found).sum(-1), met),
            "pixel_accuracy": ratio(hits.sum(-1), truth.sum(-1))}


def _edge_f1(edges: np.ndarray) -> np.ndarray:
    """[classes]: the F1 of each class's edges; NaN for a class without a true one."""
    recalled, true, right, found = edges
    recall, precision = ratio(recalled, true), ratio(right, found)
    return np.where(true > 0, ratio(2 * precision * recall, precision + recall), np.nan)


def edge_hits(truth: Tensor, found: Tensor, classes: int) -> Tensor:
    """int64 [4, classes]: of the true edge pixels of each class those that were found, and all; of the found ones those
    that are right, and all. Both masks are int64 [batch, height, width], void in the same places.

    A pixel is of its class's edge where one beside, above or below it is of another known class. It is found where
    the other mask has an edge pixel of that class within 2 pixels, or within 0.75 % of the diagonal where that is more
    (Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?").
    """
    diagonal = (truth.shape[1] ** 2 + truth.shape[2] ** 2) ** 0.5
    reach = max(_NEAR[0], _NEAR[1] * diagonal)
    ours, theirs = _edges(truth), _edges(found)
    counts = []
    for one, other in ((ours, theirs), (theirs, ours)):
        matched = _near(one, other, reach)
        counts += [torch.bincount(matched, minlength=classes),
                   torch.bincount(one[one != IGNORED], minlength=classes)]
    return torch.stack(counts)


def _edges(mask: Tensor) -> Tensor:
    """The mask where it is an edge, else IGNORED."""
    edge = torch.zeros_like(mask, dtype=torch.bool)
    for axis in (1, 2):
        first, second = mask.narrow(axis, 0, mask.shape[axis] - 1), mask.narrow(axis, 1, mask.shape[axis] - 1)
        differs = (first != second) & (first != IGNORED) & (second != IGNORED)
        edge.narrow(axis, 0, mask.shape[axis] - 1).logical_or_(differs)
        edge.narrow(axis, 1, mask.shape[axis] - 1).logical_or_(differs)
    return mask.where(edge, IGNORED)


def _near(one: Tensor, other: Tensor, reach: float) -> Tensor:
    """int64 [n]: the classes of the edge pixels of `one` that have one of their class in `other` within `reach`."""
    whole = int(reach)
    wide = F.pad(other, (whole, whole, whole, whole), value=IGNORED)
    image, y, x = (one != IGNORED).nonzero(as_tuple=True)
    kind = one[image, y, x]
    matched = []
    steps = [(i, j) for i in range(-whole, whole + 1) for j in range(-whole, whole + 1) if i * i + j * j <= reach**2]
    for down, right in sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2):    # most are found close by
        hit = wide[image, y + whole + down, x + whole + right] == kind
        matched.append(kind[hit])
        image, y, x, kind = (part[~hit] for part in (image, y, x, kind))
    return torch.cat(matched)
