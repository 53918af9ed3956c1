"""Wrappers of worlds beside plain forms: what they show, sum, clip and cut, and that they go on to the bit."""

import pytest
import torch

from lensmith.base.errors import ModelError
from lensmith.engine.checkpoint import read_state, write_state
from lensmith.rl.worlds import WORLDS
from lensmith.rl.worlds.check_world import check_world
from lensmith.rl.worlds.world import WAIT, WorldError
from lensmith.rl.worlds.wrappers import wrapped_world

WRAPPERS = [{"frames": 3}, {"repeat": 4}, {"clip_rewards": True}, {"limit": 11},
            {"frames": 2, "repeat": 3, "clip_rewards": True, "limit": 7}]


def by_chance(world, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(world.spaces.actions), (steps, world.copies), generator=generator)


def snake(copies=5, **settings):
    return WORLDS["snake"](copies, 2, size=8, **settings)


def plain_form(copy, actions, *, frames=1, repeat=1, clip_rewards=False, limit=10 ** 9):
    """What one copy of a wrapped snake gives, in plain Python around a world of copies of which the others wait."""
    world = snake()
    shown = world.reset()[copy]
    stack, count = [shown] * frames, 0
    for action in actions:
        total, over, cut = 0.0, False, False
        for _ in range(repeat):
            only = torch.full((world.copies,), WAIT)
            only[copy] = action
            step = world.step(only)
            total, count = total + float(step.rewards[copy]), count + 1
            seen, shown = step.last[copy], step.observations[copy]
            over = bool(step.ended[copy])
            cut = not over and (bool(step.truncated[copy]) or count >= limit)
            if cut and not step.truncated[copy]:
                shown = world.begin(torch.arange(world.copies) == copy)[copy]
            if over or cut:
                count = 0
                break
        last = [*stack, seen][-frames:]
        stack = [shown] * frames if over or cut else last
        yield (total > 0) - (total < 0) if clip_rewards else total, over, cut, torch.cat(last), torch.cat(stack)


@pytest.mark.parametrize("settings", WRAPPERS, ids=str)
def test_each_wrapper_agrees_with_a_plain_form(settings):
    world = wrapped_world(snake(), **settings)
    actions = by_chance(world, 60)
    apart = [list(plain_form(copy, actions[:, copy].tolist(), **settings)) for copy in range(world.copies)]
    world.reset()
    for moment, chosen in enumerate(actions):
        step = world.step(chosen)
        for copy in range(world.copies):
            reward, over, cut, last, shown = apart[copy][moment]
            assert (step.rewards[copy], step.ended[copy], step.truncated[copy]) == (reward, over, cut)
            assert torch.equal(step.last[copy], last) and torch.equal(step.observations[copy], shown)


@pytest.mark.parametrize("settings", WRAPPERS, ids=str)
@pytest.mark.parametrize("name", WORLDS)
def test_a_wrapped_world_is_one_and_goes_on_to_the_bit(tmp_path, name, settings):
    def make():
        return wrapped_world(WORLDS[name](4, 1), **settings)

    world = make()
    check_world(world, name, steps=30)
    assert world.frame(1).shape[0] == 3 and world.exact and (world.best is None) >= bool(settings.get("clip_rewards"))
    actions = by_chance(world, 40)
    for chosen in actions[:17]:
        shown = world.step(chosen).observations
    write_state(tmp_path / "state.safetensors", world.state_dict())
    again = make()
    assert torch.equal(again.load_state_dict(read_state(tmp_path / "state.safetensors")), shown)
    for chosen in actions[17:]:
        one, other = world.step(chosen), again.step(chosen)
        assert all(torch.equal(getattr(one, key), getattr(other, key))
                   for key in ("observations", "rewards", "ended", "truncated", "last"))
    mask = torch.tensor([True, False, False, True])
    assert torch.equal(world.begin(mask), again.begin(mask))


@pytest.mark.parametrize("settings", WRAPPERS, ids=str)
def test_a_waiting_copy_stands_still_within_wrappers(settings):
    world = wrapped_world(snake(), **settings)
    shown = world.reset()
    for chosen in by_chance(world, 30):
        chosen[::2] = WAIT
        step = world.step(chosen)
        assert torch.equal(step.observations[::2], shown[::2]) and not step.rewards[::2].any()
        assert not (step.ended | step.truncated)[::2].any()
        shown = step.observations


def test_a_limit_cuts_and_does_not_end():
    world = wrapped_world(WORLDS["maze"](2, 0), limit=3)
    world.reset()
    steps = [world.step(torch.tensor([0, 0])) for _ in range(6)]
    assert [step.truncated.tolist() for step in steps] == [[False] * 2, [False] * 2, [True] * 2] * 2
    assert not any(step.ended.any() for step in steps)


def test_nothing_is_wrapped_for_nothing():
    world = WORLDS["catch"](1, 0)
    assert wrapped_world(world) is world
    assert wrapped_world(world, limit=5).best == 1.0 and wrapped_world(world, clip_rewards=True).best is None
    assert wrapped_world(WORLDS["maze"](1, 0), frames=3).spaces.shape == (75,)


@pytest.mark.parametrize(("settings", "words"), [({"frames": 0}, "world.frames is 0, accepted is 1 .. 64"),
                                                 ({"repeat": 100}, "world.repeat is 100, accepted is 1 .. 64"),
                                                 ({"limit": 0}, "world.limit is 0, accepted is 1 .. 1e+09")])
def test_a_setting_that_cannot_be_is_told(settings, words):
    with pytest.raises(WorldError) as error:
        wrapped_world(WORLDS["catch"](1, 0), **settings)
    assert words in str(error.value)


def test_a_state_of_other_wrappers_is_refused():
    plain, stacked = WORLDS["catch"](2, 0), wrapped_world(WORLDS["catch"](2, 0), frames=2)
    plain.reset(), stacked.reset()
    with pytest.raises(ModelError, match="no tensor 'shown'"):
        stacked.load_state_dict(plain.state_dict())
    with pytest.raises(ModelError, match="has other wrappers"):
        wrapped_world(WORLDS["catch"](2, 0), repeat=2).load_state_dict(plain.state_dict())
    with pytest.raises(ModelError, match="another world"):
        plain.load_state_dict(stacked.state_dict())
