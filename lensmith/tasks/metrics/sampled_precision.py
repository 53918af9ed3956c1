"""COCO's average precision and recall of bootstrap samples of the pictures, whose boxes come and go together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lensmith.tasks.metrics.box_matching import Matches
from lensmith.tasks.metrics.box_precision import RECALLS, rows_by_class

_TOGETHER = 1 << 20    # counts of boxes in bootstrap samples at once, 4 to 8 MB


@dataclass(frozen=True)
class Ranked:
    """The boxes of one class by falling score, as far as they bear on its average precision."""

    hits: np.ndarray             # int [right]: the pictures of those that are right
    misses: np.ndarray           # int [wrong]: of those that are wrong and come before some right one
    misses_before: np.ndarray    # int [right]: how many of these come before each

    def __len__(self) -> int:
        return len(self.hits) + len(self.misses)


def ranked_by_class(matches: Matches, classes: int, *, threshold: int = 0, size: int = 0) -> list[Ranked]:
    """The boxes of each class, at one of `THRESHOLDS` and for one of `SIZES`."""
    ranked = []
    for rows in rows_by_class(matches, classes):
        right = np.flatnonzero(matches.right[rows, threshold, size])
        wrong = np.flatnonzero(matches.wrong[rows, threshold, size])
        wrong = wrong[: np.searchsorted(wrong, right[-1])] if len(right) else wrong[:0]    # no later one counts
        ranked.append(Ranked(matches.image[rows[right]], matches.image[rows[wrong]], np.searchsorted(wrong, right)))
    return ranked


def precision_by_class(ranked: Sequence[Ranked], true_rows: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """float [samples, classes]: the average precision where each picture counts `weights` [samples, pictures] times;
    NaN of a class without a true box in a sample. `true_rows` has the pictures of the true boxes of each class."""
    together = max(1, _TOGETHER // max(1, *(max(len(one.hits), len(one.misses)) for one in ranked)))
    chunks = []
    for part in np.array_split(weights, -(-len(weights) // together)):
        times = np.ascontiguousarray(part.T)    # [pictures, chunk]: how often each counts
        chunks.append(np.stack([_weighted(times[one.hits], times[one.misses], one.misses_before, times[true].sum(0))
                                for one, true in zip(ranked, true_rows, strict=True)], 1))
    return np.concatenate(chunks)


def recall_by_class(matches: Matches, true_rows: Sequence[np.ndarray], weights: np.ndarray, *,
                    most: int) -> np.ndarray:
    """float [samples, classes]: the mean recall over the thresholds with at most so many boxes of a class in a
    picture; NaN of a class without a true box in a sample."""
    columns, allowed = [], matches.rank < most
    for number, pictures in enumerate(true_rows):
        rows = allowed & (matches.classes == number)
        found = weights[:, matches.image[rows]] @ matches.right[rows, :, 0].sum(1).astype(weights.dtype)
        total = weights[:, pictures].sum(1) * matches.right.shape[1]
        columns.append(np.divide(found, total, out=np.full(len(weights), np.nan), where=total > 0))
    return np.stack(columns, 1)


def mean_over_classes(values: np.ndarray) -> np.ndarray:
    """float [samples]: the mean of [samples, classes] over the classes that each sample met; NaN where it met none."""
    columns = np.ascontiguousarray(values.T)    # summed class by class
    met = ~np.isnan(columns)
    number = met.sum(0)
    return np.where(number > 0, np.where(met, columns, 0).sum(0) / np.maximum(number, 1), np.nan)


def _weighted(hits: np.ndarray, misses: np.ndarray, misses_before: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """float [chunk]: a class's average precision where each box counts several times; NaN without a true one.

    By falling score: `hits` [right, chunk], `misses` [wrong, chunk], of which `misses_before` [right] come before each
    hit.
    """
    hits_so_far = hits.cumsum(0)
    misses_so_far = np.concatenate((np.zeros_like(positives)[None], misses.cumsum(0)))[misses_before]
    precision = np.divide(hits_so_far, hits_so_far + misses_so_far, out=np.zeros_like(hits_so_far),
                          where=hits_so_far > 0)
    best = np.maximum.accumulate(precision[::-1], 0)[::-1]
    recall = np.divide(hits_so_far, positives, out=np.zeros_like(hits_so_far), where=positives > 0)
    # Of the points where the precision is read off, those that each hit is the first to reach.
    reached = np.where(hits_so_far > 0, np.floor((len(RECALLS) - 1) * recall + 1e-3) + 1, 0)
    total = (best * np.diff(reached, axis=0, prepend=0)).sum(0) / len(RECALLS)
    return np.where(positives > 0, total, np.nan)
