"""Errors of numbers: plain functions of sums over the pictures."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ErrorSums:
    """Sums over the pictures whose number is known, [..., quantities] each, where bootstrap samples are rows."""

    count: np.ndarray           # of 1
    absolute: np.ndarray        # of |error|
    squared: np.ndarray         # of error^2
    truth: np.ndarray           # of the truth, less any constant
    truth_squared: np.ndarray   # of the same, squared


def errors_by_quantity(sums: ErrorSums) -> dict[str, np.ndarray]:
    """MAE, RMSE and R2, [..., quantities] each.

    With n pictures, errors e and truth t: MAE = sum |e| / n, RMSE = sqrt(sum e^2 / n), R2 = 1 - sum e^2 / sum (t -
    mean t)^2. R2 of a quantity whose truth is constant is 1 where every prediction is exact and 0 otherwise, as in
    scikit-learn.
    """
    count = np.maximum(sums.count, 1)
    spread = sums.truth_squared - sums.truth**2 / count
    # What rounding leaves of the spread of equal numbers is no spread.
    constant = spread <= 1e-12 * sums.truth_squared
    unexplained = sums.squared / np.where(constant, 1.0, spread)
    explained = np.where(constant, np.where(sums.squared == 0, 1.0, 0.0), 1 - unexplained)
    return {"MAE": sums.absolute / count, "RMSE": np.sqrt(sums.squared / count), "R2": explained}


def mean_absolute_error(sums: ErrorSums) -> np.ndarray:
    """[...]: the mean over the quantities of their MAE, in the file's units."""
    return errors_by_quantity(sums)["MAE"].mean(-1)


def root_mean_square_error(sums: ErrorSums) -> np.ndarray:
    """[...]: the mean over the quantities of their RMSE, in the file's units."""
    return errors_by_quantity(sums)["RMSE"].mean(-1)


def coefficient_of_determination(sums: ErrorSums) -> np.ndarray:
    """[...]: the mean over the quantities of their R2."""
    return errors_by_quantity(sums)["R2"].mean(-1)
