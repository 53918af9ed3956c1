"""Tags: which are there, which were answered, and how likely each was held."""

from collections.abc import Sequence

import numpy as np

from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.by_picture.picture_counts import CLASSES, PICTURES, Column, Columns
from lensmith.tasks.metrics.rates import ClassCounts, f1_by_class, ratio
from lensmith.tasks.metrics.tags import average_precision
from lensmith.values.labels import Tags

_UNKNOWN = 2    # of the truth, beside 0 for absent and 1 for present
COLUMNS = {"truth": Column("uint8", (PICTURES, CLASSES)), "answer": Column("uint8", (PICTURES, CLASSES)),
           "scores": Column("float32", (PICTURES, CLASSES))}


def keep(truth: Tags, predicted: Tags, pictures: int, classes: int) -> dict[str, np.ndarray]:
    """A row a picture, a column a tag."""
    present = truth.present.float()
    known = ~present.isnan()
    scores = predicted.present if predicted.scores is None else predicted.scores
    return {"truth": np.where(known.numpy(), (present >= 0.5).numpy(), _UNKNOWN).astype(np.uint8),
            "answer": (predicted.present >= 0.5).numpy().astype(np.uint8), "scores": scores.float().numpy()}


def measure(metric: str, columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray | None:
    """The metrics of tags."""
    if metric == "exact_match":
        complete = (columns["truth"] < _UNKNOWN).all(1)
        exact = complete & (columns["truth"] == columns["answer"]).all(1)
        total = weights @ complete.astype(np.float64)
        return np.where(total > 0, ratio(weights @ exact.astype(np.float64), total), np.nan)
    if metric == "mAP":
        return _mean_precision(columns, weights)
    if metric not in METRICS or "tags" not in METRICS[metric].kinds:
        return None
    return np.asarray(METRICS[metric].function(_counts(columns, weights)))


def by_class(columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray:
    """F1 by tag."""
    counts = _counts(columns, weights)
    return np.where(counts.support > 0, f1_by_class(counts), np.nan)


def quality(columns: Columns, pictures: int, classes: int) -> np.ndarray:
    """The fraction of the known tags that are right."""
    known = columns["truth"] < _UNKNOWN
    right = ratio((known & (columns["truth"] == columns["answer"])).sum(1), known.sum(1))
    return np.where(known.any(1), right, np.nan)


def say(columns: Columns, picture: int, names: Sequence[str]) -> tuple[str, str]:
    """`cat, grass`, `dog, grass`"""
    truth, answer = (", ".join(name for name, there in zip(names, columns[side][picture], strict=True) if there == 1)
                     for side in ("truth", "answer"))
    return truth or "none", answer or "none"


def _counts(columns: Columns, weights: np.ndarray) -> ClassCounts:
    known = columns["truth"] < _UNKNOWN
    truth, answer = (columns["truth"] == 1), (columns["answer"] == 1) & known
    return ClassCounts(*(weights @ table.astype(np.float64) for table in (truth & answer, truth, answer)))


def _mean_precision(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """float [samples]: the mean average precision of the tags that each sample met."""
    known = columns["truth"] < _UNKNOWN
    precisions = np.stack([average_precision(columns["scores"][rows, tag], columns["truth"][rows, tag] == 1,
                                             weights[:, rows]) for tag, rows in enumerate(known.T)])
    met = (~np.isnan(precisions)).sum(0)
    return np.where(met > 0, ratio(np.nansum(precisions, 0), met), np.nan)
