"""Worlds of the Gymnasium interface: one environment a copy, stepped in this process one after another."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import ModelError, described, nearest
from lensmith.base.user_code import CodeOf, find_attribute
from lensmith.rl.worlds.cell_picture import BACKGROUND, BLUE, FREE, YELLOW, enlarged_frame
from lensmith.rl.worlds.check_world import check_environment, episode_seed, read_reset, read_step
from lensmith.rl.worlds.game import Array
from lensmith.rl.worlds.gymnasium_spaces import Adapted, adapt, gymnasium
from lensmith.rl.worlds.world import Step, WorldError, WorldFailed, failed, kept_tensor

PREFIX = "gym:"
_BARS, _THICK, _HALF = 64, 16, 120    # of a drawn vector: numbers at most, pixels of a bar across, and along from 0
OWN_WORLD = CodeOf("world", "The name of a world of yours is FILE.py:CLASS", WorldError)


def find_gymnasium(name: str, *, trusted: bool) -> Callable[..., "GymnasiumWorld"]:
    """The entry of the environment that Gymnasium registers under a name, with the settings of its constructor. A name
    with a module before it, as `ale_py:ALE/Pong-v5`, imports that module and so runs only where it is trusted.

    Raises WorldError where Gymnasium is missing or has no such environment, with the nearest.
    """
    package = gymnasium()
    if ":" in name and not trusted:
        raise WorldError(f"world {PREFIX + name!r} would run the code of {name.partition(':')[0]}: if you trust it, "
                         "say trust=True")
    if ":" not in name and name not in package.registry:
        raise WorldError(f"Gymnasium has no environment {name!r}.{nearest(name, package.registry)} "
                         "`python -c 'import gymnasium; gymnasium.pprint_registry()'` lists all")
    try:
        factory = package.envs.registration.load_env_creator(package.spec(name).entry_point)
    except Exception as error:    # of a module that is named, or that an environment needs and is not there
        raise WorldError(f"world {PREFIX + name!r} cannot be had: {described(error)}") from error

    def make(**settings: Any) -> Any:
        # What the checker of Gymnasium warns of is told by check_environment, and once.
        return package.make(name, disable_env_checker=True, **settings)

    return _entry(make, factory, PREFIX + name, package.spec(name).kwargs)


def find_own(name: str, *, trusted: bool) -> Callable[..., "GymnasiumWorld"]:
    """The entry of the class or function that `my_world.py:World` or `package.module:World` names, which gives an
    environment. Raises WorldError where it is not trusted, cannot be imported, or is none."""
    factory = find_attribute(name, trusted=trusted, code=OWN_WORLD)[1]
    if not callable(factory):
        raise WorldError(f"{name} is {type(factory).__name__}, where a class or function that gives an environment is "
                         "expected")
    return _entry(factory, factory, name, {})


def _entry(make: Callable[..., Any], factory: Any, name: str,
           usual: Mapping[str, Any]) -> Callable[..., "GymnasiumWorld"]:
    """An entry like those of WORLDS. Its keyword parameters are those of the environment's constructor that a recipe
    can say, with the defaults `usual` in the place of the constructor's own."""
    try:
        signature = inspect.signature(factory).parameters
    except ValueError:    # some builtins have none
        signature = inspect.Signature().parameters
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=usual.get(key, parameter.default))
                  for key, parameter in signature.items() if key != "render_mode"
                  and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)]
    parameters = [parameter for parameter in parameters if parameter.default is inspect.Parameter.empty
                  or isinstance(parameter.default, str | int | float | None)]
    drawn = "rgb_array" in (getattr(factory, "metadata", None) or {}).get("render_modes", ())
    passed = {"render_mode": "rgb_array"} if drawn and "render_mode" in signature else {}

    def entry(copies: int, seed: int, **settings: Any) -> GymnasiumWorld:
        try:
            environments = [make(**settings, **passed) for _ in range(copies)]
        except Exception as error:    # whatever a stranger's constructor may raise
            raise WorldError(f"world {name!r} could not be built: {described(error)}") from error
        adapted = adapt(environments[0], name)
        check_environment(environments[0], name)
        return GymnasiumWorld(environments, adapted, seed, name)

    given = [inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD) for key in ("copies", "seed")]
    entry.__signature__ = inspect.Signature([*given, *parameters])    # type: ignore[attr-defined]
    return entry


