"""Two programs on the same pictures: how far the difference of their accuracies may be off."""

from collections.abc import Sequence

import numpy as np

RESAMPLES = 20_000
_SEED = 0    # the interval is a function of the counts alone


def differences(ours: Sequence[bool], others: Sequence[bool]) -> np.ndarray:
    """float [RESAMPLES]: the accuracy of ours less that of the others over bootstrap samples of the pictures (Efron
    1979), which are drawn in pairs, as both were asked of the same ones."""
    by_picture = np.asarray(ours, dtype=int) - np.asarray(others, dtype=int)
    counts = np.bincount(by_picture + 1, minlength=3)    # the others alone are right, both or none, ours alone
    drawn = np.random.default_rng(_SEED).multinomial(len(by_picture), counts / len(by_picture), RESAMPLES)
    return (drawn[:, 2] - drawn[:, 0]) / len(by_picture)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of such samples, or of the mean over several sets of them."""
    low, high = np.quantile(samples, (0.025, 0.975))
    return float(low), float(high)


def in_points(difference: float, samples: np.ndarray) -> str:
    """A difference of accuracies with its interval, in points: "+1.2 (-0.4 to +2.8)"."""
    low, high = interval(samples)
    return f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
