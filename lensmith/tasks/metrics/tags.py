"""How well the tags of pictures are told."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.tasks.metrics.confusion import nothing_to_measure, rows_per_class
from lensmith.tasks.metrics.from_counts import headlines_of, intervals_of
from lensmith.tasks.metrics.intervals import bounds, resampled_rows, wilson
from lensmith.tasks.metrics.rates import ClassCounts
from lensmith.values.labels import Tags
from lensmith.values.value import Value


class TagMetrics:
    """Keeps every answer, since mean average precision ranks them. A tag that is NaN in the truth is not counted."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        empty = torch.empty(0, len(classes))
        self.rows: dict[str, list[Tensor]] = {"truth": [empty], "present": [empty], "scores": [empty]}    # [n, tags]

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int = 0) -> None:
        truth, predicted = targets["tags"], predictions["tags"]
        assert isinstance(truth, Tags) and isinstance(predicted, Tags)
        scores = predicted.present if predicted.scores is None else predicted.scores
        for name, rows in (("truth", truth.present), ("present", predicted.present), ("scores", scores)):
            self.rows[name].append(rows.detach().float())

    def state(self) -> dict[str, Tensor]:
        """The answers as tensors, to be sent to another process."""
        return {name: torch.cat(rows) for name, rows in self.rows.items()}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's answers."""
        for name, rows in self.rows.items():
            rows.append(state[name])

    def result(self) -> dict[str, Any]:
        """The metrics of tags; intervals; details. mAP is left out where no tag is met in the truth, exact_match where
        no picture has every tag known. Raises DataError where no tagged picture was seen."""
        rows = {name: values.numpy() for name, values in self.state().items()}
        known = ~np.isnan(rows["truth"])
        if not known.any():
            raise nothing_to_measure("tag that is known to be present or absent")
        counts, truth, predicted = tag_counts(rows["truth"], rows["present"], rows["scores"])
        intervals = intervals_of("tags", _resampled(truth, predicted))
        right, complete = counts.exact
        if complete:
            intervals["exact_match"] = wilson(right, complete)
        if counts.support.any():
            intervals["mAP"] = _precision_interval(rows["scores"], truth, known)
        per_class = rows_per_class(self.classes, counts)
        assert counts.precisions is not None
        for row, precision in zip(per_class, counts.precisions, strict=True):
            row["average_precision"] = None if np.isnan(precision) else float(precision)
        return {**headlines_of("tags", counts), "intervals": intervals,
                "details": {"count": int(known.any(1).sum()), "per_class": per_class}}


def tag_counts(truth: np.ndarray, present: np.ndarray,
               scores: np.ndarray) -> tuple[ClassCounts, np.ndarray, np.ndarray]:
    """What is counted of tags, float [n, tags] each, NaN in the truth where not known; with it truth and prediction as
    bool [n, tags], false where not known."""
    known = ~np.isnan(truth)
    true, predicted = (truth >= 0.5) & known, (present >= 0.5) & known
    complete = known.all(1)
    exact = int((true == predicted).all(1)[complete].sum()), int(complete.sum())
    precisions = [average_precision(scores[known[:, tag], tag], true[known[:, tag], tag],
                                    np.ones((1, int(known[:, tag].sum()))))[0] for tag in range(truth.shape[1])]
    return ClassCounts((true & predicted).sum(0), true.sum(0), predicted.sum(0), exact=exact,
                       precisions=np.array(precisions)), true, predicted


def average_precision(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[resamples]: the mean of the precision over the recall's steps, without interpolation; NaN without a positive.

    `scores` and `truth` (bool) are [n], `weights` [resamples, n] say how often each sample counts. Samples of one
    score are decided together, as in scikit-learn's average_precision_score.
    """
    if not len(scores):
        return np.full(len(weights), np.nan)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    taken = weights[:, order].cumsum(1)[:, last]
    hits = (weights * truth)[:, order].cumsum(1)[:, last]
    precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
    steps = np.diff(hits, axis=1, prepend=0)
    total = hits[:, -1]
    return np.divide((steps * precision).sum(1), total, out=np.full(len(weights), np.nan), where=total > 0)


def _resampled(truth: np.ndarray, predicted: np.ndarray) -> Iterator[ClassCounts]:
    """The counts by tag of bootstrap samples of the pictures; bool [n, tags] each."""
    tables = [table.astype(np.float64) for table in (truth & predicted, truth, predicted)]
    for weights in resampled_rows(*truth.shape):
        yield ClassCounts(*(weights @ table for table in tables))


def _precision_interval(scores: np.ndarray, truth: np.ndarray, known: np.ndarray) -> list[float]:
    """The 95 % interval of mAP by bootstrap over the pictures; each resample takes the tags that it met."""
    draws = []
    for weights in resampled_rows(*truth.shape):
        precisions = np.stack([average_precision(scores[known[:, tag], tag], truth[known[:, tag], tag],
                                                 weights[:, known[:, tag]]) for tag in range(truth.shape[1])])
        met = (~np.isnan(precisions)).sum(0)
        draws.append(np.nansum(precisions, 0)[met > 0] / met[met > 0])
    return bounds(np.concatenate(draws))


def absent_by_present(present: Tensor) -> Tensor:
    """float32 [tags]: absent / present, counted over what is known; 1 for a tag that is always or never there."""
    here, absent = present.nansum(0), (1 - present).nansum(0)
    return torch.where((here > 0) & (absent > 0), absent / here.clamp(min=1), 1.0).float()
