"""A world of our own is one file and one line of the table: one is added from outside, by its rules alone."""

import numpy as np
import torch

from lensmith.rl.worlds import WORLDS, find_world
from lensmith.rl.worlds.cell_picture import cell_picture
from lensmith.rl.worlds.check_world import check_world
from lensmith.rl.worlds.game import GameWorld
from lensmith.rl.worlds.world import Spaces
from lensmith.rl.worlds.wrappers import wrapped_world


class Coin:
    """A coin lies on one of its sides; who says which has a point, and then it is thrown again."""

    best, steps = 10.0, 10

    def __init__(self, copies):
        self.spaces, self.settings = Spaces((2,), ("heads", "tails")), {"coin": 2}
        self.state, self.below = {"side": np.zeros(copies, np.int64)}, {"side": 2}

    def begin(self, rows, draw):
        self.state["side"][rows] = draw(rows, 1) * 2

    def advance(self, rows, actions, draw):
        rewards = (actions == self.state["side"][rows]).astype(np.float32)
        self.begin(rows, draw)
        return rewards, np.zeros(len(rows), np.bool_)

    def observe(self, rows):
        return np.eye(2, dtype=np.float32)[self.state["side"][rows]]

    def frame(self, copy):
        return cell_picture((self.observe([copy])[0, None, :, None] * 255).repeat(3, 2).astype(np.uint8))

    def scripted(self):
        return self.state["side"].copy()


def coin(copies, seed):
    return GameWorld(Coin(copies), copies, seed)


def test_a_world_is_its_rules_and_a_line_of_the_table(monkeypatch):
    monkeypatch.setitem(WORLDS, "coin", coin)
    world = wrapped_world(find_world("coin", trusted=False)(8, 0), frames=2)
    check_world(world, "coin")
    shown, returns = world.reset(), torch.zeros(8)
    for _ in range(10):
        step = world.step(shown[:, 2:].argmax(1))
        shown, returns = step.observations, returns + step.rewards
    assert step.truncated.all() and returns.tolist() == [world.best] * 8
    assert world.frame(0).shape == (3, 120, 240)
