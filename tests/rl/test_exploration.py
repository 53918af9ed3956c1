"""Exploration: how often each action is tried, and that a moment always draws the same."""

import numpy as np
import pytest
import torch

from lensmith.rl.exploration import drawn, epsilon_greedy, linear_decay, sampled, softmax_over

VALUES = torch.tensor([1.0, 2.0, 0.5])
COPIES = 200_000


def frequencies(actions):
    return np.bincount(actions.numpy(), minlength=3) / len(actions)


def test_epsilon_is_the_probability_of_any_action():
    found = frequencies(epsilon_greedy(VALUES.expand(COPIES, 3), 0.3, seed=1, moment=4))
    assert found == pytest.approx([0.1, 0.8, 0.1], abs=0.005)
    assert frequencies(epsilon_greedy(VALUES.expand(9, 3), 0.0, seed=1, moment=4)).tolist() == [0, 1, 0]


def test_the_softmax_follows_the_values_by_their_temperature():
    powers = np.exp(VALUES.numpy() / 0.5)
    found = frequencies(softmax_over(VALUES.expand(COPIES, 3), 0.5, seed=1, moment=4))
    assert found == pytest.approx(powers / powers.sum(), abs=0.005)
    assert frequencies(softmax_over(1e4 * VALUES.expand(9, 3), 1e-3, seed=1, moment=4)).tolist() == [0, 1, 0]


def test_a_policy_is_drawn_by_its_probabilities():
    probabilities = torch.tensor([0.2, 0.0, 0.8])
    found = frequencies(sampled(probabilities.log().expand(COPIES, 3), seed=2, moment=0))
    assert found == pytest.approx(probabilities.numpy(), abs=0.005) and found[1] == 0


def test_a_moment_draws_the_same_again_and_another_moment_something_else():
    assert torch.equal(drawn(1, 2, 3, 8), drawn(1, 2, 3, 8))
    assert not torch.equal(drawn(1, 2, 3, 8), drawn(1, 3, 3, 8))
    assert torch.equal(drawn(1, 2, 3, 8)[:4], drawn(1, 2, 3, 4))


def test_the_decay_is_a_line_and_then_flat():
    assert [linear_decay(1.0, 0.1, done, 0.5) for done in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([1, 0.55, 0.1, 0.1])
    assert linear_decay(1.0, 0.1, 0.0, 0.0) == 0.1
