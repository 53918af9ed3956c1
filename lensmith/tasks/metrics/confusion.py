"""The counting core: which class was taken for which, and the rates that follow from the counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.intervals import bounds, resampled_counts


def count_confusion(truth: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """int64 [classes, classes], rows the truth, columns the prediction; both int64 [n]. Raises DataError."""
    if len(truth) and not 0 <= int(truth.min()) <= int(truth.max()) < classes:
        found = int(truth.min()) if int(truth.min()) < 0 else int(truth.max())
        raise DataError(f"label {found} is outside the {classes} classes of this task, numbered 0 to {classes - 1}: "
                        "test on a data set with the classes of the training set")
    return torch.bincount(truth * classes + predicted, minlength=classes * classes).view(classes, classes)


def marginals(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a confusion matrix, three [classes]: hits, support (pictures of the class), pictures taken for the class."""
    return np.diagonal(counts), counts.sum(1), counts.sum(0)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64, 0 where both are 0, as scikit-learn's zero_division=0 has it."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=np.asarray(whole) > 0)


def macro_f1(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """[...] from three [..., classes]: the mean F1 of the classes met in the truth or in the predictions.

    Those are scikit-learn's default labels. Where no class was met at all nothing was missed or invented: 1.
    """
    met = ((support + predicted) > 0).sum(-1)
    return np.where(met == 0, 1.0, ratio(ratio(2 * hits, support + predicted).sum(-1), met))


def micro_f1(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """[...]: the F1 of all decisions counted together; 1 where there was none to make."""
    whole = (support + predicted).sum(-1)
    return np.where(whole == 0, 1.0, ratio(2 * hits.sum(-1), whole))


def balanced_accuracy(hits: np.ndarray, support: np.ndarray) -> np.ndarray:
    """[...]: the mean recall of the classes met in the truth."""
    return ratio(ratio(hits, support).sum(-1), (support > 0).sum(-1))


def rows_per_class(names: Sequence[str], hits: np.ndarray, support: np.ndarray,
                   predicted: np.ndarray) -> list[dict[str, Any]]:
    """A row a class: {class, precision, recall, f1, support}; a rate of nothing is 0."""
    columns = (ratio(hits, predicted), ratio(hits, support), ratio(2 * hits, support + predicted))
    return [{"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for name, p, r, f, n in zip(names, *columns, support, strict=True)]


def most_confused(names: Sequence[str], counts: np.ndarray, *, best: int = 10) -> list[dict[str, Any]]:
    """The most frequent mistakes, first by count, then in class order: {truth, predicted, count, share}.

    `share` is the part of the pictures of that truth.
    """
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:best]
    cells = [(int(cell) // len(counts), int(cell) % len(counts)) for cell in order]
    return [{"truth": names[row], "predicted": names[column], "count": int(wrong[row, column]),
             "share": float(wrong[row, column] / counts[row].sum())} for row, column in cells if wrong[row, column]]


def confusion_intervals(counts: np.ndarray) -> dict[str, list[float]]:
    """95 % intervals of macro_f1 and balanced_accuracy: bootstrap over the pictures, which the counts stand for."""
    classes = len(counts)
    truth, taken = counts.nonzero()
    right = np.flatnonzero(truth == taken)
    f1, balanced = [], []
    for drawn in resampled_counts(counts[truth, taken]):
        hits, support, predicted = (
            _summed(drawn[:, cells], columns, classes)
            for cells, columns in ((right, truth[right]), (slice(None), truth), (slice(None), taken)))
        f1.append(macro_f1(hits, support, predicted))
        balanced.append(balanced_accuracy(hits, support))
    return {"macro_f1": bounds(np.concatenate(f1)), "balanced_accuracy": bounds(np.concatenate(balanced))}


class NothingToMeasure(DataError):
    """A measurement without samples."""


def nothing_to_measure(noun: str) -> NothingToMeasure:
    """The error of a measurement without samples."""
    return NothingToMeasure(f"nothing to measure: no picture of this split has a {noun}. Give it pictures that have "
                            "one, or leave the split out")


def _summed(drawn: np.ndarray, columns: np.ndarray, classes: int) -> np.ndarray:
    """[chunk, classes]: the cells of each row of `drawn` [chunk, cells], added up by the class of their column."""
    place = np.arange(len(drawn))[:, None] * classes + columns
    total = np.bincount(place.ravel(), weights=drawn.ravel(), minlength=len(drawn) * classes)
    return total.reshape(len(drawn), classes)
