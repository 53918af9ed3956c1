"""From what was counted to the headlines of a kind of target and their intervals, by the table of metrics."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.intervals import bounds


def headlines_of(kind: str, counts: Any) -> dict[str, float]:
    """The value of each metric of a kind of target; those for which `counts` hold nothing are left out."""
    values = {name: metric.function(counts) for name, metric in METRICS.items() if kind in metric.kinds}
    return {name: float(value) for name, value in values.items() if value is not None}


def intervals_of(kind: str, samples: Iterable[Any]) -> dict[str, list[float]]:
    """The 95 % interval of each metric of a kind that is to be resampled, from the counts of bootstrap samples."""
    draws: dict[str, list[np.ndarray]] = {name: [] for name, metric in METRICS.items()
                                          if kind in metric.kinds and metric.resampled}
    for counts in samples:
        for name, values in draws.items():
            values.append(METRICS[name].function(counts))
    return {name: bounds(np.concatenate(values)) for name, values in draws.items()}
