"""COCO's average precision and recall of boxes or masks, from which of them were matched."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lensmith.tasks.metrics.box_matching import MOST_FOUND, THRESHOLDS, Matches

RECALLS = np.linspace(0, 1, 101)       # where the precision is read off
_LIMITS = (1, 10, MOST_FOUND)          # boxes of a class that may count in one picture


@dataclass(frozen=True)
class PrecisionRecall:
    """What the numbers of COCO are means of; NaN where a class has no true box of that size."""

    # float64 [thresholds, recalls, classes, sizes]: the best precision at no less than each recall
    precision: np.ndarray
    # By how many boxes of a class may count in one picture: float64 [thresholds, classes, sizes]
    recall: dict[int, np.ndarray]


def precision_recall(matches: Matches) -> PrecisionRecall:
    """Every precision and recall that the headlines are made of."""
    return PrecisionRecall(_precision(matches), _recall(matches))


def mean_precision(tables: PrecisionRecall, *, threshold: int | None = None, size: int = 0) -> float | None:
    """The mean precision over recalls and classes, at one of `THRESHOLDS` or over all, for one of `SIZES`; None where
    there is no true box of that size."""
    return _mean(tables.precision[..., size] if threshold is None else tables.precision[threshold, ..., size])


def mean_recall_of(tables: PrecisionRecall, *, most: int) -> float | None:
    """The mean recall over thresholds and classes with at most so many boxes of a class in one picture."""
    return _mean(tables.recall[most][..., 0])


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _precision(matches: Matches) -> np.ndarray:
    classes, sizes = matches.positives.shape
    precision = np.where(matches.positives > 0, 0, np.full((len(THRESHOLDS), len(RECALLS), classes, sizes), np.nan))
    for number, rows in enumerate(rows_by_class(matches, classes)):
        # One box after another in memory: counted through faster than with the thresholds between them.
        right, wrong = (np.ascontiguousarray(table[rows].transpose(1, 2, 0))
                        for table in (matches.right, matches.wrong))
        for threshold, size in np.argwhere(right.any(2)).tolist():
            hits = np.flatnonzero(right[threshold, size])
            missed = wrong[threshold, size].cumsum(dtype=np.int32)[hits]
            precision[threshold, :, number, size] = _interpolated(missed, int(matches.positives[number, size]))
    return precision


def rows_by_class(matches: Matches, classes: int) -> list[np.ndarray]:
    """For each class its rows by falling score; equal scores in the order of the pictures."""
    cuts = np.searchsorted(matches.classes, np.arange(classes + 1))
    return [first + np.argsort(-matches.scores[first:last], kind="stable")
            for first, last in pairwise(cuts)]


def _interpolated(wrong: np.ndarray, positives: int) -> np.ndarray:
    """float64 [recalls] from the wrong boxes that come before each right one, int [right]."""
    order = np.arange(1, len(wrong) + 1, dtype=np.float64)
    # Only a right box can raise the precision, so those alone are looked at.
    best = np.maximum.accumulate((order / (wrong + order))[::-1])[::-1]
    first_right = np.searchsorted(order / positives, RECALLS, side="left")
    return np.append(best, 0.0)[first_right]


def _recall(matches: Matches) -> dict[int, np.ndarray]:
    classes, sizes = matches.positives.shape
    positives = np.where(matches.positives > 0, matches.positives, np.nan)
    recall = {}
    for most in _LIMITS:
        allowed = matches.rank < most
        hits = np.zeros((classes, len(THRESHOLDS), sizes))
        cuts = np.searchsorted(matches.classes[allowed], np.arange(classes + 1))
        right = matches.right[allowed]
        for number in range(classes):
            hits[number] = right[cuts[number]: cuts[number + 1]].sum(0)
        recall[most] = (hits / positives[:, None]).swapaxes(0, 1)
    return recall
