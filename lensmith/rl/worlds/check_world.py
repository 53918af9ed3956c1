"""Whether a world can be learned in, told before training: what it shows, what it takes and what a step gives."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import described, in_short
from lensmith.base.hashed_random import seed_of
from lensmith.rl.worlds.world import World, WorldError

_STEPS = 200    # that an environment is played by chance before it is learned in
_SEED = 0       # of these


def check_environment(environment: Any, name: str) -> None:
    """Play an environment of the Gymnasium interface by chance, some episodes of it. Raises WorldError for the first
    thing that its observations, rewards or ends should not be. Its spaces are known to be accepted (`adapt`)."""
    for key in ("reset", "step"):
        if not callable(getattr(environment, key, None)):
            raise WorldError(f"world {name!r} has no {key}: an environment has reset(seed=None, options=None) and "
                             "step(action)")
    space, actions = environment.observation_space, environment.action_space
    over, episode = True, 0
    for number in range(_STEPS):
        if over:
            seed = episode_seed(_SEED, 0, episode)
            result = _tried(name, f"reset number {episode}", partial(environment.reset, seed=seed))
            _check_contained(read_reset(result, name), space, f"world {name!r}, reset number {episode}, shows")
            episode += 1
        action = int(actions.start) + seed_of(_SEED, number) % int(actions.n)
        result = _tried(name, f"step {number + 1} with action {action}", partial(environment.step, action))
        observation, _, ended, truncated = read_step(result, name)
        _check_contained(observation, space, f"world {name!r} shows after step {number + 1}")
        over = ended or truncated


def read_reset(result: Any, name: str) -> Any:
    """The observation that `reset` gave. Raises WorldError where it is not given with info."""
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], dict):
        gave = f"{len(result)} values" if isinstance(result, tuple) else f"{type(result).__name__} alone"
        raise WorldError(f"the reset of world {name!r} gives {gave}, where (observation, info) is expected, info being "
                         "a dict: return observation, {}")
    return result[0]


def read_step(result: Any, name: str) -> tuple[Any, float, bool, bool]:
    """Observation, reward, terminated and truncated that a step gave. Raises WorldError for anything else."""
    expected = "(observation, reward, terminated, truncated, info)"
    if not isinstance(result, tuple) or len(result) != 5:
        gave = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        old = ", as gym did before version 0.26" if isinstance(result, tuple) and len(result) == 4 else ""
        raise WorldError(f"a step of world {name!r} gives {gave}{old}, where five are expected: return "
                         f"{expected[1:-1]}")
    observation, reward, ended, truncated = result[:4]
    try:
        number = float(reward)
    except (TypeError, ValueError) as error:
        raise WorldError(f"a step of world {name!r} gives {in_short(reward)} as its reward, where a number is "
                         "expected") from error
    if not math.isfinite(number):
        raise WorldError(f"a step of world {name!r} gives {number} as its reward, which is not finite: a reward of any "
                         "size that is a number can be learned from")
    for what, value in (("terminated", ended), ("truncated", truncated)):
        if not isinstance(value, bool | np.bool_):
            raise WorldError(f"a step of world {name!r} gives {in_short(value)} as {what}, where True or False is "
                             f"expected: return {expected[1:-1]}")
    return observation, number, bool(ended), bool(truncated)


def episode_seed(seed: int, copy: int, episode: int) -> int:
    """What an environment is seeded with for an episode, 0 .. 2^31 - 1."""
    return seed_of(seed, copy, episode) >> 32


def _tried(name: str, moment: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:    # whatever a stranger's code may raise
        raise WorldError(f"world {name!r} failed in {moment}: {described(error)}") from error


def _check_contained(observation: Any, space: Any, what: str) -> None:
    """Raises WorldError where an observation does not lie in its space, with what differs."""
    if not hasattr(space, "low"):    # Discrete
        if not space.contains(observation):
            raise WorldError(f"{what} {in_short(observation)}, which is not in its observation_space {in_short(space)}")
        return
    array = np.asarray(observation)
    if array.shape != space.shape:
        raise WorldError(f"{what} an observation of shape {list(array.shape)}, and its observation_space says "
                         f"{list(space.shape)}")
    if array.dtype != space.dtype:
        raise WorldError(f"{what} an observation of {array.dtype}, and its observation_space says {space.dtype}: "
                         f"return it with .astype({str(space.dtype)!r}), or say dtype in the Box")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise WorldError(f"{what} an observation that is not finite: {in_short(array.tolist())}")
    outside = (array < space.low) | (array > space.high)
    if outside.any():
        place = tuple(int(index) for index in np.argwhere(outside)[0])
        raise WorldError(f"{what} an observation outside its observation_space: {array[place]} at {list(place)}, where "
                         f"{space.low[place]} .. {space.high[place]} is said; mend low and high of the Box")


def check_world(world: World, name: str, *, steps: int = 64) -> None:
    """Play the copies of a world by chance. Raises WorldError for the first thing that is not as `World` says."""
    spaces = world.spaces
    _check_tensor(world.reset(), (world.copies, *spaces.shape), spaces.dtype, f"the reset of world {name!r} gives")
    for moment in range(steps):
        actions = [seed_of(_SEED, moment, copy) % len(spaces.actions) for copy in range(world.copies)]
        step = world.step(torch.tensor(actions))
        for key, shape, dtype in (("observations", spaces.shape, spaces.dtype), ("last", spaces.shape, spaces.dtype),
                                  ("rewards", (), torch.float32), ("ended", (), torch.bool),
                                  ("truncated", (), torch.bool)):
            _check_tensor(getattr(step, key), (world.copies, *shape), dtype, f"a step of world {name!r} gives as {key}")
        if (step.ended & step.truncated).any():
            raise WorldError(f"a step of world {name!r} gives episodes that have ended and are truncated: an episode "
                             "that ended by the world's own rules is not truncated")


def _check_tensor(tensor: Any, shape: tuple[int, ...], dtype: torch.dtype, what: str) -> None:
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape or tensor.dtype != dtype:
        came = f"{tensor.dtype} {list(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise WorldError(f"{what} {came}, where {dtype} {list(shape)} is expected")
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise WorldError(f"{what} numbers that are not finite")
