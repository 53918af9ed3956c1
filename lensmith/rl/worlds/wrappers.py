"""Worlds around a world: frames stacked, actions repeated, rewards clipped, episodes cut by a limit of steps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lensmith.base.errors import ModelError
from lensmith.rl.worlds.game import within
from lensmith.rl.worlds.world import WAIT, Spaces, Step, World, kept_tensor


def wrapped_world(
    world: World,
    *,
    frames: int = 1,                # newest observations that are shown together, one behind the other
    repeat: int = 1,                # steps of the world that one action is given for; their rewards are summed
    clip_rewards: bool = False,     # to their sign, after they were summed
    limit: int | None = None,       # steps of the world after which an episode is cut, which is no end
) -> World:
    """The world within those wrappers that change something. Raises WorldError for a number that is none of these."""
    within("frames", frames, 1, 64)
    within("repeat", repeat, 1, 64)
    if limit is not None:
        within("limit", limit, 1, 1_000_000_000)
        world = Limited(world, limit)
    if repeat > 1:
        world = Repeated(world, repeat)
    if frames > 1:
        world = Stacked(world, frames)
    return Clipped(world) if clip_rewards else world


class Limited:
    """Episodes are cut after so many steps."""

    def __init__(self, world: World, limit: int):
        self.world, self.limit = world, limit
        self.copies, self.spaces, self.exact, self.best = world.copies, world.spaces, world.exact, world.best
        self._counts = torch.zeros(world.copies, dtype=torch.int64)    # steps of each copy's episode

    def reset(self) -> Tensor:
        self._counts.zero_()
        return self.world.reset()

    def step(self, actions: Tensor) -> Step:
        step = self.world.step(actions)
        self._counts += actions >= 0
        cut = (self._counts >= self.limit) & ~step.ended & ~step.truncated
        self._counts[cut | step.ended | step.truncated] = 0
        if not cut.any():
            return step
        return replace(step, truncated=step.truncated | cut, observations=self.world.begin(cut))

    def begin(self, copies: Tensor) -> Tensor:
        self._counts[copies] = 0
        return self.world.begin(copies)

    def state_dict(self) -> dict[str, Any]:
        return {"world": self.world.state_dict(), "counts": self._counts.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        counts = kept_tensor(state, "counts", (self.copies,), torch.int64)
        observations = self.world.load_state_dict(_within(state))
        self._counts = counts if self.exact else torch.zeros_like(counts)
        return observations

    def frame(self, copy: int) -> Tensor:
        return self.world.frame(copy)


class Repeated:
    """Each action is given for several steps, or until the episode is over; its rewards are summed."""

    def __init__(self, world: World, repeat: int):
        self.world, self.repeat = world, repeat
        self.copies, self.spaces, self.exact, self.best = world.copies, world.spaces, world.exact, world.best

    def reset(self) -> Tensor:
        return self.world.reset()

    def step(self, actions: Tensor) -> Step:
        step = self.world.step(actions)
        for _ in range(self.repeat - 1):
            over = step.ended | step.truncated
            if (over | (actions < 0)).all():
                break
            after = self.world.step(actions.masked_fill(over, WAIT))
            # A copy that is over waits: it shows the beginning of its next episode, and what it saw last is kept.
            kept = over.view(-1, *[1] * len(self.spaces.shape))
            step = Step(after.observations, step.rewards + after.rewards, step.ended | after.ended,
                        step.truncated | after.truncated, torch.where(kept, step.last, after.last))
        return step

    def begin(self, copies: Tensor) -> Tensor:
        return self.world.begin(copies)

    def state_dict(self) -> dict[str, Any]:
        return {"world": self.world.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        return self.world.load_state_dict(_within(state))

    def frame(self, copy: int) -> Tensor:
        return self.world.frame(copy)


class Stacked:
    """The newest frames are shown together, the oldest first: [frames x channels, height, width] of pictures,
    [frames x numbers] of vectors. At an episode's beginning all are its first observation."""

    def __init__(self, world: World, frames: int):
        self.world, self.frames = world, frames
        self.copies, self.exact, self.best = world.copies, world.exact, world.best
        self.spaces = Spaces((frames * world.spaces.shape[0], *world.spaces.shape[1:]), world.spaces.actions)
        self._shown = torch.zeros(self.copies, *self.spaces.shape, dtype=self.spaces.dtype)

    def reset(self) -> Tensor:
        self._shown = self._repeated(self.world.reset())
        return self._shown

    def step(self, actions: Tensor) -> Step:
        step = self.world.step(actions)
        last = torch.cat([self._shown[:, self.world.spaces.shape[0]:], step.last], 1)
        last = torch.where(self._each(actions < 0), self._shown, last)
        over = step.ended | step.truncated
        self._shown = last
        if over.any():
            self._shown = torch.where(self._each(over), self._repeated(step.observations), last)
        return replace(step, observations=self._shown, last=last)

    def begin(self, copies: Tensor) -> Tensor:
        self._shown = torch.where(self._each(copies), self._repeated(self.world.begin(copies)), self._shown)
        return self._shown

    def _repeated(self, observations: Tensor) -> Tensor:
        return torch.cat([observations] * self.frames, 1)

    def _each(self, copies: Tensor) -> Tensor:
        return copies.view(-1, *[1] * len(self.spaces.shape))

    def state_dict(self) -> dict[str, Any]:
        return {"world": self.world.state_dict(), "shown": self._shown.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        shown = kept_tensor(state, "shown", (self.copies, *self.spaces.shape), self.spaces.dtype)
        observations = self.world.load_state_dict(_within(state))
        self._shown = shown if self.exact else self._repeated(observations)
        return self._shown

    def frame(self, copy: int) -> Tensor:
        return self.world.frame(copy)


class Clipped:
    """Rewards are -1, 0 or 1: their sign (Mnih 2015). What is the best return is then not known."""

    best = None

    def __init__(self, world: World):
        self.world = world
        self.copies, self.spaces, self.exact = world.copies, world.spaces, world.exact

    def reset(self) -> Tensor:
        return self.world.reset()

    def step(self, actions: Tensor) -> Step:
        step = self.world.step(actions)
        return replace(step, rewards=step.rewards.sign())

    def begin(self, copies: Tensor) -> Tensor:
        return self.world.begin(copies)

    def state_dict(self) -> dict[str, Any]:
        return {"world": self.world.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        return self.world.load_state_dict(_within(state))

    def frame(self, copy: int) -> Tensor:
        return self.world.frame(copy)


def _within(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of the world within a wrapper."""
    inner = state.get("world")
    if not isinstance(inner, Mapping):
        raise ModelError("the saved state of the world is damaged, or has other wrappers (play.frames, repeat, "
                         "clip_rewards, limit): take those of the run again, or begin it anew")
    return inner
