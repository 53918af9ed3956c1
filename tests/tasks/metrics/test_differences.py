"""Tests of differences beside SciPy and statsmodels, and what they call different in simulated comparisons."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower

from lensmith.tasks.metrics.by_picture import BY_PICTURE
from lensmith.tasks.metrics.differences import (
    ScoreDifference,
    fraction_difference,
    holm,
    mcnemar,
    mean_interval,
    pictures_to_decide,
    resampled_difference,
    runs_to_decide,
    seeds_difference,
)

COMPARISONS, AT_MOST = 1000, 0.065    # of equal networks, and the fraction of them that may be called different


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 600), st.integers(0, 400))
def test_mcnemar_is_that_of_statsmodels(gained: int, lost: int):
    exact, middle = mcnemar(gained, lost)
    if gained + lost:
        assert exact == pytest.approx(reference_mcnemar([[0, gained], [lost, 0]], exact=True).pvalue, rel=1e-6)
        expected = min(1.0, exact - scipy.stats.binom.pmf(min(gained, lost), gained + lost, 0.5)) \
            if gained != lost else 1.0
        assert middle == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_mcnemar_of_many_and_of_none():
    assert mcnemar(0, 0) == (1.0, 1.0)
    expected = 2 * scipy.stats.binom.cdf(5200, 10_600, 0.5) - scipy.stats.binom.pmf(5200, 10_600, 0.5)
    assert mcnemar(5400, 5200)[1] == pytest.approx(expected, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_seeds_are_tested_as_by_scipy(ours: list[float], others: list[float]):
    difference = seeds_difference(ours, others)
    if min(np.std(ours), np.std(others)) > 1e-6:
        expected: Any = scipy.stats.ttest_ind(ours, others, equal_var=False)
        low, high = expected.confidence_interval()
        assert (difference.p, difference.low, difference.high) == pytest.approx(
            (expected.pvalue, low, high), rel=1e-5, abs=1e-8)
    if np.std(ours) > 1e-6:
        assert mean_interval(ours) == pytest.approx(
            scipy.stats.t.interval(0.95, len(ours) - 1, np.mean(ours), scipy.stats.sem(ours)), rel=1e-6, abs=1e-9)


def test_single_runs_and_equal_scores():
    assert math.isnan(seeds_difference([0.9], [0.8]).p)
    one = seeds_difference([0.9], [0.8, 0.82, 0.84])    # the interval for one more run: s sqrt(1 + 1/3)
    assert one.value == pytest.approx(0.08) and one.low == pytest.approx(0.08 - 4.302653 * 0.02 * math.sqrt(4 / 3))
    assert seeds_difference([0.5, 0.5], [0.5, 0.5]) == ScoreDifference(0.0, 0.0, 0.0, 1.0)
    assert math.isnan(seeds_difference([0.6, 0.6], [0.5, 0.5]).p)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(values: list[float]):
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist())
    with_nothing = holm([*values, math.nan])
    assert with_nothing[:-1] == pytest.approx(holm(values)) and math.isnan(with_nothing[-1])


@pytest.mark.parametrize("effect", [0.3, 0.8, 1.5, 4.0])
def test_the_runs_to_decide_are_those_of_statsmodels(effect: float):
    expected = TTestIndPower().solve_power(effect_size=effect, power=0.8, alpha=0.05)
    found = runs_to_decide(effect, 1.0)
    assert found is not None and abs(found - math.ceil(expected)) <= 1


def test_what_no_number_of_runs_decides():
    assert runs_to_decide(0.0, 1.0) is runs_to_decide(0.001, 1.0) is runs_to_decide(math.nan, 1.0) is None
    assert runs_to_decide(0.1, 0.0) == 2 and pictures_to_decide(ScoreDifference(0.0, -1, 1, 1.0), 10) is None


def test_differences_without_samples():
    assert math.isnan(resampled_difference(0.1, np.full(9, np.nan), 50).p)
    assert resampled_difference(0.0, np.zeros(9), 50).p == 1.0


def right_of_two(draw: np.random.Generator, pictures: int, gained: float, lost: float) -> tuple[int, int]:
    """How many of the pictures only the one and only the other gets right, at these rates."""
    cells = draw.multinomial(pictures, [gained, lost, 1 - gained - lost])
    return int(cells[0]), int(cells[1])


@pytest.mark.parametrize(("pictures", "differing"), [(50, 0.2), (500, 0.1), (5000, 0.03)])
def test_equal_networks_are_rarely_called_different_by_labels(pictures: int, differing: float):
    draw = np.random.default_rng(1)
    called = [fraction_difference(*right_of_two(draw, pictures, differing / 2, differing / 2), pictures).p < 0.05
              for _ in range(COMPARISONS)]
    assert np.mean(called) <= AT_MOST


def test_a_real_difference_of_labels_is_found_on_as_many_pictures_as_are_said():
    draw, gained, lost = np.random.default_rng(2), 0.06, 0.04
    first = fraction_difference(60, 40, 1000)
    pictures = pictures_to_decide(first, 1000)
    assert pictures is not None and 1000 < pictures < 3000
    found = [fraction_difference(*right_of_two(draw, pictures, gained, lost), pictures).p < 0.05
             for _ in range(COMPARISONS)]
    assert np.mean(found) >= 0.8 - 0.02    # up to the noise of a thousand


def two_tables(draw: np.random.Generator, kind: str, pictures: int, better: float) -> list[dict[str, np.ndarray]]:
    """What is kept of two networks, the first of which errs less often by the fraction `better`."""
    if kind == "numbers":
        truth = draw.normal(size=(pictures, 1)).astype(np.float32)
        shared = draw.normal(size=(pictures, 1))
        return [{"truth": truth, "answer": (truth + scale * (0.3 * shared + 0.2 * draw.normal(size=truth.shape))
                                            ).astype(np.float32)} for scale in (1 - better, 1.0)]
    truth = (draw.random((pictures, 3)) < 0.4).astype(np.uint8)
    return [{"truth": truth, "answer": truth ^ (draw.random(truth.shape) < rate).astype(np.uint8)}
            for rate in (0.2 * (1 - better), 0.2)]


def called(kind: str, metric: str, tables: list[dict[str, np.ndarray]], weights: np.ndarray) -> bool:
    pictures = weights.shape[1]
    draws = [BY_PICTURE[kind].measure(metric, table, weights, table["truth"].shape[1]) for table in tables]
    whole = [BY_PICTURE[kind].measure(metric, table, np.ones((1, pictures)), table["truth"].shape[1])
             for table in tables]
    assert draws[0] is not None and draws[1] is not None and whole[0] is not None and whole[1] is not None
    return resampled_difference(float(whole[0][0] - whole[1][0]), draws[0] - draws[1], pictures).p < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "metric"), [("tags", "macro_f1"), ("numbers", "MAE"), ("numbers", "R2")])
def test_equal_networks_are_rarely_called_different_by_samples(kind: str, metric: str):
    draw, pictures = np.random.default_rng(3), 120
    weights = draw.multinomial(pictures, np.full(pictures, 1 / pictures), size=200).astype(np.float64)
    rate = np.mean([called(kind, metric, two_tables(draw, kind, pictures, 0.0), weights) for _ in range(COMPARISONS)])
    assert rate <= AT_MOST
    found = np.mean([called(kind, metric, two_tables(draw, kind, pictures, 0.45), weights) for _ in range(100)])
    assert found >= 0.8


@pytest.mark.parametrize(("runs", "settings_compared"), [
    (2, 2), (3, 2), pytest.param(5, 2, marks=pytest.mark.slow), pytest.param(3, 4, marks=pytest.mark.slow),
    pytest.param(5, 10, marks=pytest.mark.slow)])
def test_equal_settings_are_rarely_called_different_over_seeds(runs: int, settings_compared: int):
    """Any wrong alarm among all pairs counts."""
    draw, alarms = np.random.default_rng(4), 0
    comparisons = COMPARISONS if settings_compared < 10 else 200
    for _ in range(comparisons):
        scores = draw.normal(0.9, 0.01, size=(settings_compared, runs)).tolist()
        values = [seeds_difference(scores[first], scores[second]).p for first in range(settings_compared)
                  for second in range(first)]
        alarms += min(holm(values)) < 0.05
    assert alarms / comparisons <= AT_MOST


@pytest.mark.parametrize("effect", [pytest.param(0.8, marks=pytest.mark.slow), 2.0])
def test_a_real_difference_is_found_with_as_many_runs_as_are_said(effect: float):
    draw, runs = np.random.default_rng(5), runs_to_decide(effect, 1.0)
    assert runs is not None
    found = [seeds_difference(draw.normal(effect, 1, runs).tolist(), draw.normal(0, 1, runs).tolist()).p < 0.05
             for _ in range(COMPARISONS)]
    assert np.mean(found) >= 0.8 - 0.03    # Welch's test gives up a little beside Student's, and a thousand are noisy
