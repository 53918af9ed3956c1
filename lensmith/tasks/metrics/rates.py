"""Rates of labels, tags and pixels: plain functions of what was counted of each class."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np


@dataclass(frozen=True)
class ClassCounts:
    """Pictures, decisions on tags, or pixels, by class: three [..., classes], where bootstrap samples are rows."""

    hits: np.ndarray         # right predictions of the class
    support: np.ndarray      # of the class in truth
    predicted: np.ndarray    # taken for the class
    _: KW_ONLY
    top5: int | None = None                 # labels: true class among the five likeliest; None below five classes
    exact: tuple[int, int] = (0, 0)         # tags: pictures with every tag right, and those with every tag known
    precisions: np.ndarray | None = None    # tags: float [tags], average precision, NaN for a tag never present
    edges: np.ndarray | None = None         # masks: int64 [4, classes], as of `edge_hits`


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64, 0 where both are 0, as scikit-learn's zero_division=0 has it."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=np.asarray(whole) > 0)


def fraction_right(counts: ClassCounts) -> np.ndarray:
    """[...]: sum of hits / sum of support."""
    return ratio(counts.hits.sum(-1), counts.support.sum(-1))


def fraction_among_five(counts: ClassCounts) -> float | None:
    """The fraction of the pictures whose class is among the five likeliest; None below five classes."""
    return None if counts.top5 is None else counts.top5 / int(counts.support.sum())


def f1_by_class(counts: ClassCounts) -> np.ndarray:
    """[..., classes]: 2 hits / (support + predicted), 0 for a class that was not met."""
    return ratio(2 * counts.hits, counts.support + counts.predicted)


def mean_f1(counts: ClassCounts) -> np.ndarray:
    """[...]: the mean F1 of the classes met in the truth or in the predictions.

    Those are scikit-learn's default labels. Where no class was met at all nothing was missed or invented: 1.
    """
    met = ((counts.support + counts.predicted) > 0).sum(-1)
    return np.where(met == 0, 1.0, ratio(f1_by_class(counts).sum(-1), met))


def pooled_f1(counts: ClassCounts) -> np.ndarray:
    """[...]: the F1 of all decisions counted together; 1 where there was none to make."""
    whole = (counts.support + counts.predicted).sum(-1)
    return np.where(whole == 0, 1.0, ratio(2 * counts.hits.sum(-1), whole))


def mean_recall(counts: ClassCounts) -> np.ndarray:
    """[...]: the mean of hits / support over the classes met in the truth."""
    return ratio(ratio(counts.hits, counts.support).sum(-1), (counts.support > 0).sum(-1))


def fraction_exact(counts: ClassCounts) -> float | None:
    """The fraction of the pictures with every tag known whose every tag is right; None where there is no such."""
    right, complete = counts.exact
    return right / complete if complete else None


def mean_precision_of_tags(counts: ClassCounts) -> float | None:
    """The mean average precision of the tags met in the truth; None where none is met."""
    assert counts.precisions is not None
    return float(np.nanmean(counts.precisions)) if counts.support.any() else None


def iou_by_class(counts: ClassCounts) -> np.ndarray:
    """[..., classes]: hits / (support + predicted - hits), intersection over union."""
    return ratio(counts.hits, counts.support + counts.predicted - counts.hits)


def mean_iou(counts: ClassCounts) -> np.ndarray:
    """[...]: the mean IoU of the classes met in the truth or in the predictions."""
    return ratio(iou_by_class(counts).sum(-1), (counts.support + counts.predicted > 0).sum(-1))


def mean_dice(counts: ClassCounts) -> np.ndarray:
    """[...]: the mean of 2 hits / (support + predicted) of the classes met in the truth or in the predictions."""
    return ratio(f1_by_class(counts).sum(-1), (counts.support + counts.predicted > 0).sum(-1))


def edge_f1_by_class(counts: ClassCounts) -> np.ndarray:
    """[classes]: the F1 of each class's edge pixels; NaN for a class without a true one."""
    assert counts.edges is not None
    recalled, true, right, found = counts.edges
    recall, precision = ratio(recalled, true), ratio(right, found)
    return np.where(true > 0, ratio(2 * precision * recall, precision + recall), np.nan)


def mean_edge_f1(counts: ClassCounts) -> float | None:
    """The mean F1 of the edges of the classes with an edge in the truth; None where none has one, as where all edges
    are void."""
    edge_f1 = edge_f1_by_class(counts)
    return None if np.isnan(edge_f1).all() else float(np.nanmean(edge_f1))


def mean_score(scores: Sequence[float]) -> float:
    """Of several tasks, the mean of the score that ranks each."""
    return sum(scores) / len(scores)
