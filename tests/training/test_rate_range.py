"""The range test of the learning rate: a curve that falls and blows up, and a rate that learns."""

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lensmith.base.errors import UserError
from lensmith.study.report.rate_chart import rate_chart
from lensmith.training.rate_range import HIGH, LOW, RateRange, _smoothed, _suggested, rate_range

RECIPE = {"data": {"name": "shapes", "count": 90, "size": 16}, "backbone": {"name": "lenet3x3"},
          "loading": {"batch": 16}, "plan": {"mode": "exact", "threads": 1, "device": "cpu"},
          "learner": {"patience": 3}}


def curve(rate: float) -> float:
    """Nothing happens, then it falls around 1e-3, then it blows up from 1 on."""
    return 2.0 - 1.5 / (1 + (1e-3 / rate) ** 2) + (rate / 1.0) ** 2


def test_the_suggestion_lies_where_the_loss_falls():
    rates = [LOW * (HIGH / LOW) ** (number / 100) for number in range(101)]
    suggestion = _suggested(rates, [curve(rate) for rate in rates])
    assert suggestion is not None and 1e-3 <= suggestion <= 1e-2
    assert _suggested(rates, [2.3] * 101) is None and _suggested([], []) is None
    assert _smoothed([3.0, 3.0, 3.0]) == pytest.approx([3.0] * 3)


def test_a_recipe_is_tested_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = rate_range(RECIPE, steps=40)
    assert list(tmp_path.iterdir()) == [] and found.recipe_rate == pytest.approx(1e-3)
    assert found.suggestion is not None and 1e-5 < found.suggestion < 0.5
    assert found.losses[-1] > min(found.losses) or len(found.losses) == 40
    assert all(later / earlier == pytest.approx((HIGH / LOW) ** (1 / 40))
               for earlier, later in zip(found.rates, found.rates[1:], strict=False))
    assert f"the recipe has 0.001. Take --rate {found.suggestion:g}" in found.in_words()


def test_too_few_steps_are_refused():
    with pytest.raises(UserError, match="the range test needs 20 steps or more to show a curve; got 3"):
        rate_range(RECIPE, steps=3)


def test_where_nothing_falls_it_says_so():
    assert "at no rate from 1e-06 to 1 does the loss fall in 2 steps" in RateRange(
        (1e-6, 1.0), (2.3, 2.3), 1e-3, None).in_words()


def test_of_a_network_that_has_learned_the_rate_is_told_from_which_the_loss_rises():
    """The loss of a head that was fitted is noise until the rate is too high: the least of it says nothing."""
    rates = [LOW * (HIGH / LOW) ** (number / 30) for number in range(24)]
    losses = [0.027, 0.016, 0.013, *(0.03 for _ in range(18)), 0.08, 0.2, 0.9]
    assert _suggested(rates, losses) is None
    found = RateRange(tuple(rates), tuple(losses), 5e-4, None).in_words()
    assert "does not fall in 24 steps, as of a network that begins with what it has learned" in found
    assert f"rises from a rate of {rates[21]:.1g} on; the recipe has 0.0005, below that" in found
    above = RateRange(tuple(rates), tuple(losses), 0.5, None).in_words()
    assert f"the recipe has 0.5, above it: take --rate {rates[21] / 10:.1g}" in above


def test_the_curve_is_drawn():
    rates = [10 ** (number / 10 - 6) for number in range(70)]
    text = rate_chart(rates, [curve(rate) for rate in rates], suggestion=2e-3)
    root = ElementTree.fromstring(text)
    assert root.get("id") == "rates-chart" and "--rate 0.002" in text
    assert math.isfinite(float(root.get("viewBox").split()[2]))