class GymnasiumWorld:
    """One environment a copy. Each episode is seeded by the hash of (seed, copy, episode).

    An environment does not give its state: after `load_state_dict` each copy begins the episode after the one that it
    was in. Raises WorldFailed where an environment raises or answers wrongly.
    """

    exact, best = False, None

    def __init__(self, environments: list[Any], adapted: Adapted, seed: int, name: str):
        self.environments, self.adapted, self.seed, self.name = environments, adapted, seed, name
        self.copies, self.spaces = len(environments), adapted.spaces
        self._episodes = np.zeros(self.copies, np.int64)
        self._moments = np.zeros(self.copies, np.int64)
        self._shown = np.zeros((self.copies, *self.spaces.shape), np.uint8 if self.spaces.pictures else np.float32)

    def reset(self) -> Tensor:
        """The first observations of all copies, in episode 0 of each."""
        self._episodes[:] = 0
        for copy in range(self.copies):
            self._shown[copy] = self._begin(copy)
        return torch.from_numpy(self._shown.copy())

    def step(self, actions: Tensor) -> Step:
        """One step of the copies whose action is not negative, one after another."""
        last, rewards = self._shown.copy(), np.zeros(self.copies, np.float32)
        ended, truncated = np.zeros(self.copies, np.bool_), np.zeros(self.copies, np.bool_)
        for copy, action in enumerate(actions.tolist()):
            if action >= 0:
                last[copy], rewards[copy], ended[copy], truncated[copy] = self._step(copy, action)
        self._shown = last.copy()
        for copy in np.flatnonzero(ended | truncated).tolist():
            self._episodes[copy] += 1
            self._shown[copy] = self._begin(copy)
        return Step(*map(torch.from_numpy, (self._shown.copy(), rewards, ended, truncated & ~ended, last)))

    def begin(self, copies: Tensor) -> Tensor:
        """Begin the next episode of these copies, bool [copies]; -> what all copies show."""
        for copy in copies.nonzero().flatten().tolist():
            self._episodes[copy] += 1
            self._shown[copy] = self._begin(copy)
        return torch.from_numpy(self._shown.copy())

    def _begin(self, copy: int) -> Array:
        self._moments[copy] = 0
        seed = episode_seed(self.seed, copy, int(self._episodes[copy]))
        try:
            return self._array(read_reset(self.environments[copy].reset(seed=seed), self.name))
        except Exception as error:    # whatever a stranger's code may raise
            raise self._failed(copy, error) from error

    def _step(self, copy: int, action: int) -> tuple[Array, float, bool, bool]:
        self._moments[copy] += 1
        try:
            result = self.environments[copy].step(action + self.adapted.first)
            observation, reward, ended, truncated = read_step(result, self.name)
            return self._array(observation), reward, ended, truncated
        except Exception as error:    # whatever a stranger's code may raise
            raise self._failed(copy, error) from error

    def _array(self, observation: Any) -> Array:
        array = self.adapted.array_of(observation)
        if array.shape != self.spaces.shape:
            raise WorldError(f"an observation has shape {list(array.shape)}, where {list(self.spaces.shape)} is "
                             "expected")
        if not self.spaces.pictures and not np.isfinite(array).all():
            raise WorldError("an observation is not finite")
        return array

    def _failed(self, copy: int, error: Exception) -> WorldFailed:
        place = {"copy": copy, "episode": int(self._episodes[copy]), "step": int(self._moments[copy])}
        return WorldFailed(self.name, str(error), **place) if isinstance(error, WorldError) else \
            failed(self.name, error, **place)

    def state_dict(self) -> dict[str, Any]:
        """The seed, and which episode each copy is in."""
        return {"seed": self.seed, "name": self.name, "episodes": torch.from_numpy(self._episodes.copy())}

    def load_state_dict(self, state: Mapping[str, Any]) -> Tensor:
        """Begin in each copy the episode after the one that was saved; -> their first observations."""
        seed = state.get("seed")
        if state.get("name") != self.name or type(seed) is not int:
            raise ModelError(f"the saved state is not one of world {self.name!r}: name the world of the run again, or "
                             "begin the run anew")
        self._episodes = kept_tensor(state, "episodes", (self.copies,), torch.int64).numpy()
        self.seed = seed
        return self.begin(torch.ones(self.copies, dtype=torch.bool))

    def frame(self, copy: int) -> Tensor:
        """What the environment draws; of one that cannot draw itself, its observation as a picture or as bars."""
        environment = self.environments[copy]
        if getattr(environment, "render_mode", None) == "rgb_array":
            try:
                picture = np.asarray(environment.render())
            except Exception:    # it wants a package that draws, as pygame; who plays sees the observation instead
                picture = np.empty(0)
            if picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
                return torch.from_numpy(enlarged_frame(picture.transpose(2, 0, 1)))
        shown = self._shown[copy]
        if not self.spaces.pictures:
            return torch.from_numpy(_bars(shown))
        return torch.from_numpy(enlarged_frame(shown if len(shown) == 3 else shown[:1].repeat(3, 0)))


def _bars(numbers: Array) -> Array:
    """uint8 [3, height, 240]: the first numbers of a vector, each a bar from the middle, as long as x / (1 + |x|)."""
    shown = numbers[:_BARS]
    lengths = np.round(shown / (1 + np.abs(shown)) * _HALF).astype(int)
    picture = np.full((len(shown), _THICK, 2 * _HALF, 3), FREE, np.uint8)
    for bar, length in zip(picture, lengths.tolist(), strict=True):
        bar[:, _HALF + min(length, 0):_HALF + max(length, 0)] = YELLOW if length > 0 else BLUE
        bar[0] = BACKGROUND
    return np.ascontiguousarray(picture.reshape(-1, 2 * _HALF, 3).transpose(2, 0, 1))
