"""Whether two scores differ by more than noise: tests on the same pictures and over seeds, corrected for several, and
how many pictures or runs would decide it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lensmith.tasks.metrics.students_t import (
    normal_below,
    normal_quantile,
    t_beyond,
    t_power,
    t_quantile,
)

LEVEL, POWER = 0.05, 0.8    # of a wrong alarm, and of finding what is there
MOST_RUNS = 1000            # more are not looked for
_EXACT_UP_TO = 1000         # pictures that differ, beyond which the normal distribution is as good


@dataclass(frozen=True)
class ScoreDifference:
    """A score less another, with its 95 % interval and how likely chance alone makes so large a one."""

    value: float
    low: float
    high: float
    p: float


def mcnemar(gained: int, lost: int) -> tuple[float, float]:
    """The exact and the mid-p value of McNemar's test: `gained` pictures that only one of two networks gets right,
    `lost` that only the other does.

    Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data": the mid-p test keeps its level
    nearly always and finds more than the exact one, which keeps it always.
    """
    total, fewer = gained + lost, min(gained, lost)
    if not total:
        return 1.0, 1.0
    if total > _EXACT_UP_TO:
        p = 2 * normal_below((2 * fewer - total) / math.sqrt(total))
        return min(1.0, p), min(1.0, p)
    tail = sum(_binomial(total, number) for number in range(fewer + 1))
    exact = min(1.0, 2 * tail)
    return exact, 1.0 if gained == lost else min(1.0, 2 * tail - _binomial(total, fewer))


def fraction_difference(gained: int, lost: int, pictures: int) -> ScoreDifference:
    """The difference of two fractions of right answers on the same pictures, with the mid-p value of McNemar's test.

    The interval is Wald's with Agresti and Min's half a picture more in each cell (2005, "Simple improved confidence
    intervals for comparing matched proportions"). NaN where there is no picture.
    """
    if not pictures:
        return ScoreDifference(math.nan, math.nan, math.nan, math.nan)
    value = (gained - lost) / pictures
    more, fewer, total = gained + 0.5, lost + 0.5, pictures + 2
    middle = (more - fewer) / total
    spread = normal_quantile(1 - LEVEL / 2) * math.sqrt(more + fewer - (more - fewer) ** 2 / total) / total
    return ScoreDifference(value, middle - spread, middle + spread, mcnemar(gained, lost)[1])


def resampled_difference(value: float, draws: np.ndarray, pictures: int) -> ScoreDifference:
    """A difference with what it is in bootstrap samples of the pictures, float [samples], the same for both scores.

    By the standard error over the samples (Efron and Tibshirani 1993, section 13.2) and Student's t, both of which
    few pictures widen. NaN where no two samples have a value.
    """
    finite = draws[np.isfinite(draws)]
    if len(finite) < 2 or pictures < 2 or not math.isfinite(value):
        return ScoreDifference(value, math.nan, math.nan, math.nan)
    error = float(finite.std(ddof=1)) * math.sqrt(pictures / (pictures - 1))
    if not error:
        return ScoreDifference(value, value, value, 1.0 if not value else math.nan)
    return _by_t(value, error, pictures - 1)


def mean_interval(scores: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean over runs with several seeds, at least two, by Student's t."""
    values = np.asarray(scores, dtype=np.float64)
    spread = t_quantile(1 - LEVEL / 2, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - spread, float(values.mean()) + spread


def seeds_difference(ours: Sequence[float], others: Sequence[float]) -> ScoreDifference:
    """The mean of our scores less that of the others, each over runs with several seeds.

    By Welch's t-test (1947); where one side is a single run, by Student's with the standard deviation of the other.
    NaN where both are, or where all scores of both are equal and the means are not.
    """
    first, second = np.asarray(ours, dtype=np.float64), np.asarray(others, dtype=np.float64)
    value = float(first.mean() - second.mean())
    variances = [float(scores.var(ddof=1)) if len(scores) > 1 else None for scores in (first, second)]
    known = [variance for variance in variances if variance is not None]
    if not known:
        return ScoreDifference(value, math.nan, math.nan, math.nan)
    parts = [(known[0] if variance is None else variance) / len(scores)
             for variance, scores in zip(variances, (first, second), strict=True)]
    error = math.sqrt(sum(parts))
    if error <= 1e-12 * max(1.0, abs(value)):
        return ScoreDifference(value, value, value, 1.0 if abs(value) <= 1e-12 else math.nan)
    if len(known) == 1:
        freedom = float(max(len(first), len(second)) - 1)
    else:
        total = sum(parts)    # divided by first: the square of a large variance is beyond what a float holds
        freedom = 1 / sum((part / total) * (part / total) / (len(scores) - 1)
                          for part, scores in zip(parts, (first, second), strict=True))
    return _by_t(value, error, freedom)


def holm(values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979): each may be read against the level as if it were alone, and
    the chance of any wrong alarm is at most the level. NaN stays and is not counted."""
    order = sorted((value, number) for number, value in enumerate(values) if not math.isnan(value))
    corrected, largest = list(values), 0.0
    for rank, (value, number) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * value))
        corrected[number] = largest
    return corrected


def runs_to_decide(value: float, deviation: float) -> int | None:
    """The runs of each of two settings with which a t-test finds a true difference `value` with a power of 80 %, where
    the scores of one have the standard deviation `deviation`; None where it would take more than 1,000."""
    if not value or not math.isfinite(value) or not math.isfinite(deviation):
        return None
    if deviation <= 0:
        return 2
    # The normal distribution's number is a little too low, and where the search begins.
    wanted = (normal_quantile(1 - LEVEL / 2) + normal_quantile(POWER)) * deviation / value
    if not 2 * wanted * wanted <= MOST_RUNS:
        return None
    for runs in range(max(2, math.floor(2 * wanted * wanted)), MOST_RUNS + 1):
        if t_power(abs(value) / deviation * math.sqrt(runs / 2), 2 * runs - 2) >= POWER:
            return runs
    return None


def pictures_to_decide(difference: ScoreDifference, pictures: int) -> int | None:
    """The pictures on which a true difference of that size would be found with a power of 80 %: the standard error
    shrinks with the square root of their number. None where there is no difference or no interval."""
    error = (difference.high - difference.low) / (2 * normal_quantile(1 - LEVEL / 2))
    if not difference.value or not math.isfinite(error):
        return None
    wanted = (normal_quantile(1 - LEVEL / 2) + normal_quantile(POWER)) * error / difference.value
    number = pictures * wanted * wanted
    return math.ceil(number) if math.isfinite(number) else None


def _by_t(value: float, error: float, freedom: float) -> ScoreDifference:
    spread = t_quantile(1 - LEVEL / 2, freedom) * error
    return ScoreDifference(value, value - spread, value + spread, t_beyond(value / error, freedom))


def _binomial(total: int, number: int) -> float:
    """The probability of so many heads of a fair coin."""
    return math.exp(math.lgamma(total + 1) - math.lgamma(number + 1) - math.lgamma(total - number + 1)
                    - total * math.log(2))
