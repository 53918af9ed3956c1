"""How far a measured number may be off: 95 % intervals for fractions, counts and statistics over samples."""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 1000
LEAST = 100               # resamples of a large set, whose interval is narrow anyway
_SEED = 0                 # the interval is a function of the counts alone
_Z = 1.959963984540054    # the normal distribution's 97.5 % quantile
_CHUNK = 1 << 21          # numbers drawn at once, 16 MB
_MOST_WORK = 20_000_000   # resamples * rows * columns: well under a second, since it is spent every epoch


def wilson(hits: int, total: int) -> list[float]:
    """[low, high] for the fraction hits / total, by Wilson 1927: right also near 0 and 1 and for few samples."""
    fraction, weight = hits / total, _Z * _Z / total
    middle = (fraction + weight / 2) / (1 + weight)
    spread = _Z / (1 + weight) * (fraction * (1 - fraction) / total + weight / (4 * total)) ** 0.5
    return [max(0.0, middle - spread) if hits else 0.0, min(1.0, middle + spread) if hits < total else 1.0]


def bounds(draws: np.ndarray) -> list[float]:
    """[low, high]: the middle 95 % of a statistic over bootstrap samples (Efron 1979, the percentile interval)."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return [float(low), float(high)]


def around(value: float, draws: np.ndarray) -> list[float]:
    """[low, high] for a fraction by its standard error over bootstrap samples.

    Efron and Tibshirani 1993, "An introduction to the bootstrap", section 13.2. For a statistic that is
    systematically off in bootstrap samples, whose `bounds` need not hold it.
    """
    spread = _Z * float(draws.std())
    return [max(0.0, value - spread), min(1.0, value + spread)]


def resampled_counts(counts: np.ndarray) -> Iterator[np.ndarray]:
    """Bootstrap samples of a table, a chunk at a time: int64 [chunk, cells] for int64 `counts` [cells]."""
    rng, total = np.random.default_rng(_SEED), counts.sum()
    chunk = max(1, _CHUNK // len(counts))
    for start in range(0, RESAMPLES, chunk):
        yield rng.multinomial(total, counts / total, size=min(chunk, RESAMPLES - start))


def resampled_rows(rows: int, columns: int) -> Iterator[np.ndarray]:
    """Bootstrap samples of `rows` samples, a chunk at a time: float64 [chunk, rows], how often each was drawn.

    1,000 in all, fewer where a table of `rows` x `columns` makes that slow.
    """
    resamples = min(RESAMPLES, max(LEAST, _MOST_WORK // (rows * columns)))
    rng = np.random.default_rng(_SEED)
    chunk = max(1, _CHUNK // rows)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)
