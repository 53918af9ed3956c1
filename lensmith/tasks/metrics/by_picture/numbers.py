"""Numbers: the truth and what was answered."""

from collections.abc import Sequence

import numpy as np

from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.by_picture.picture_counts import CLASSES, PICTURES, Column, Columns
from lensmith.tasks.metrics.error_sums import ErrorSums, errors_by_quantity
from lensmith.tasks.metrics.numbers import error_tables
from lensmith.tasks.metrics.rates import ratio
from lensmith.values.labels import Numbers

COLUMNS = {"truth": Column("float32", (PICTURES, CLASSES)), "answer": Column("float32", (PICTURES, CLASSES))}


def keep(truth: Numbers, predicted: Numbers, pictures: int, classes: int) -> dict[str, np.ndarray]:
    """A row a picture, a column a quantity; NaN in the truth where it is not known."""
    return {"truth": truth.values.float().numpy(), "answer": predicted.values.float().numpy()}


def measure(metric: str, columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray | None:
    """The metrics of numbers."""
    if metric not in METRICS or "numbers" not in METRICS[metric].kinds:
        return None
    sums = _sums(columns, weights)
    if sums is None:
        return np.full(len(weights), np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.asarray(METRICS[metric].function(sums))
    return np.where((sums.count > 0).all(-1), values, np.nan)


def by_class(columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray:
    """The mean absolute error by quantity."""
    sums = _sums(columns, weights)
    if sums is None:
        return np.full((len(weights), classes), np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(sums.count > 0, errors_by_quantity(sums)["MAE"], np.nan)


def quality(columns: Columns, pictures: int, classes: int) -> np.ndarray:
    """Less the mean error over the known quantities, in standard deviations of their truth."""
    truth, answer = columns["truth"].astype(np.float64), columns["answer"].astype(np.float64)
    known = ~np.isnan(truth)
    count = np.maximum(known.sum(0), 1)
    with np.errstate(invalid="ignore", over="ignore"):    # what a diverged network says may be infinite
        mean = np.where(known, truth, 0).sum(0) / count
        unit = np.sqrt((np.where(known, truth - mean, 0) ** 2).sum(0) / count)
        errors = np.where(known, np.abs(answer - truth), 0.0) / np.where(unit > 0, unit, 1.0)
        return np.where(known.any(1), -ratio(errors.sum(1), known.sum(1)), np.nan)


def say(columns: Columns, picture: int, names: Sequence[str]) -> tuple[str, str]:
    """`age 31`, `age 34.2`"""
    truth, answer = (", ".join(f"{name} {value:.4g}" for name, value in zip(names, columns[side][picture], strict=True))
                     for side in ("truth", "answer"))
    return truth, answer


def _sums(columns: Columns, weights: np.ndarray) -> ErrorSums | None:
    """The sums of each sample; None where nothing is known of a quantity."""
    truth = columns["truth"].astype(np.float64)
    if not len(truth) or np.isnan(truth).all(0).any():
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        return ErrorSums(*(weights @ table for table in error_tables(truth, columns["answer"].astype(np.float64))))
