"""The confusion matrix: which class was taken for which, and what a report shows of it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.intervals import resampled_counts
from lensmith.tasks.metrics.rates import ClassCounts, f1_by_class, ratio


def count_confusion(truth: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """int64 [classes, classes], rows the truth, columns the prediction; both int64 [n]. Raises DataError."""
    if len(truth) and not 0 <= int(truth.min()) <= int(truth.max()) < classes:
        label = int(truth.min()) if int(truth.min()) < 0 else int(truth.max())
        raise DataError(f"label {label} is outside the {classes} classes of this task, numbered 0 to {classes - 1}: "
                        "test on a data set with the classes of the training set")
    return torch.bincount(truth * classes + predicted, minlength=classes * classes).view(classes, classes)


def class_counts(matrix: np.ndarray, *, top5: int | None = None) -> ClassCounts:
    """The counts by class of a confusion matrix [classes, classes]."""
    return ClassCounts(np.diagonal(matrix), matrix.sum(1), matrix.sum(0), top5=top5)


def rows_per_class(names: Sequence[str], counts: ClassCounts) -> list[dict[str, Any]]:
    """A row a class: {class, precision, recall, f1, support}; a rate of nothing is 0."""
    columns = (ratio(counts.hits, counts.predicted), ratio(counts.hits, counts.support), f1_by_class(counts))
    return [{"class": name, "precision": float(precision), "recall": float(recall), "f1": float(f1),
             "support": int(support)}
            for name, precision, recall, f1, support in zip(names, *columns, counts.support, strict=True)]


def most_confused(names: Sequence[str], matrix: np.ndarray, *, best: int = 10) -> list[dict[str, Any]]:
    """The most frequent mistakes, first by count, then in class order: {truth, predicted, count, share}.

    `share` is the fraction of the pictures of that truth.
    """
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:best]
    cells = [(int(cell) // len(matrix), int(cell) % len(matrix)) for cell in order]
    return [{"truth": names[row], "predicted": names[column], "count": int(wrong[row, column]),
             "share": float(wrong[row, column] / matrix[row].sum())} for row, column in cells if wrong[row, column]]


def resampled_confusion(matrix: np.ndarray) -> Iterator[ClassCounts]:
    """The counts by class of bootstrap samples of the pictures, which the matrix stands for, a chunk at a time."""
    truth, predicted = matrix.nonzero()
    right = np.flatnonzero(truth == predicted)
    for drawn in resampled_counts(matrix[truth, predicted]):
        yield ClassCounts(*(_summed(drawn[:, cells], columns, len(matrix)) for cells, columns in (
            (right, truth[right]), (slice(None), truth), (slice(None), predicted))))


def _summed(drawn: np.ndarray, columns: np.ndarray, classes: int) -> np.ndarray:
    """[chunk, classes]: the cells of each row of `drawn` [chunk, cells], added up by the class of their column."""
    index = np.arange(len(drawn))[:, None] * classes + columns
    total = np.bincount(index.ravel(), weights=drawn.ravel(), minlength=len(drawn) * classes)
    return total.reshape(len(drawn), classes)


class NothingToMeasure(DataError):
    """A measurement without samples."""


def nothing_to_measure(noun: str) -> NothingToMeasure:
    """The error of a measurement without samples."""
    return NothingToMeasure(f"nothing to measure: no picture of this split has a {noun}. Give it pictures that have "
                            "one, or leave the split out")
