"""The difference of two scores on the same pictures, against what is known of a mean."""

import math

import numpy as np
import pytest

from lensmith.ship.compress.paired import PARTS, Difference, PairedScore, difference


def scored(right: np.ndarray) -> PairedScore:
    """Of answers that are right or not, in PARTS parts of equal size."""
    parts = right.reshape(PARTS, -1)
    without = [float(np.delete(parts, part, axis=0).mean()) for part in range(PARTS)]
    return PairedScore({}, float(right.mean()), tuple(without))


def test_of_a_mean_it_is_students_interval_of_the_parts():
    generator = np.random.default_rng(0)
    ours, other = (generator.random(400) < rate for rate in (0.8, 0.7))
    found = difference(scored(ours), scored(other))
    by_part = (ours.astype(float) - other).reshape(PARTS, -1).mean(1)
    half = 2.093 * by_part.std(ddof=1) / math.sqrt(PARTS)
    assert found.value == pytest.approx(by_part.mean())
    assert (found.low, found.high) == pytest.approx((by_part.mean() - half, by_part.mean() + half))


def test_what_is_the_same_is_within_chance_and_what_is_not_is_beyond_it():
    right = np.arange(400) % 4 > 0
    assert difference(scored(right), scored(right)) == Difference(0.0, 0.0, 0.0)
    assert not Difference(0.0, 0.0, 0.0).beyond_noise
    assert difference(scored(right), scored(np.zeros(400))).beyond_noise


@pytest.mark.parametrize("without", [(0.5,) * 3, (math.nan,) * PARTS])
def test_few_parts_and_scores_that_are_no_numbers_have_no_interval(without: tuple[float, ...]):
    found = difference(PairedScore({}, 0.5, without), PairedScore({}, 0.25, without))
    assert found == Difference(0.25) and not found.beyond_noise
