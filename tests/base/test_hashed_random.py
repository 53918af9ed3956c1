"""Random numbers by hash: the same for any order, spread evenly, and with nothing shared between streams."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lensmith.base.hashed_random import hashed, seed_of, uniform

WORD = (1 << 64) - 1


def splitmix(state):
    """The finaliser as its authors give it, in Python's own integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
    return state ^ (state >> 31)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4))
def test_the_hash_agrees_with_one_in_whole_numbers(keys):
    state, golden = 0, 0x9E3779B97F4A7C15
    for key in keys:
        state = splitmix(((state ^ splitmix(((key & WORD) + golden) & WORD)) + golden) & WORD)
    assert int(hashed(*keys)[0]) == state
    assert seed_of(*keys) == state >> 1


def test_many_keys_at_once_give_what_each_gives_alone():
    rows = np.array([5, 0, 7, 123456])
    assert hashed(3, rows, 1).tolist() == [int(hashed(3, int(row), 1)[0]) for row in rows]


def test_the_order_and_the_number_of_keys_matter():
    assert len({int(hashed(*keys)[0]) for keys in ((1, 2), (2, 1), (1,), (1, 2, 0), (0, 1, 2))}) == 5


def test_neighbouring_keys_share_no_hash_and_half_of_the_bits():
    found = hashed(0, np.arange(20_000))
    assert len(np.unique(found)) == 20_000
    flipped = np.unpackbits((found[1:] ^ found[:-1]).view(np.uint8)).mean()
    assert flipped == pytest.approx(0.5, abs=0.005)


def test_uniform_numbers_are_below_one_and_spread_evenly():
    drawn = uniform(hashed(0, np.arange(100_000)), 4)
    assert drawn.dtype == torch.float32 and drawn.min() >= 0 and drawn.max() < 1
    counts = np.histogram(drawn.numpy(), bins=20, range=(0, 1))[0]
    chi_square = ((counts - 5000) ** 2 / 5000).sum()
    assert chi_square < 43.8    # of 19 degrees of freedom, one in a thousand is above


def test_streams_of_one_key_are_independent_of_each_other():
    keys = hashed(0, np.arange(50_000))
    one, other = uniform(keys, 0).numpy(), uniform(keys, 1).numpy()
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_a_row_draws_the_same_number_in_any_company():
    keys = hashed(9, np.arange(100))
    assert torch.equal(uniform(keys, 2)[[40, 3]], uniform(keys[[40, 3]], 2))


def test_the_numbers_stay_the_same_from_version_to_version():
    assert seed_of(1, 2, 3) == 4_906_264_314_479_254_948
