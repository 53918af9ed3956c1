"""Intervals against scipy and against resampling written otherwise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from lensmith.tasks.metrics.intervals import around, bounds, resampled_counts, resampled_rows, wilson


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_wilson_is_scipys(drawn: tuple[int, int]) -> None:
    hits, total = drawn
    wanted = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert wilson(hits, total) == pytest.approx([wanted.low, wanted.high], abs=1e-9)


def test_wilson_stays_within_its_bounds_and_holds_the_share() -> None:
    assert wilson(0, 3)[0] == 0 and wilson(3, 3)[1] == 1
    assert all(wilson(k, 9)[0] <= k / 9 <= wilson(k, 9)[1] for k in range(10))


def test_bounds_are_the_middle_of_the_draws() -> None:
    assert bounds(np.arange(1001) / 1000) == pytest.approx([0.025, 0.975])


def test_resampled_counts_keep_the_total_and_vary_as_a_multinomial() -> None:
    counts = np.array([600, 300, 100])
    drawn = np.concatenate(list(resampled_counts(counts)))
    assert drawn.shape == (1000, 3) and (drawn.sum(1) == 1000).all()
    assert drawn.mean(0) == pytest.approx(counts, abs=2)
    share = counts / 1000
    assert drawn.var(0) == pytest.approx(1000 * share * (1 - share), rel=0.15)


def test_resampled_rows_draw_with_replacement() -> None:
    weights = np.concatenate(list(resampled_rows(50, 1)))
    assert weights.shape == (1000, 50) and (weights.sum(1) == 50).all()
    assert weights.mean(0) == pytest.approx(np.ones(50), abs=0.15)
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)


def test_the_same_draws_come_each_time() -> None:
    counts = np.array([5, 6, 7])
    for first, second in zip(resampled_counts(counts), resampled_counts(counts), strict=True):
        assert np.array_equal(first, second)
    for first, second in zip(resampled_rows(30, 2), resampled_rows(30, 2), strict=True):
        assert np.array_equal(first, second)


def test_large_tables_are_drawn_less_often_and_in_pieces() -> None:
    chunks = [len(weights) for weights in resampled_rows(200_000, 20)]
    assert sum(chunks) == 100 and max(chunks) * 200_000 <= 1 << 21


def test_the_interval_around_a_share_holds_it_and_stays_within_nought_and_one() -> None:
    draws = np.array([0.3, 0.5, 0.7, 0.5])
    assert around(0.4, draws) == pytest.approx([0.4 - 1.959964 * draws.std(), 0.4 + 1.959964 * draws.std()])
    assert around(0.99, draws)[1] == 1 and around(0.01, draws)[0] == 0 and around(1.0, np.ones(9)) == [1, 1]
