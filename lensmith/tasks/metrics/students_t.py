"""Student's t and the normal distribution: probabilities, quantiles, and the power of a t-test."""

import math
from functools import cache

import numpy as np

_STEPS = 400         # of the continued fraction, which converges in far fewer
_SMALL = 1e-300
_POINTS = 2001       # of an integral over the standard deviation


def normal_below(value: float) -> float:
    """The probability of a standard normal number below `value`."""
    return 0.5 * math.erfc(-value / math.sqrt(2))


@cache
def normal_quantile(probability: float) -> float:
    """The value below which a standard normal number lies with a probability in (0, 1)."""
    low, high = -40.0, 40.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if normal_below(middle) < probability else (low, middle)
    return (low + high) / 2


def t_beyond(value: float, freedom: float) -> float:
    """The probability of Student's t with so many degrees of freedom to be further from 0 than `value`, either way."""
    if math.isinf(value):
        return 0.0
    total = freedom + value * value
    return _incomplete_beta(freedom / 2, 0.5, freedom / total, value * value / total)


@cache
def t_quantile(probability: float, freedom: float) -> float:
    """The value below which Student's t lies with a probability in (0, 1).

    By Newton's method from the normal quantile, which lies nearer to 0: since the density falls from there on, each
    step ends before the value and the next one is nearer.
    """
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    beyond, value = 2 * (1 - probability), normal_quantile(probability)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    for _ in range(_STEPS):
        density = scale * math.exp(-(freedom + 1) / 2 * math.log1p(value * value / freedom))
        step = (t_beyond(value, freedom) - beyond) / (2 * density)
        value += step
        if abs(step) <= 1e-11 * max(1.0, value):
            break
    return value


def t_power(shift: float, freedom: float, *, level: float = 0.05) -> float:
    """The probability that a two-sided t-test finds a difference that is `shift` standard errors.

    P(|Z + shift| > q S) with Z standard normal, S^2 chi-squared over its degrees of freedom, and q the quantile of t.
    """
    quantile = t_quantile(1 - level / 2, freedom)
    # The logarithm of the density of S, less a constant: the sum below is divided by its own total.
    spread = 8 / math.sqrt(2 * freedom)
    scale = np.linspace(max(1e-6, 1 - spread), 1 + spread + 2 / freedom, _POINTS)
    density = (freedom - 1) * np.log(scale) - freedom * scale**2 / 2
    density = np.exp(density - density.max())
    found = [normal_below(shift - quantile * s) + normal_below(-shift - quantile * s) for s in scale.tolist()]
    return float((density * found).sum() / density.sum())


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """The regularised incomplete beta function at x, whose `rest` is 1 - x with all its digits.

    By its continued fraction (Lentz's method; Press et al. 2007, "Numerical Recipes", section 6.4).
    """
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):    # the fraction converges fast on the other side
        return 1 - _incomplete_beta(b, a, rest, x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)) / a
    numerator, denominator = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = denominator
    for step in range(1, _STEPS):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        before = value
        for term in (even, odd):
            denominator = 1 / _away_from_zero(1 + term * denominator)
            numerator = _away_from_zero(1 + term / numerator)
            value *= numerator * denominator
        if abs(value - before) < 1e-15 * abs(value):
            break
    return front * value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _SMALL else _SMALL
