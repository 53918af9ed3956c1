"""Environments of Gymnasium as worlds: beside Gymnasium's own play, which spaces they can have, and how what fails in
them is told."""

import importlib.util
import inspect
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from lensmith.engine.checkpoint import read_state, write_state
from lensmith.rl.worlds import find_world
from lensmith.rl.worlds.check_world import check_world, episode_seed
from lensmith.rl.worlds.world import WAIT, WorldError, WorldFailed

OWN = '''
import gymnasium
import numpy as np
from gymnasium import spaces


class World(gymnasium.Env):
    """Counts up to a number; action 1 counts, 0 does not."""

    observation_space = spaces.Box(0, 255, (5, 4, 2), np.uint8)
    action_space = spaces.Discrete(2, start=3)

    def __init__(self, most: int = 4, fault: str = ""):
        self.most, self.fault = most, fault

    def look(self):
        return np.full((5, 4, 2), self.count, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        self.steps = 0
        return self.look(), {}

    def step(self, action):
        assert action in (3, 4)
        self.count += int(action == 4)
        self.steps += 1
        FAULT
        return self.look(), float(action), self.count == self.most, self.steps == 9, {}
'''


@pytest.fixture
def own(tmp_path):
    """-> a function that makes the world of a file of one's own, with a line put into its step."""
    def made(fault="pass", copies=2, text=OWN, **settings):
        path = tmp_path / "my_world.py"
        path.write_text(text.replace("FAULT", fault))
        return find_world(f"{path}:World", trusted=True)(copies, 5, **settings)

    yield made
    sys.modules.pop("lensmith_outside_my_world", None)


def test_cart_pole_plays_as_gymnasium_plays_it():
    copies, seed, chance = 3, 11, np.random.default_rng(0)
    world = find_world("gym:CartPole-v1", trusted=False)(copies, seed)
    assert world.spaces.shape == (4,) and not world.spaces.pictures and len(world.spaces.actions) == 2
    apart = [gymnasium.make("CartPole-v1") for _ in range(copies)]
    episodes = [0] * copies
    first = [environment.reset(seed=episode_seed(seed, copy, 0))[0] for copy, environment in enumerate(apart)]
    assert np.array_equal(world.reset().numpy(), np.stack(first))
    for _ in range(120):
        actions = chance.integers(2, size=copies)
        step = world.step(torch.from_numpy(actions))
        for copy, environment in enumerate(apart):
            seen, reward, ended, truncated, _ = environment.step(actions[copy])
            assert np.array_equal(step.last[copy].numpy(), seen)
            assert (step.rewards[copy], step.ended[copy], step.truncated[copy]) == (reward, ended, truncated)
            if ended or truncated:
                episodes[copy] += 1
                seen = environment.reset(seed=episode_seed(seed, copy, episodes[copy]))[0]
            assert np.array_equal(step.observations[copy].numpy(), seen)
    assert min(episodes) > 1


@pytest.mark.parametrize(("name", "settings", "shape", "actions"), [
    ("gym:CartPole-v1", {}, (4,), 2), ("gym:Acrobot-v1", {}, (6,), 3), ("gym:MountainCar-v0", {}, (2,), 3),
    ("gym:FrozenLake-v1", {"map_name": "8x8"}, (64,), 4), ("gym:FrozenLake8x8-v1", {}, (64,), 4),
    ("gym:Taxi-v4", {}, (500,), 6)])
def test_registered_environments_are_worlds(name, settings, shape, actions):
    world = find_world(name, trusted=False)(3, 0, **settings)
    check_world(world, name)
    assert (world.spaces.shape, len(world.spaces.actions)) == (shape, actions)
    assert not world.exact and world.best is None
    frame = world.frame(1)    # pygame, which would draw it, is not there: the observation is
    assert frame.dtype == torch.uint8 and frame.shape[0] == 3 and frame.shape[2] >= 160
    assert frame.shape[1] % 2 == frame.shape[2] % 2 == 0


def test_the_settings_of_an_entry_are_those_of_the_constructor_with_what_is_registered():
    entry = find_world("gym:FrozenLake8x8-v1", trusted=False)
    parameters = inspect.signature(entry).parameters
    assert list(parameters)[:2] == ["copies", "seed"] and "render_mode" not in parameters
    assert parameters["map_name"].default == "8x8" and parameters["is_slippery"].default is True


