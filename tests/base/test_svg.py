"""Scales, ticks and lines of the charts."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensmith.base.svg import AxisScale, line, spanning, words


@pytest.mark.parametrize(("low", "high", "whole", "expected"), [
    (0.0, 1.0, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    (0.45, 2.05, False, [0.5, 1.0, 1.5, 2.0]),
    (-3.0, 3.0, False, [-3, -2, -1, 0, 1, 2, 3]),
    (0.9, 3.1, True, [1, 2, 3]),
    (0.95, 1.05, True, [1]),
    (0.0, 5670.0, True, [0, 1000, 2000, 3000, 4000, 5000]),
])
def test_ticks_are_round(low: float, high: float, whole: bool, expected: list[float]) -> None:
    assert AxisScale(low, high, 0, 100).ticks(whole=whole) == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(1e-2, 1e9))
def test_ticks_are_few_evenly_spaced_and_on_the_scale(low: float, span: float) -> None:
    scale = AxisScale(low, low + span, 0, 100)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 8
    steps = [after - before for before, after in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-4)
    assert all(-1e-6 <= scale(tick) <= 100 + 1e-6 for tick in ticks)


def test_a_scale_has_room_on_both_sides() -> None:
    scale = spanning([10.0, math.nan, 30.0, math.inf], 200, 100)
    assert (scale.low, scale.high) == (9, 31) and scale(9) == 200 and scale(31) == 100 and scale(20) == 150


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [-2.5], [1e12, 1e12 + 1e-3]])
def test_a_scale_of_one_value_or_none_is_still_one(values: list[float]) -> None:
    scale = spanning(values, 0, 100)
    assert scale.low < scale.high and scale.ticks()


def test_a_line_leaves_a_gap_where_there_is_no_number() -> None:
    drawn = ET.fromstring(line([(0, 0), (1, 2), (2, math.nan), (3, 1)]))
    assert drawn.get("d") == "M0.00 0.00L1.00 2.00M3.00 1.00"
    assert line([(0, math.nan)]) == ""


def test_words_cannot_leave_their_element() -> None:
    drawn = ET.fromstring(words(1, 2, "</text><script>'&\""))
    assert drawn.tag == "text" and drawn.text == "</text><script>'&\"" and not len(drawn)
