"""The difference of two networks' scores on the same pictures, and how far it may be off."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lensmith.data.sources.fitting import in_files
from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import evaluate
from lensmith.engine.plan.plan import Plan
from lensmith.tasks.metrics.confusion import NothingToMeasure
from lensmith.tasks.task import Metrics, Task

PARTS = 20          # that the pictures are divided into
_T_QUANTILE = 2.093    # of Student's t with PARTS - 1 degrees of freedom, 95 % two-sided


@dataclass(frozen=True)
class Difference:
    """A score less that of another network, with its 95 % interval; without ends where it cannot be told."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def as_json(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "beyond_noise": self.beyond_noise}


@dataclass(frozen=True)
class PairedScore:
    """The metrics of a network, and the score with each of the parts of the pictures left out in turn."""

    metrics: dict[str, Any]
    score: float
    without: tuple[float, ...]


class _Parts:
    """Counts each part of the batches by itself."""

    def __init__(self, task: Task, batches: int):
        self.task, self.batches, self.number = task, batches, 0
        self.counts: list[Metrics] = [task.metrics() for _ in range(min(PARTS, batches))]

    def update(self, batch: Batch, predicted: dict[str, Any]) -> None:
        counts = self.counts[self.number * len(self.counts) // self.batches]
        counts.update(in_files(predicted, batch.places), in_files(batch.targets, batch.places), count=len(batch))
        self.number += 1


def paired_score(network: nn.Module, task: Task, batches: Iterable[Batch], *, number: int, plan: Plan) -> PairedScore:
    """The score of a network on so many batches, at least two for a difference to have an interval."""
    parts = _Parts(task, number)
    metrics = evaluate(network, task, batches, plan=plan, watches=(parts,))
    without = []
    for left_out in range(len(parts.counts)):
        rest = task.metrics()
        for other, counts in enumerate(parts.counts):
            if other != left_out:
                rest.merge(counts.state())
        try:
            without.append(float(rest.result().get(task.score, math.nan)))
        except NothingToMeasure:
            without.append(math.nan)
    return PairedScore(metrics, float(metrics.get(task.score, math.nan)), tuple(without))


def difference(ours: PairedScore, other: PairedScore) -> Difference:
    """The score of one network less that of another, which was asked of the same batches.

    With d_k the difference without part k of K, the interval is d +- t sqrt((K - 1) / K sum_k (d_k - mean d)^2), the
    delete-a-group jackknife (Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 11).
    """
    value = ours.score - other.score
    each = torch.tensor(ours.without, dtype=torch.float64) - torch.tensor(other.without, dtype=torch.float64)
    if len(each) < PARTS or not each.isfinite().all() or not math.isfinite(value):
        return Difference(value)
    spread = math.sqrt(float((each - each.mean()).square().sum()) * (len(each) - 1) / len(each))
    return Difference(value, value - _T_QUANTILE * spread, value + _T_QUANTILE * spread)