def test_equal_seeds_are_equal_and_others_are_not():
    def beginning(seed):
        return find_world("gym:CartPole-v1", trusted=False)(2, seed).reset()

    assert torch.equal(beginning(1), beginning(1)) and not torch.equal(beginning(1), beginning(2))
    assert not torch.equal(*beginning(1))


def test_a_restart_begins_the_next_episode_of_each_copy(tmp_path):
    world = find_world("gym:CartPole-v1", trusted=False)(2, 0)
    world.reset()
    for _ in range(50):
        world.step(torch.tensor([1, 0]))
    write_state(tmp_path / "state.safetensors", world.state_dict())
    episodes = world.state_dict()["episodes"]
    again = find_world("gym:CartPole-v1", trusted=False)(2, 9)
    shown = again.load_state_dict(read_state(tmp_path / "state.safetensors"))
    assert torch.equal(again.state_dict()["episodes"], episodes + 1)
    assert torch.equal(shown, world.begin(torch.tensor([True, True])))
    with pytest.raises(ValueError, match="not one of world 'gym:Acrobot-v1'"):
        find_world("gym:Acrobot-v1", trusted=False)(2, 0).load_state_dict(world.state_dict())


def test_a_world_of_ones_own_shows_pictures_and_takes_numbers_from_its_own_first(own):
    world = own(most=3)
    check_env(world.environments[0], skip_render_check=True)    # Gymnasium's own
    check_world(world, "own")
    assert world.spaces.shape == (2, 5, 4) and world.spaces.dtype == torch.uint8
    shown = world.reset()
    step = world.step(torch.tensor([1, WAIT]))
    assert step.last[0].unique().tolist() == [1] and torch.equal(step.observations[1], shown[1])
    assert step.rewards.tolist() == [4, 0]
    for _ in range(2):
        step = world.step(torch.tensor([1, 0]))
    assert step.ended.tolist() == [True, False] and step.observations[0].unique().tolist() == [0]
    assert step.last[0].unique().tolist() == [3]
    assert world.frame(0).shape == (3, 200, 160)


def test_code_is_not_run_without_trust(tmp_path):
    (tmp_path / "my_world.py").write_text("raise SystemExit('it ran')")
    for name, words in ((f"{tmp_path}/my_world.py:World", "would run the code of"),
                        ("gym:ale_py:ALE/Pong-v5", "would run the code of ale_py")):
        with pytest.raises(WorldError, match=words):
            find_world(name, trusted=False)


def test_what_both_ends_and_is_cut_has_ended(own):
    world = own("return self.look(), 0.0, True, True, {}")
    world.reset()
    step = world.step(torch.tensor([0, 1]))
    assert step.ended.all() and not step.truncated.any()


