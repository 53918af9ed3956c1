"""Which spaces of Gymnasium a world can have, and how their observations become tensors' arrays."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from lensmith.base.errors import in_short
from lensmith.rl.worlds.game import Array
from lensmith.rl.worlds.world import Spaces, WorldError

ACCEPTED = ("Accepted are observations as Box of numbers with one axis, as Box of uint8 with two axes (height, width) "
            "or three (height, width, channels, or channels first), or as Discrete; and actions as Discrete")
_CHANNELS = 4    # at most, of the axis that is taken for that of channels


@dataclass(frozen=True)
class Adapted:
    """What a world of an environment shows and takes, and how its values are told to each other."""

    spaces: Spaces
    array_of: Callable[[Any], Array]    # an observation of the environment -> [*shape] of spaces.dtype
    first: int                          # the environment's own number of the first action


def gymnasium() -> ModuleType:
    """The package, imported where it is needed first. Raises WorldError where it is not installed."""
    # pygame, which draws some environments, greets on stdout.
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import gymnasium as package
    except ImportError as error:
        raise WorldError("worlds of Gymnasium need the package gymnasium: pip install 'lensmith[play]'") from error
    return package


def adapt(environment: Any, name: str) -> Adapted:
    """The spaces of an environment. Raises WorldError for those that cannot be taken, with those that can."""
    shown, taken = (_space_of(environment, name, key) for key in ("observation_space", "action_space"))
    spaces = gymnasium().spaces
    if not isinstance(taken, spaces.Discrete):
        raise WorldError(f"world {name!r} takes actions as {in_short(taken)}. {ACCEPTED}")
    meanings = getattr(getattr(environment, "unwrapped", environment), "get_action_meanings", None)    # as Atari's have
    names = [str(meaning).lower() for meaning in meanings()] if callable(meanings) else []
    if len(names) != taken.n:
        names = [str(number) for number in range(int(taken.n))]
    shape: tuple[int, ...]
    if isinstance(shown, spaces.Discrete):
        shape, array_of = (int(shown.n),), _one_hot(int(shown.n), int(shown.start))
    elif isinstance(shown, spaces.Box) and len(shown.shape) == 1 and shown.shape[0]:
        shape, array_of = tuple(shown.shape), _vector
    elif isinstance(shown, spaces.Box) and shown.dtype == np.uint8 and len(shown.shape) in (2, 3):
        shape, array_of = _picture(tuple(shown.shape), shown, name)
    else:
        raise WorldError(f"world {name!r} shows observations as {in_short(shown)}. {ACCEPTED}")
    return Adapted(Spaces(shape, tuple(names)), array_of, int(taken.start))


def _space_of(environment: Any, name: str, key: str) -> Any:
    space = getattr(environment, key, None)
    if not isinstance(space, gymnasium().spaces.Space):
        raise WorldError(f"world {name!r} has {in_short(space)} as {key}, where a space of gymnasium.spaces is "
                         f"expected: set self.{key} where it is constructed. {ACCEPTED}")
    return space


def _vector(observation: Any) -> Array:
    return np.array(observation, np.float32)


def _one_hot(number: int, start: int) -> Callable[[Any], Array]:
    def array_of(observation: Any) -> Array:
        vector = np.zeros(number, np.float32)
        vector[int(observation) - start] = 1
        return vector

    return array_of


def _picture(shape: tuple[int, ...], space: Any, name: str) -> tuple[tuple[int, ...], Callable[[Any], Array]]:
    if len(shape) == 2:
        return (1, *shape), lambda observation: np.array(observation)[None]
    if shape[2] <= _CHANNELS:
        return (shape[2], *shape[:2]), lambda observation: np.array(observation).transpose(2, 0, 1)
    if shape[0] <= _CHANNELS:
        return shape, np.array
    raise WorldError(f"world {name!r} shows observations as {in_short(space)}, and neither its first nor its last axis "
                     f"is one of at most {_CHANNELS} channels. {ACCEPTED}")
