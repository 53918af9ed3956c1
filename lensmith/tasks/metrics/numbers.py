"""How near numbers come to the truth."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.confusion import nothing_to_measure
from lensmith.tasks.metrics.error_sums import ErrorSums, errors_by_quantity
from lensmith.tasks.metrics.from_counts import headlines_of, intervals_of
from lensmith.tasks.metrics.intervals import resampled_rows
from lensmith.values.labels import Numbers
from lensmith.values.value import Value

_SHOWN = 500    # points of a scatter plot


class NumberMetrics:
    """Keeps every pair of truth and prediction. A quantity that is NaN in the truth is not counted."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        empty = torch.empty(0, len(classes))
        self.rows: dict[str, list[Tensor]] = {"truth": [empty], "predicted": [empty]}    # float32 [n, quantities]

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int = 0) -> None:
        truth, predicted = targets["numbers"], predictions["numbers"]
        assert isinstance(truth, Numbers) and isinstance(predicted, Numbers)
        self.rows["truth"].append(truth.values.detach())
        self.rows["predicted"].append(predicted.values.detach())

    def state(self) -> dict[str, Tensor]:
        """The pairs as tensors, to be sent to another process."""
        return {name: torch.cat(rows) for name, rows in self.rows.items()}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's pairs."""
        for name, rows in self.rows.items():
            rows.append(state[name])

    def result(self) -> dict[str, Any]:
        """The metrics of numbers, each the plain mean over the quantities; intervals; details.

        Raises DataError where a quantity has no known number.
        """
        truth, predicted = (rows.double().numpy() for rows in self.state().values())
        known = ~np.isnan(truth)
        if not known.any(0).all():
            missing = [name for name, some in zip(self.classes, known.any(0), strict=True) if not some]
            raise nothing_to_measure(f"number for {', '.join(missing)}")
        tables = error_tables(truth, predicted)
        # What a diverged network says may be infinite; then so is its error, or NaN.
        with np.errstate(invalid="ignore"):
            sums = ErrorSums(*(table.sum(0) for table in tables))
            headlines, by_quantity = headlines_of("numbers", sums), errors_by_quantity(sums)
            intervals = intervals_of("numbers", (ErrorSums(*(weights @ table for table in tables))
                                                 for weights in resampled_rows(*truth.shape)))
        per_class = [{"class": name, **{error: float(values[i]) for error, values in by_quantity.items()},
                      "support": int(known[:, i].sum())} for i, name in enumerate(self.classes)]
        return {**headlines, "intervals": intervals,
                "details": {"count": int(known.any(1).sum()), "per_class": per_class, "scatter": self._scatter()}}

    def _scatter(self) -> dict[str, list[list[float]]]:
        """Up to 500 [truth, prediction] of each quantity, evenly picked in the order they came."""
        truth, predicted = self.state().values()
        pairs = {}
        for i, name in enumerate(self.classes):
            known = (~truth[:, i].isnan()).nonzero()[:, 0]
            chosen = known[torch.linspace(0, len(known) - 1, min(_SHOWN, len(known))).round().long()]
            pairs[name] = torch.stack((truth[chosen, i], predicted[chosen, i]), 1).tolist()
        return pairs


def error_tables(truth: np.ndarray, predicted: np.ndarray) -> list[np.ndarray]:
    """What `ErrorSums` sums, float64 [n, quantities] each, in its order; 0 where the truth is NaN."""
    known = ~np.isnan(truth)
    # Sums of squares around the mean keep their digits, and a constant truth is exactly 0 everywhere.
    middle = np.nanmean(truth, axis=0)
    low, high = np.nanmin(truth, axis=0), np.nanmax(truth, axis=0)
    centred, error = np.where(known & (low != high), truth - middle, 0.0), np.where(known, predicted - truth, 0.0)
    return [known.astype(np.float64), np.abs(error), error**2, centred, centred**2]


def moments(values: Tensor, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float32 [quantities] each, of what is known; a constant quantity has deviation 1.

    Raises DataError for a quantity that is infinite or never known.
    """
    mean, deviation = [], []
    for name, column in zip(names, values.double().unbind(1), strict=True):
        column = column[~column.isnan()]
        if not len(column) or not column.isfinite().all():
            raise DataError(f"the quantity {name!r} is {'infinite in places' if len(column) else 'never given'} in the "
                            "training set: mend its column, or leave it out of the data set")
        spread = column.std(correction=0)
        mean.append(column.mean())
        # Against the mean: a constant 0.1 has a deviation of a few 1e-18 after rounding.
        deviation.append(torch.where(spread > 1e-7 * column.abs().max(), spread, 1.0))
    return torch.stack(mean).float(), torch.stack(deviation).float()