@pytest.mark.parametrize(("fault", "words"), [
    ("return self.look(), 0.0, False, {}", ["gives 4 values, as gym did before version 0.26, where five are expected",
                                           "return observation, reward, terminated, truncated, info"]),
    ("return self.look()", ["gives ndarray, where five are expected"]),
    ("return self.look(), float('nan'), False, False, {}", ["nan as its reward, which is not finite"]),
    ("return self.look(), float('inf'), False, False, {}", ["inf as its reward, which is not finite"]),
    ("return self.look(), 'one', False, False, {}", ["gives 'one' as its reward, where a number is expected"]),
    ("return self.look(), 1.0, 0, False, {}", ["gives 0 as terminated, where True or False is expected"]),
    ("return self.look().astype(int), 1.0, False, False, {}",
     ["after step 1 an observation of int64, and its observation_space says uint8: return it with .astype('uint8')"]),
    ("return self.look()[1:], 1.0, False, False, {}",
     ["an observation of shape [4, 4, 2], and its observation_space says [5, 4, 2]"]),
    ("raise KeyError('key')", ["failed in step 1 with action", "KeyError: 'key'"]),
])
def test_a_wrong_step_is_told_before_training(own, fault, words):
    with pytest.raises(WorldError) as error:
        own(fault)
    assert all(word in str(error.value) for word in ["my_world.py:World", *words]), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("before", "after", "words"), [
    ("return self.look(), {}\n", "return self.look()\n", "gives ndarray alone, where (observation, info) is expected"),
    ("return self.look(), {}\n", "return self.look(), 1\n", "gives 2 values, where (observation, info) is expected"),
    ("*, seed=None, options=None", "", "failed in reset number 0: TypeError: "),
    ("super().reset(seed=seed)", "1 / 0", "failed in reset number 0: ZeroDivisionError: division by zero"),
    ("spaces.Discrete(2, start=3)", "spaces.Box(-1, 1, (2,))", "takes actions as Box(-1.0, 1.0, (2,), float32). Acc"),
    ("spaces.Box(0, 255, (5, 4, 2), np.uint8)", "spaces.Box(0, 1, (5, 4, 2))",
     "shows observations as Box(0.0, 1.0, (5, 4, 2), float32). Accepted are observations as Box of numbers with one"),
    ("spaces.Box(0, 255, (5, 4, 2), np.uint8)", "spaces.Box(0, 255, (5, 6, 7), np.uint8)", "one of at most 4 channels"),
    ("spaces.Box(0, 255, (5, 4, 2), np.uint8)", "spaces.Dict({})", "shows observations as Dict()"),
    ("spaces.Box(0, 255, (5, 4, 2), np.uint8)", "spaces.Box(0, 1, (5, 4, 2), np.uint8)",
     "outside its observation_space: 2 at [0, 0, 0], where 0 .. 1 is said; mend low and high"),
    ("    observation_space = spaces.Box(0, 255, (5, 4, 2), np.uint8)\n", "",
     "has None as observation_space, where a space of gymnasium.spaces is expected"),
    ("self.most, self.fault = most, fault", "raise OSError('no screen')", "could not be built: OSError: no screen"),
    ("class World(gymnasium.Env)", "class Wold(gymnasium.Env)", "has no 'World'. Did you mean 'Wold'?"),
    ("class World(gymnasium.Env)", "World = 5\nclass Other(gymnasium.Env)", "is int, where a class or function that "
     "gives an environment is expected"),
])
def test_a_wrong_world_is_told_before_training(own, before, after, words):
    assert before in OWN
    with pytest.raises(WorldError) as error:
        own(text=OWN.replace(before, after))
    assert words in str(error.value) and "\n" not in str(error.value), error.value


@pytest.mark.parametrize(("fault", "words"), [
    ("if self.fault and self.steps == 3: raise RuntimeError('the pole\\nbroke')", "RuntimeError: the pole."),
    ("if self.fault and self.steps == 3: return self.look()[:2], 0.0, False, False, {}",
     "an observation has shape [2, 2, 4], where [2, 5, 4] is expected."),
    ("if self.fault and self.steps == 3: return self.look(), np.nan, False, False, {}", "nan as its reward"),
])
def test_a_world_that_fails_while_it_is_played_says_where_in_one_line(own, fault, words):
    world = own(fault, most=100)
    world.environments[1].fault = "yes"    # after the check
    world.reset()
    world.step(torch.tensor([0, 0])), world.step(torch.tensor([1, 0]))
    with pytest.raises(WorldFailed) as error:
        world.step(torch.tensor([0, 0]))
    text = str(error.value)
    assert "my_world.py:World' failed in step 3 of episode 0 of copy 1" in text and "\n" not in text
    assert words in text and error.value.step == 3 and error.value.code == 6


def test_an_unknown_environment_is_told_with_the_nearest():
    with pytest.raises(WorldError) as error:
        find_world("gym:CartPole-v7", trusted=False)
    assert "Gymnasium has no environment 'CartPole-v7'. Did you mean 'CartPole-v1'?" in str(error.value)


def test_an_environment_whose_package_is_missing_is_told():
    if importlib.util.find_spec("Box2D") is not None:
        pytest.skip("Box2D is there")
    with pytest.raises(WorldError, match="Box2D"):
        find_world("gym:LunarLander-v3", trusted=False)(1, 0)


def test_without_gymnasium_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(WorldError) as error:
        find_world("gym:CartPole-v1", trusted=False)
    assert "pip install 'lensmith[play]'" in str(error.value)
