"""What every world of the table keeps to, and the rules of each beside a form written apart."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lensmith.base.errors import ModelError
from lensmith.engine.checkpoint import read_state, write_state
from lensmith.rl.worlds import WORLDS, find_world
from lensmith.rl.worlds.check_world import check_world
from lensmith.rl.worlds.game import GameWorld
from lensmith.rl.worlds.world import WAIT, WorldError

SLIDES = "S~~.\n.#~X\n..~G\n"
# Every entry, with settings that show more of it; what the scripted player reaches on average at least.
CASES = {"maze": ("maze", {}, 0.6 - 1e-6), "maze-number": ("maze", {"observation": "number"}, 0.6 - 1e-6),
         "maze-picture": ("maze", {"observation": "picture"}, 0.6 - 1e-6), "slippery": ("maze", {"slip": 0.5}, 0.3),
         "catch": ("catch", {}, 1.0), "snake": ("snake", {}, 28.0), "bricks": ("bricks", {}, 25.0)}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """-> a function that makes the world of a case, and the least score of its scripted player."""
    name, settings, least = CASES[request.param]
    if request.param == "slippery":
        (tmp_path / "slides.txt").write_text(SLIDES)
        settings = settings | {"file": str(tmp_path / "slides.txt")}
    return (lambda copies=6, seed=3: WORLDS[name](copies, seed, **settings)), least, request.param


@pytest.fixture(scope="module")
def plain():
    path = Path(__file__).with_name("plain_games.py")
    specification = importlib.util.spec_from_file_location("plain_games", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def by_chance(world, steps, seed=0):
    """Actions int64 [steps, copies]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(world.spaces.actions), (steps, world.copies), generator=generator)


def played(world, actions):
    """All tensors of so many steps, stacked, of a world that shows something already."""
    steps = [world.step(moment) for moment in actions]
    return [torch.stack([getattr(step, key) for step in steps])
            for key in ("observations", "rewards", "ended", "truncated", "last")]


def same(left, right):
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def test_every_entry_of_the_table_has_a_case():
    assert {name for name, _, _ in CASES.values()} == set(WORLDS)


def test_a_world_gives_what_it_says(case):
    world = case[0]()
    check_world(world, case[2])
    assert world.exact and world.spaces.pictures == (world.spaces.dtype == torch.uint8)
    frame = world.frame(2)
    assert frame.dtype == torch.uint8 and frame.shape[0] == 3 and frame.shape[2] >= 160
    assert frame.shape[1] % 2 == frame.shape[2] % 2 == 0 and frame.float().std() > 1


def test_equal_seeds_give_equal_bits_and_reset_begins_anew(case):
    first, second = case[0](), case[0]()
    actions = by_chance(first, 120)
    beginning = first.reset()
    assert torch.equal(beginning, second.reset())
    tensors = played(first, actions)
    assert same(tensors, played(second, actions))
    assert torch.equal(first.reset(), beginning) and same(tensors, played(first, actions))


def test_copies_and_seeds_differ_where_anything_is_by_chance(case):
    make, _, name = case
    if name.startswith("maze"):
        pytest.skip("nothing in it is by chance")
    world, other = make(seed=3), make(seed=4)
    actions = by_chance(world, 40)[:, :1].expand(40, world.copies)    # all copies do the same
    world.reset(), other.reset()
    shown, elsewhere = played(world, actions)[0], played(other, actions)[0]
    assert not all(torch.equal(shown[:, 0], shown[:, copy]) for copy in range(1, world.copies))
    assert not torch.equal(shown, elsewhere)


def test_one_copy_does_what_the_first_of_many_does(case):
    make = case[0]
    one, many = make(copies=1), make(copies=9)
    actions = by_chance(many, 150)
    assert torch.equal(one.reset(), many.reset()[:1])
    assert same(played(one, actions[:, :1]), [tensor[:, :1] for tensor in played(many, actions)])


def test_a_saved_state_goes_on_with_equal_bits(case, tmp_path):
    world = case[0]()
    actions = by_chance(world, 200)
    world.reset()
    shown = played(world, actions[:77])[0][-1]
    write_state(tmp_path / "world.safetensors", world.state_dict())
    rest = played(world, actions[77:])
    again = case[0](seed=99)    # the seed is of the state
    assert torch.equal(again.load_state_dict(read_state(tmp_path / "world.safetensors")), shown)
    assert same(played(again, actions[77:]), rest)


