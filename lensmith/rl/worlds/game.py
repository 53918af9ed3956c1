"""Worlds of our own: the rules of a game, and what makes a world of many copies out of them."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import ModelError, in_short
from lensmith.base.hashed_random import hashed, uniform
from lensmith.rl.worlds.world import Spaces, Step, WorldError, kept_tensor

Array = np.ndarray
Draw = Callable[[Array, int], Array]    # rows int64 [n], stream -> float32 [n] in [0, 1), new in each moment of a copy


class Game(Protocol):
    """Rules alone: all that changes is in `state`, and every function works on all given copies at once.

    `rows`, int64 [n], says which copies are meant, each at most once.
    """

    spaces: Spaces
    steps: int                      # after which an episode is cut
    state: dict[str, Array]         # [copies, ...]: what changes
    below: dict[str, int]           # the values of each state are in 0 .. below - 1
    settings: dict[str, Any]        # JSON values that a saved state must agree with

    @property
    def best(self) -> float | None:
        """The best mean return that is known to be possible."""
        ...

    def begin(self, rows: Array, draw: Draw) -> None:
        """Begin a new episode in these copies."""
        ...

    def advance(self, rows: Array, actions: Array, draw: Draw) -> tuple[Array, Array]:
        """One step of these copies with `actions` int64 [n]; -> rewards float32 [n], and which have ended, bool [n]."""
        ...

    def observe(self, rows: Array) -> Array:
        """What these copies show: [n, *shape], an array of its own."""
        ...

    def frame(self, copy: int) -> Array:
        """uint8 [3, height, width]."""
        ...

    def scripted(self) -> Array:
        """int64 [copies]: the actions of a player that knows the rules."""
        ...


class GameWorld:
    """A world of copies of a game. What is drawn in copy c, episode e, moment t is the hash of (seed, c, e, t) in a
    stream."""

    exact = True

    def __init__(self, game: Game, copies: int, seed: int):
        self.game, self.copies, self.seed = game, copies, seed
        self.spaces, self.best = game.spaces, game.best
        self._all = np.arange(copies)
        self._episodes = np.zeros(copies, np.int64)
        self._moments = np.zeros(copies, np.int64)    # 0 while an episode begins, then the number of the step

    def reset(self) -> Tensor:
        """The first observations of all copies, in episode 0 of each."""
        self._episodes[:] = self._moments[:] = 0
        self.game.begin(self._all, self._draw)
        return torch.from_numpy(self.game.observe(self._all))

    def step(self, actions: Tensor) -> Step:
        """One step of all copies whose action is not negative."""
        chosen = actions.numpy()
        assert chosen.shape == (self.copies,) and chosen.max() < len(self.spaces.actions)
        rewards = np.zeros(self.copies, np.float32)
        ended = np.zeros(self.copies, np.bool_)
        rows = self._all if chosen.min() >= 0 else np.flatnonzero(chosen >= 0)
        self._moments[rows] += 1
        rewards[rows], ended[rows] = self.game.advance(rows, chosen[rows], self._draw)
        truncated = (self._moments >= self.game.steps) & ~ended
        truncated[chosen < 0] = False
        last = observations = self.game.observe(self._all)
        over = np.flatnonzero(ended | truncated)
        if over.size:
            self._begin(over)
            observations = last.copy()
            observations[over] = self.game.observe(over)
        return Step(*map(torch.from_numpy, (observations, rewards, ended, truncated, last)))

    def begin(self, copies: Tensor) -> Tensor:
        """Begin the next episode of these copies, bool [copies]; -> what all copies show."""
        if copies.any():
            self._begin(np.flatnonzero(copies.numpy()))
        return torch.from_numpy(self.game.observe(self._all))

    def _begin(self, rows: Array) -> None:
        self._episodes[rows] += 1
        self._moments[rows] = 0
        self.game.begin(rows, self._draw)

    def scripted(self) -> Tensor:
        """int64 [copies]: what a player does that knows the rules and sees the whole state."""
        return torch.from_numpy(self.game.scripted())

    def state_dict(self) -> dict[str, Any]:
        """Seed, counters, the game's settings and its state."""
        return {"seed": self.seed, "settings": self.game.settings,
                "episodes": torch.from_numpy(self._episodes.copy()), "moments": torch.from_numpy(self._moments.copy()),
                "game": {name: torch.from_numpy(array.copy()) for name, array in self.game.state.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """Go on from a saved state, with its seed; -> the observations that the copies show now."""
        if state.get("settings") != self.game.settings:
            raise ModelError(f"the saved state is of another world: it has {in_short(state.get('settings'))}, and this "
                             f"one {in_short(self.game.settings)}; take its settings and files again, or begin the run "
                             "anew")
        seed, game = state.get("seed"), state.get("game")
        if type(seed) is not int or not isinstance(game, Mapping):
            raise ModelError("the saved state of the world is damaged: begin the run anew")
        counters = [kept_tensor(state, name, (self.copies,), torch.int64).numpy() for name in ("episodes", "moments")]
        arrays = {name: kept_tensor(game, name, array.shape, torch.from_numpy(array).dtype).numpy()
                  for name, array in self.game.state.items()}
        for name, array in arrays.items():
            if array.size and not 0 <= array.min() <= array.max() < self.game.below[name]:
                raise ModelError(f"the saved state of the world has values in {name!r} that this world does not have: "
                                 "it is damaged; begin the run anew")
        self.seed, (self._episodes, self._moments) = seed, counters
        self.game.state.update(arrays)
        return torch.from_numpy(self.game.observe(self._all))

    def frame(self, copy: int) -> Tensor:
        """A picture of a copy as it is now, for people."""
        return torch.from_numpy(self.game.frame(copy))

    def _draw(self, rows: Array, stream: int) -> Array:
        return uniform(hashed(self.seed, rows, self._episodes[rows], self._moments[rows]), stream).numpy()


def within(name: str, value: float, lowest: float, highest: float) -> None:
    """Raises WorldError where a setting of a world is not a number in `lowest` .. `highest`."""
    if not lowest <= value <= highest:
        raise WorldError(f"world.{name} is {value:g}, accepted is {lowest:g} .. {highest:g}")
