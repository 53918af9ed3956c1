"""Targets, returns and advantages against plain loops in NumPy, written apart."""

import numpy as np
import pytest
import torch

from lensmith.rl.returns import (
    best_values,
    discounted_returns,
    double_values,
    generalised_advantages,
    n_step_rewards,
    td_targets,
)

STEPS, COPIES = 12, 5


@pytest.fixture
def played():
    rng = np.random.default_rng(3)
    ended = rng.random((STEPS, COPIES)) < 0.2
    return {"rewards": rng.normal(size=(STEPS, COPIES)), "values": rng.normal(size=(STEPS, COPIES)),
            "following": rng.normal(size=(STEPS, COPIES)), "ended": ended,
            "truncated": (rng.random((STEPS, COPIES)) < 0.2) & ~ended}


def test_advantages_are_the_sum_of_the_errors_that_follow_in_the_episode(played):
    discount, trace = 0.9, 0.7
    wanted = np.zeros((STEPS, COPIES))
    for copy in range(COPIES):
        for start in range(STEPS):
            factor = 1.0
            for step in range(start, STEPS):
                beyond = 0.0 if played["ended"][step, copy] else played["following"][step, copy]
                wanted[start, copy] += factor * (played["rewards"][step, copy] + discount * beyond
                                                 - played["values"][step, copy])
                factor *= discount * trace
                if played["ended"][step, copy] or played["truncated"][step, copy]:
                    break
    tensors = {name: torch.from_numpy(array) for name, array in played.items()}
    found = generalised_advantages(**tensors, discount=discount, trace=trace)
    assert np.allclose(found.numpy(), wanted)


def test_returns_stop_where_an_episode_is_over(played):
    over = played["ended"] | played["truncated"]
    wanted = np.zeros((STEPS, COPIES))
    beyond = np.arange(COPIES) / 10
    for copy in range(COPIES):
        for start in range(STEPS):
            factor = 1.0
            for step in range(start, STEPS):
                wanted[start, copy] += factor * played["rewards"][step, copy]
                factor *= 0.8
                if over[step, copy]:
                    break
            else:
                wanted[start, copy] += factor * beyond[copy]
    rewards, over, beyond = (torch.from_numpy(array) for array in (played["rewards"], over, beyond))
    found = discounted_returns(rewards, over, beyond, 0.8)
    assert np.allclose(found.numpy(), wanted)


def test_n_step_rewards_count_up_to_the_end_of_the_episode():
    rewards = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    over = torch.tensor([[False, False, True], [True, False, False], [False, True, True]])
    sums, counts = n_step_rewards(rewards, over, 0.5)
    assert sums.tolist() == [3.0, 1.0, 2.0] and counts.tolist() == [3, 1, 2]


def test_the_double_value_is_judged_by_the_other_network():
    chooser, judge = torch.tensor([[1.0, 3.0], [5.0, 2.0]]), torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    assert double_values(chooser, judge).tolist() == [20.0, 30.0]
    assert best_values(chooser).tolist() == [3.0, 5.0]
    targets = td_targets(torch.tensor([1.0, 1.0]), torch.tensor([0.9, 0.0]), torch.tensor([10.0, 10.0]))
    assert targets.tolist() == [10.0, 1.0]
