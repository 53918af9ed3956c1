"""What a world of play is: what it shows and takes, what a step gives, and how it says that it cannot be used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lensmith.base.errors import DataError, ModelError, Stopped, described

WAIT = -1    # the action of a copy that stands still in this step, as one whose episode ended within a repeated action


class WorldError(DataError):
    """A world, a map or a setting of one that cannot be used."""


class WorldFailed(Stopped):
    """A world that raised or answered wrongly while it was played; `world`, `episode` and `step` say where."""

    def __init__(self, world: str, problem: str, *, copy: int, episode: int, step: int):
        moment = f"step {step:,}" if step else "the reset"
        super().__init__(f"world {world!r} failed in {moment} of episode {episode:,} of copy {copy}: {problem}. Mend "
                         "its code, then give the command again")
        self.world, self.copy, self.episode, self.step = world, copy, episode, step


@dataclass(frozen=True)
class Spaces:
    """What a world shows and takes."""

    shape: tuple[int, ...]      # of one observation: [channels, height, width] of uint8, or [numbers] of float32
    actions: tuple[str, ...]    # the names of the discrete actions, by number

    @property
    def pictures(self) -> bool:
        """Whether an observation is a picture, uint8, and not a vector of float32."""
        return len(self.shape) == 3

    @property
    def dtype(self) -> torch.dtype:
        """Of observations."""
        return torch.uint8 if self.pictures else torch.float32


@dataclass(frozen=True)
class Step:
    """What came of one step of all copies. `last` may be the tensor of `observations` where no episode is over."""

    observations: Tensor    # [copies, *shape]: of a copy whose episode is over, the first of its next episode
    rewards: Tensor         # float32 [copies]
    ended: Tensor           # bool [copies]: the episode ended by the world's own rules, and no value is beyond it
    truncated: Tensor       # bool [copies]: cut by a limit of time; never true where `ended` is
    last: Tensor            # [copies, *shape]: what was seen after the step, also where the next episode has begun


class World(Protocol):
    """Copies of one world that step together. Their state is whole in `state_dict`, unless `exact` is False.

    A copy whose action is WAIT (-1) stands still: its reward is 0, nothing is over, and it shows what it showed.
    """

    copies: int
    spaces: Spaces

    @property
    def exact(self) -> bool:
        """Whether `state_dict` is whole; else each copy begins a new episode after `load_state_dict`."""
        ...

    @property
    def best(self) -> float | None:
        """The best mean return that is known to be possible."""
        ...

    def reset(self) -> Tensor:
        """The first observations of all copies, in episode 0 of each: [copies, *shape]."""
        ...

    def step(self, actions: Tensor) -> Step:
        """One step of all copies; `actions` is int64 [copies]. Raises WorldFailed where the world does."""
        ...

    def begin(self, copies: Tensor) -> Tensor:
        """Begin the next episode of these copies, bool [copies]; -> what all copies show: [copies, *shape]."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: nested dicts of tensors and JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """Go on from what `state_dict` gave; -> the observations that the copies show now. Raises ModelError for a
        state that is damaged or of another world."""
        ...

    def frame(self, copy: int) -> Tensor:
        """A picture of a copy as it is now, for people: uint8 [3, height, width], at least 160 pixels wide and of an
        even height and width, as films want them."""
        ...


def failed(world: str, error: Exception, *, copy: int, episode: int, step: int) -> WorldFailed:
    """The error of a stranger's code, which happened in a world, in one line."""
    return WorldFailed(world, described(error), copy=copy, episode=episode, step=step)


def kept_tensor(state: Mapping[str, Any], name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The tensor of a saved state, as a copy. Raises ModelError where it is missing or is another."""
    tensor = state.get(name)
    if not isinstance(tensor, Tensor):
        raise ModelError(f"the saved state of the world has no tensor {name!r}: it is damaged or of another world; "
                         "begin the run anew")
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        raise ModelError(f"the saved state of the world has {name!r} as {tensor.dtype} {list(tensor.shape)}, where "
                         f"{dtype} {list(shape)} is expected: it is of another world or number of copies; begin the "
                         "run anew")
    return tensor.detach().cpu().clone()
