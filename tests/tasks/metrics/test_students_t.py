"""Student's t beside SciPy's."""

import math

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestIndPower

from lensmith.tasks.metrics.students_t import normal_below, normal_quantile, t_beyond, t_power, t_quantile

FREEDOM = st.one_of(st.integers(1, 100).map(float), st.floats(0.8, 1e5))


@settings(max_examples=100, deadline=None)
@given(st.floats(-40, 40), FREEDOM)
def test_probabilities_are_those_of_scipy(value: float, freedom: float):
    assert t_beyond(value, freedom) == pytest.approx(2 * scipy.stats.t.sf(abs(value), freedom), rel=1e-7, abs=1e-12)
    assert normal_below(value) == pytest.approx(scipy.stats.norm.cdf(value), rel=1e-9, abs=1e-300)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.001, 0.999), FREEDOM)
def test_quantiles_are_those_of_scipy(probability: float, freedom: float):
    assert t_quantile(probability, freedom) == pytest.approx(scipy.stats.t.ppf(probability, freedom), rel=1e-7,
                                                             abs=1e-9)
    assert normal_quantile(probability) == pytest.approx(scipy.stats.norm.ppf(probability), rel=1e-8, abs=1e-9)


def test_far_off_and_at_the_middle():
    assert t_beyond(math.inf, 5) == 0 and t_beyond(0.0, 5) == 1 and t_quantile(0.5, 5) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("runs", "effect"), [(2, 1.0), (2, 6.0), (3, 2.5), (10, 0.8), (64, 0.5), (400, 0.2)])
def test_the_power_is_that_of_statsmodels(runs: int, effect: float):
    expected = TTestIndPower().power(effect_size=effect, nobs1=runs, alpha=0.05)
    assert t_power(effect * math.sqrt(runs / 2), 2 * runs - 2) == pytest.approx(expected, abs=2e-3)
