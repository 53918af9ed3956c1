"""A world small enough to be followed by hand, and a learner in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lensmith.base.hashed_random import hashed
from lensmith.engine.optimize import OPTIMIZERS, leaves
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.schedule import cosine
from lensmith.engine.stepper import Stepper
from lensmith.models.backbones.stack import Stack
from lensmith.rl.algorithms import ALGORITHMS
from lensmith.rl.heads import dense_network, picture_network
from lensmith.rl.playing import Playing, PlaySettings
from lensmith.rl.worlds.world import Spaces, Step

LENGTH, LIMIT = 5, 7


class Corridor:
    """Cells 0 .. 4 in a line, the start drawn from the first two. Right leads on, left back; 1 is paid at the last
    cell, -0.1 for each other step. An episode is cut after 7 steps."""

    best = None

    def __init__(self, copies: int, seed: int, *, pictures: bool = False, exact: bool = True):
        self.copies, self.seed, self.exact = copies, seed, exact
        self.spaces = Spaces((1, 4, LENGTH) if pictures else (LENGTH,), ("left", "right"))
        self.episodes = torch.full((copies,), -1)
        self.cells, self.steps = torch.zeros(copies, dtype=torch.int64), torch.zeros(copies, dtype=torch.int64)

    def _show(self) -> Tensor:
        shown = torch.nn.functional.one_hot(self.cells, LENGTH)
        if not self.spaces.pictures:
            return shown.float()
        return (255 * shown).to(torch.uint8).view(-1, 1, 1, LENGTH).expand(-1, 1, 4, LENGTH).contiguous()

    def begin(self, copies: Tensor) -> Tensor:
        self.episodes[copies] += 1
        drawn = hashed(self.seed, np.arange(self.copies), self.episodes.numpy()) % np.uint64(2)
        self.cells[copies] = torch.from_numpy(drawn.astype(np.int64))[copies]
        self.steps[copies] = 0
        return self._show()

    def reset(self) -> Tensor:
        self.episodes.fill_(-1)
        return self.begin(torch.ones(self.copies, dtype=torch.bool))

    def step(self, actions: Tensor) -> Step:
        self.cells = (self.cells + 2 * actions - 1).clamp(min=0)
        self.steps = self.steps + 1
        ended = self.cells == LENGTH - 1
        truncated = (self.steps >= LIMIT) & ~ended
        rewards, last = torch.where(ended, 1.0, -0.1), self._show()
        return Step(self.begin(ended | truncated), rewards, ended, truncated, last)

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": self.episodes.clone(), "cells": self.cells.clone(), "steps": self.steps.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> Tensor:
        self.episodes = state["episodes"].clone()
        if not self.exact:
            return self.begin(torch.ones(self.copies, dtype=torch.bool))
        self.cells, self.steps = state["cells"].clone(), state["steps"].clone()
        return self._show()

    def frame(self, copy: int) -> Tensor:
        return torch.full((3, 40, 160), int(self.cells[copy]), dtype=torch.uint8)


def make_playing(algorithm: str, *, copies: int = 3, seed: int = 1, steps: int = 60, every: int = 24,
                 rate: float = 3e-3, pictures: bool = False, exact: bool = True, average: float = 0.0,
                 file: Path | None = None, episodes: int = 4, plan: Plan | None = None, **settings: Any) -> Playing:
    plan = plan or make_plan(device="cpu", threads=1)
    world = Corridor(copies, seed, pictures=pictures, exact=exact)
    chosen = ALGORITHMS[algorithm](**settings)
    torch.manual_seed(seed)
    if pictures:
        backbone = Stack([{"conv": 4, "kernel": 3, "padding": 1}, "batchnorm", "relu"], inputs=1, size=(4, LENGTH))
        network = picture_network(world.spaces, backbone, 8, chosen.head)
    else:
        network = dense_network(world.spaces, (8,), chosen.head)
    plan.place(network)
    learning = leaves(network)
    stepper = Stepper(network, learning, OPTIMIZERS["adam"](learning, rate=rate), schedule=cosine(), clip=1.0,
                      average=average)
    return Playing(network, chosen, world, measuring=lambda: Corridor(episodes, seed + 100, pictures=pictures),
                   stepper=stepper, plan=plan, settings=PlaySettings(steps, every, episodes, seed, file))


@pytest.fixture
def corridor() -> type[Corridor]:
    return Corridor


@pytest.fixture
def playing() -> Callable[..., Playing]:
    return make_playing
