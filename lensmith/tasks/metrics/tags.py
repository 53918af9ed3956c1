"""How well the tags of pictures are told."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.tasks.metrics.confusion import macro_f1, micro_f1, nothing_to_measure, rows_per_class
from lensmith.tasks.metrics.intervals import bounds, resampled_rows, wilson
from lensmith.values.labels import Tags
from lensmith.values.value import Value


class TagMetrics:
    """Keeps every answer, since mean average precision ranks them. A tag that is NaN in the truth is not counted."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        empty = torch.empty(0, len(classes))
        self.rows: dict[str, list[Tensor]] = {"truth": [empty], "present": [empty], "scores": [empty]}    # [n, tags]

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int = 0) -> None:
        truth, found = targets["tags"], predictions["tags"]
        assert isinstance(truth, Tags) and isinstance(found, Tags)
        scores = found.present if found.scores is None else found.scores
        for name, rows in (("truth", truth.present), ("present", found.present), ("scores", scores)):
            self.rows[name].append(rows.detach().float())

    def state(self) -> dict[str, Tensor]:
        """The answers as tensors, to be sent to another process."""
        return {name: torch.cat(rows) for name, rows in self.rows.items()}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's answers."""
        for name, rows in self.rows.items():
            rows.append(state[name])

    def result(self) -> dict[str, Any]:
        """macro_f1, micro_f1, exact_match (of the pictures with every tag known) and mAP; intervals; details.

        macro_f1 is the mean over the tags met in the truth or in the predictions. mAP is the mean over the tags met in
        the truth of scikit-learn's average_precision_score; where none is met it is left out. Raises DataError where
        no tagged picture was seen.
        """
        rows = {name: values.numpy() for name, values in self.state().items()}
        known = ~np.isnan(rows["truth"])
        if not known.any():
            raise nothing_to_measure("tag that is known to be present or absent")
        truth, taken = (rows["truth"] >= 0.5) & known, (rows["present"] >= 0.5) & known
        hits, support, predicted = (truth & taken).sum(0), truth.sum(0), taken.sum(0)
        whole = known.all(1)
        exact = int((truth == taken).all(1)[whole].sum())
        headline = {"macro_f1": float(macro_f1(hits, support, predicted)),
                    "micro_f1": float(micro_f1(hits, support, predicted))}
        intervals = _f1_intervals(truth, taken)
        if whole.any():
            headline["exact_match"] = exact / int(whole.sum())
            intervals["exact_match"] = wilson(exact, int(whole.sum()))
        per_class = rows_per_class(self.classes, hits, support, predicted)
        each = [average_precision(rows["scores"][known[:, tag], tag], truth[known[:, tag], tag],
                                  np.ones((1, int(known[:, tag].sum()))))[0] for tag in range(len(self.classes))]
        for row, value in zip(per_class, each, strict=True):
            row["average_precision"] = None if np.isnan(value) else float(value)
        if support.any():
            headline["mAP"] = float(np.nanmean(each))
            intervals["mAP"] = _precision_interval(rows["scores"], truth, known)
        return {**headline, "intervals": intervals, "details": {"count": int(known.any(1).sum()),
                                                                "per_class": per_class}}


def average_precision(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[resamples]: the mean of the precision over the recall's steps, without interpolation; NaN without a positive.

    `scores` and `truth` (bool) are [n], `weights` [resamples, n] say how often each sample counts. Samples of one
    score are decided together.
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


def _f1_intervals(truth: np.ndarray, taken: np.ndarray) -> dict[str, list[float]]:
    """95 % intervals of both F1 by bootstrap over the pictures; bool [n, tags] each."""
    macro, micro = [], []
    tables = [table.astype(np.float64) for table in (truth & taken, truth, taken)]
    for weights in resampled_rows(*truth.shape):
        counts = [weights @ table for table in tables]
        macro.append(macro_f1(*counts))
        micro.append(micro_f1(*counts))
    return {"macro_f1": bounds(np.concatenate(macro)), "micro_f1": bounds(np.concatenate(micro))}


def _precision_interval(scores: np.ndarray, truth: np.ndarray, known: np.ndarray) -> list[float]:
    """The 95 % interval of mAP by bootstrap over the pictures; each resample takes the tags that it met."""
    draws = []
    for weights in resampled_rows(*truth.shape):
        each = np.stack([average_precision(scores[known[:, tag], tag], truth[known[:, tag], tag],
                                           weights[:, known[:, tag]]) for tag in range(truth.shape[1])])
        met = (~np.isnan(each)).sum(0)
        draws.append(np.nansum(each, 0)[met > 0] / met[met > 0])
    return bounds(np.concatenate(draws))


def absent_by_present(present: Tensor) -> Tensor:
    """float32 [tags]: absent / present, counted over what is known; 1 for a tag that is always or never there."""
    here, absent = present.nansum(0), (1 - present).nansum(0)
    return torch.where((here > 0) & (absent > 0), absent / here.clamp(min=1), 1.0).float()
