"""Episodes that are played to measure: their returns against a loop over one copy."""

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.rl.evaluate import play_episodes


def right(observations):
    return torch.ones(len(observations), dtype=torch.int64)


def left(observations):
    return torch.zeros(len(observations), dtype=torch.int64)


def test_each_copy_plays_as_many_episodes_as_every_other(corridor):
    episodes = play_episodes(corridor(3, 5), right, 8, discount=0.5, frames=[1, 7])
    wanted = []
    for number in range(8):
        world = corridor(3, 5)
        world.reset()
        for _ in range(number // 3):
            world.begin(torch.ones(3, dtype=torch.bool))
        wanted.append(4 - int(world.cells[number % 3]))    # steps to the last cell
    assert list(episodes.lengths) == wanted
    assert episodes.returns == pytest.approx([1 - 0.1 * (length - 1) for length in wanted])
    assert episodes.discounted == pytest.approx([
        0.5 ** (length - 1) - 0.1 * sum(0.5**step for step in range(length - 1)) for length in wanted])
    assert all(episodes.ended) and episodes.actions[0] == 0
    assert [len(episodes.frames[number]) for number in (1, 7)] == [wanted[1], wanted[7]]
    assert episodes.frames[1][0].shape == (3, 40, 160)
    assert episodes.mean_length == sum(wanted) / 8


def test_an_episode_that_is_cut_has_not_ended(corridor):
    episodes = play_episodes(corridor(2, 5), left, 2)
    assert episodes.lengths == (7, 7) and episodes.ended == (False, False)
    assert play_episodes(corridor(2, 5), left, 2, most=3).lengths == (3, 3)


def test_no_episodes_are_told(corridor):
    with pytest.raises(UserError, match="at least one episode must be played to measure; got 0"):
        play_episodes(corridor(2, 5), left, 0)