def test_what_was_given_is_not_changed_later(case):
    world = case[0]()
    first = world.reset()
    kept, state = first.clone(), world.state_dict()
    saved = {name: tensor.clone() for name, tensor in state["game"].items()}
    step = world.step(by_chance(world, 1)[0])
    after = step.observations.clone(), step.last.clone()
    played(world, by_chance(world, 30))
    assert torch.equal(first, kept) and same(after, (step.observations, step.last))
    assert all(torch.equal(tensor, state["game"][name]) for name, tensor in saved.items())


def test_an_end_shows_the_next_episode_and_keeps_what_was_seen_last(case):
    world = case[0]()
    fresh = world.reset()
    over = 0
    for actions in by_chance(world, 300):
        step = world.step(actions)
        ends = step.ended | step.truncated
        over += int(ends.sum())
        assert torch.equal(step.observations[~ends], step.last[~ends])
        if case[2].startswith("maze"):    # its episodes all begin alike
            assert torch.equal(step.observations[ends], fresh[ends])
    assert over > 0


def test_a_waiting_copy_stands_still_and_the_others_do_not_notice(case):
    world, plainly = case[0](), case[0]()
    actions = by_chance(world, 60)
    shown = world.reset()
    plainly.reset()
    for number, moment in enumerate(actions):
        expected = plainly.step(moment)
        waiting = torch.arange(world.copies) % 2 == number % 2
        halves = [world.step(moment.masked_fill(mask, WAIT)) for mask in (waiting, ~waiting)]
        assert torch.equal(halves[0].observations[waiting], shown[waiting])
        assert not halves[0].rewards[waiting].any() and not (halves[0].ended | halves[0].truncated)[waiting].any()
        shown = halves[1].observations
        assert torch.equal(shown, expected.observations)
        assert torch.equal(halves[0].rewards + halves[1].rewards, expected.rewards)


def test_an_episode_that_is_begun_is_the_next_one(case):
    world, beside = case[0](), case[0]()
    world.reset(), beside.reset()
    beside.step(by_chance(world, 1)[0])
    chosen = torch.arange(world.copies) == 2
    shown = world.begin(chosen)
    assert (world.state_dict()["episodes"] == chosen).all()
    assert torch.equal(shown, world.load_state_dict(world.state_dict()))
    assert torch.equal(beside.begin(chosen)[2], shown[2])    # whatever happened in the one before it


def test_the_scripted_player_reaches_its_score(case):
    make, least, _ = case
    world = make(copies=12)
    world.reset()
    returns, done = torch.zeros(12), []
    for _ in range(501):
        step = world.step(world.scripted())
        returns += step.rewards
        over = step.ended | step.truncated
        done += returns[over].tolist()
        returns[over] = 0
    assert len(done) >= 12 and np.mean(done) >= least
    # The returns of a world of chance scatter around the best mean.
    assert world.best is None or np.mean(done) <= world.best + 4 * np.std(done) / math.sqrt(len(done)) + 1e-6


def test_a_step_does_not_loop_over_the_copies(case):
    """As many calls of functions for two copies as for two hundred."""
    def calls(copies):
        world, number = case[0](copies=copies), 0
        world.reset()

        def count(frame, event, argument):
            nonlocal number
            number += event in ("call", "c_call")

        moment = torch.zeros(copies, dtype=torch.int64)
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            world.step(moment)
        finally:
            sys.setprofile(before)
        return number

    assert calls(200) <= 2 * calls(2)


def test_a_state_that_is_another_or_damaged_is_refused(case):
    world = case[0]()
    world.reset()
    state = world.state_dict()
    name = next(iter(state["game"]))
    tensor = state["game"][name]
    for wrong, words in (({"game": {}}, "no tensor"), ({"settings": {"chess": 8}}, "another world"),
                         ({"seed": 1.5}, "damaged"), ({"episodes": torch.zeros(5)}, "'episodes' as torch.float32 [5]"),
                         ({"game": state["game"] | {name: tensor.to(torch.float64)}}, "torch.float64")):
        with pytest.raises(ModelError) as error:
            world.load_state_dict(state | wrong)
        assert words in str(error.value) and "begin the run anew" in str(error.value)
    if name != "wall":    # of two values
        with pytest.raises(ModelError, match="values in"):
            world.load_state_dict(state | {"game": state["game"] | {name: torch.full_like(tensor, 12345)}})
    with pytest.raises(ModelError, match="number of copies"):
        case[0](copies=2).load_state_dict(state)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["PlainCatch", "PlainSnake", "PlainBricks"])
