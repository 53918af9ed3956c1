"""A maze: from the start to the goal past traps and over slippery cells; five by five cells by itself."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import nearest
from lensmith.rl.worlds import maze_map
from lensmith.rl.worlds.cell_picture import BLUE, FREE, GREEN, RED, WALL, YELLOW, cell_picture, coloured
from lensmith.rl.worlds.game import Array, Draw, GameWorld, within
from lensmith.rl.worlds.maze_map import FIVE_BY_FIVE, MazeMap, parse_maze, read_maze
from lensmith.rl.worlds.world import Spaces, WorldError

ACTIONS = ("up", "right", "down", "left")
OBSERVATIONS = ("one-hot", "number", "picture")
_SLIP = 1    # stream
# What a network sees of a cell; the agent is the one thing that is only blue.
_SEEN = {"#": (96, 96, 96), "G": (0, 255, 0), "X": (255, 0, 0), "~": (96, 160, 255)}
_AGENT = (0, 0, 255)
_SHOWN = {"#": WALL, ".": FREE, "S": (58, 64, 80), "G": GREEN, "X": RED, "~": BLUE}


def maze(
    copies: int,
    seed: int,
    *,
    file: str | None = None,          # a map of one's own; None is a maze of 25 cells
    observation: str = "one-hot",     # "number": of the cell, scaled to 0 .. 1; "picture": two pixels a cell
    goal: float = 1.0,                # the reward at the goal, where the episode ends
    trap: float = -1.0,               # in a trap, where it ends as well
    cost: float = 0.05,               # of each step
    slip: float = 0.5,                # the probability that a step from a slippery cell goes to one of its two sides
    steps: int = 100,                 # after which an episode is cut
) -> GameWorld:
    """The maze as a world. A step against a wall or the edge stays where it is, and costs as every other.

    Raises WorldError for a map or a setting that is none, and for a maze that is not to be done within the steps.
    """
    if observation not in OBSERVATIONS:
        raise WorldError(f"world.observation is {observation!r}.{nearest(observation, OBSERVATIONS)} Accepted: "
                         f"{', '.join(OBSERVATIONS)}")
    within("slip", slip, 0, 1)
    within("cost", cost, 0, 1e6)
    within("goal", goal, -1e6, 1e6)
    within("trap", trap, -1e6, 1e6)
    within("steps", steps, 1, 1_000_000)
    cells = parse_maze(FIVE_BY_FIVE, "of 25 cells") if file is None else read_maze(Path(file))
    if cells.shortest > steps:
        raise WorldError(f"the shortest way through the maze takes {cells.shortest} steps, and world.steps cuts an "
                         f"episode after {steps}: say world.steps={4 * cells.shortest}")
    rules = {"goal": float(goal), "trap": float(trap), "cost": float(cost), "slip": float(slip), "steps": steps}
    return GameWorld(Maze(copies, cells, observation, rules), copies, seed)


@dataclass(frozen=True)
class Transitions:
    """What each action leads to in each cell. Cell number = row x width + column; there are three outcomes: ahead, to
    the right and to the left of it. Walls, the goal and traps lead to themselves for nothing."""

    cells: Array            # int64 [cells, actions, 3]: where each outcome leads to
    probabilities: Array    # float64 [cells, actions, 3]
    rewards: Array          # float64 [cells, actions, 3]
    ended: Array            # bool [cells, actions, 3]


class Maze:
    """The rules of a maze. `map` and `transitions` say all about it, `all_observations` what a network sees in each
    cell."""

    def __init__(self, copies: int, cells: MazeMap, observation: str, rules: dict[str, Any]):
        self.map, self.observation, self.steps = cells, observation, int(rules["steps"])
        self.height, self.width = cells.height, cells.width
        self.letters = np.array([list(line) for line in cells.lines])
        self.scale = max(2, math.ceil(8 / min(self.height, self.width)))    # pixels of a cell, at least 8 of an edge
        states = self.height * self.width
        shape = {"one-hot": (states,), "number": (1,),
                 "picture": (3, self.height * self.scale, self.width * self.scale)}
        self.spaces = Spaces(shape[observation], ACTIONS)
        self.transitions = _transitions(self.letters, rules)
        self.best: float | None = float(_plan(self.transitions, self.steps)[0][self._number(cells.start)])
        # Where steps cost nothing, going round in circles is as good as going to the goal, and is not meant.
        self._policy = _plan(self.transitions, self.steps, cost=1e-6)[1]
        self.settings = {"maze": list(cells.lines), "observation": observation, **rules}
        self.state = {"cell": np.full(copies, self._number(cells.start))}
        self.below = {"cell": states}
        self._empty = coloured(self.letters, _SEEN).transpose(2, 0, 1)    # the maze without an agent, a pixel a cell
        self._slippery = (self.letters == maze_map.SLIPPERY).ravel()
        # Between which numbers in 0 .. 1 a draw turns a step aside: the first outcome is ahead.
        self._turns = np.array([1 - rules["slip"], 1 - rules["slip"] / 2])

    def _number(self, cell: tuple[int, int]) -> int:
        return cell[0] * self.width + cell[1]

    def begin(self, rows: Array, draw: Draw) -> None:
        self.state["cell"][rows] = self._number(self.map.start)

    def advance(self, rows: Array, actions: Array, draw: Draw) -> tuple[Array, Array]:
        cells = self.state["cell"][rows]
        outcomes = np.zeros_like(cells)
        slides = np.flatnonzero(self._slippery[cells])
        if slides.size:
            outcomes[slides] = np.searchsorted(self._turns, draw(rows[slides], _SLIP), side="right")
        self.state["cell"][rows] = self.transitions.cells[cells, actions, outcomes]
        rewards = self.transitions.rewards[cells, actions, outcomes].astype(np.float32)
        return rewards, self.transitions.ended[cells, actions, outcomes]

    def observe(self, rows: Array) -> Array:
        return self._seen(self.state["cell"][rows])

    def all_observations(self) -> Tensor:
        """What the world shows in each of its cells, also those where nobody can be: [cells, *shape]."""
        return torch.from_numpy(self._seen(np.arange(self.height * self.width)))

    def _seen(self, cells: Array) -> Array:
        if self.observation == "number":
            return (cells / (self.height * self.width - 1)).astype(np.float32)[:, None]
        if self.observation == "one-hot":
            vectors = np.zeros((len(cells), self.height * self.width), np.float32)
            vectors[np.arange(len(cells)), cells] = 1
            return vectors
        small = np.repeat(self._empty[None], len(cells), 0)
        small[np.arange(len(cells)), :, cells // self.width, cells % self.width] = _AGENT
        return small.repeat(self.scale, 2).repeat(self.scale, 3)

    def frame(self, copy: int) -> Array:
        squares = coloured(self.letters, _SHOWN)
        discs = np.zeros_like(squares)
        discs.reshape(-1, 3)[self.state["cell"][copy]] = YELLOW
        return cell_picture(squares, discs)

    def scripted(self) -> Array:
        return self._policy[self.state["cell"]]


def _transitions(letters: Array, rules: dict[str, Any]) -> Transitions:
    height, width = letters.shape
    flat, cells = letters.ravel(), np.arange(height * width)
    over = (flat == maze_map.GOAL) | (flat == maze_map.TRAP)
    still = over | (flat == maze_map.WALL)
    ahead = np.empty((len(cells), len(ACTIONS)), np.int64)
    for action, (down, across) in enumerate(maze_map.STEPS):
        row, column = cells // width + down, cells % width + across
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        there = np.where(inside, row * width + column, cells)
        ahead[:, action] = np.where(still | (flat[there] == maze_map.WALL), cells, there)
    turned = np.arange(len(ACTIONS))[:, None] + np.array([0, 1, -1])    # ahead, right, left of an action
    leads = ahead[:, turned % len(ACTIONS)]
    slip = np.where(flat == maze_map.SLIPPERY, rules["slip"], 0.0)[:, None, None]
    probabilities = np.broadcast_to(np.concatenate([1 - slip, slip / 2, slip / 2], 2), leads.shape)
    entered = rules["goal"] * (flat == maze_map.GOAL) + rules["trap"] * (flat == maze_map.TRAP)    # of each cell
    rewards = entered[leads] - rules["cost"]
    return Transitions(leads, probabilities, np.where(still[:, None, None], 0.0, rewards),
                       np.where(still[:, None, None], True, over[leads]))


def _plan(transitions: Transitions, steps: int, cost: float = 0.0) -> tuple[Array, Array]:
    """The best expected return from each cell with so many steps left, float64 [cells], and the first action to it,
    int64 [cells], where each step costs so much more; by dynamic programming from the last step backwards, until a
    step more changes nothing."""
    values = np.zeros(len(transitions.cells))
    for _ in range(steps):
        after = np.where(transitions.ended, 0.0, values[transitions.cells])
        returns = (transitions.probabilities * (transitions.rewards - cost + after)).sum(2)
        before, values = values, returns.max(1)
        if np.abs(values - before).max() < 1e-12:
            break
    return values, returns.argmax(1)


def maze_of(world: Any) -> Maze | None:
    """The maze that a world plays, also one within wrappers; None for every other world."""
    while hasattr(world, "world"):
        world = world.world
    game = getattr(world, "game", None)
    return game if isinstance(game, Maze) else None