@pytest.mark.parametrize("skill", [0.0, 0.95])
def test_the_rules_agree_with_a_plain_form(plain, name, seed, skill):
    """By chance alone, and mostly as the scripted player plays, who comes further."""
    copies, chance = 3, np.random.default_rng(seed)
    world = WORLDS[name.removeprefix("Plain").lower()](copies, seed)
    apart = [getattr(plain, name)(seed, copy) for copy in range(copies)]
    assert world.reset().tolist() == [game.see() for game in apart]
    for _ in range(200):
        drawn = torch.from_numpy(chance.integers(len(world.spaces.actions), size=copies))
        actions = torch.where(torch.from_numpy(chance.random(copies) < skill), world.scripted(), drawn)
        step = world.step(actions)
        assert list(zip(*(tensor.tolist() for tensor in (step.rewards, step.ended, step.truncated, step.last,
                                                         step.observations)), strict=True)) \
            == [game.step(action) for game, action in zip(apart, actions.tolist(), strict=True)]


def test_a_long_game_is_cut_and_not_ended(plain):
    world = WORLDS["bricks"](8, 1, steps=40)
    world.reset()
    steps = [world.step(world.scripted()) for _ in range(40)]
    assert not any(step.truncated.any() for step in steps[:-1]) and steps[-1].truncated.any()
    assert not (steps[-1].truncated & steps[-1].ended).any()


def test_a_full_field_ends_a_game_of_snake():
    world = WORLDS["snake"](1, 0, size=8)
    world.reset()
    # A snake of 63 cells whose head is beside the last free one, by rows to and fro.
    cells = [(row, column if row % 2 == 0 else 7 - column) for row in range(8) for column in range(8)]
    time = torch.zeros(1, 8, 8, dtype=torch.int16)
    for number, (row, column) in enumerate(cells[:63], 1):
        time[0, row, column] = number
    state = world.state_dict()
    row, column = cells[62]
    state["game"] |= {"time": time, "row": torch.tensor([row]), "column": torch.tensor([column]),
                      "heading": torch.tensor([3]), "length": torch.tensor([63]),
                      "food": torch.tensor([cells[63][0] * 8 + cells[63][1]])}
    world.load_state_dict(state)
    step = world.step(torch.tensor([3]))
    assert step.rewards.tolist() == [1] and step.ended.tolist() == [True]


def test_a_cleared_wall_ends_a_game_of_bricks():
    world = WORLDS["bricks"](1, 0)
    world.reset()
    state = world.state_dict()
    wall = torch.zeros(1, 10, 10, dtype=torch.bool)
    wall[0, 3, 5] = True
    state["game"] |= {"wall": wall, "row": torch.tensor([4]), "column": torch.tensor([4]), "right": torch.tensor([1]),
                      "down": torch.tensor([0])}
    world.load_state_dict(state)
    step = world.step(torch.tensor([1]))
    assert step.rewards.tolist() == [1] and step.ended.tolist() == [True]
    assert step.last[0, 0].sum() == 0 and step.observations[0, 0].sum() == 30 * 255


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("catch", {"size": 4}, "world.size is 4, accepted is 8 .. 64"),
    ("snake", {"steps": 0}, "world.steps is 0, accepted is 1 .. 1e+06"),
    ("bricks", {"rows": 5}, "world.rows is 5, accepted is 1 .. 4"),
])
def test_a_setting_that_cannot_be_is_told(name, settings, words):
    with pytest.raises(WorldError, match=words.replace("+", "\\+")):
        WORLDS[name](1, 0, **settings)


@pytest.mark.parametrize(("name", "words"), [
    ("maz", "unknown world 'maz'. Did you mean 'maze'? Known: bricks, catch, maze, snake; gym:NAME"),
    ("CartPole-v1", "unknown world 'CartPole-v1'. Did you mean 'gym:CartPole-v1'?"),
    ("my_world.py", "FILE.py:CLASS"),
])
def test_an_unknown_world_is_told_with_the_nearest(name, words):
    with pytest.raises(WorldError) as error:
        find_world(name, trusted=False)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_name_of_the_table_is_its_entry():
    world = find_world("catch", trusted=False)(2, 0, size=12)
    assert isinstance(world, GameWorld) and world.spaces.shape == (3, 12, 12)
