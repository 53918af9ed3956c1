"""Recipes of play: what is written out, what is refused and in which words."""

import tomllib
from pathlib import Path

import pytest

from lensmith.base.errors import UserError
from lensmith.recipe import schema as recipes
from lensmith.recipe.assemble_play import assemble_play
from lensmith.recipe.from_source import anchored
from lensmith.recipe.play_sections import SECTIONS, is_play, resolve_play

MAZE = {"world": {"name": "maze"}}
REFUSED = [
    ({"world": {"name": "mase"}}, r"unknown world 'mase'\. Did you mean 'maze'\?"),
    (MAZE | {"task": {"name": "detection"}}, r"section of a recipe that plays 'task'"),
    (MAZE | {"algorithm": {"name": "dqm"}}, r"unknown algorithm 'dqm'\. Did you mean 'dqn'\?"),
    (MAZE | {"algorithm": {"name": "dqn", "bacth": 3}},
     r"algorithm 'dqn' has no setting 'bacth'\. Did you mean 'batch'\?"),
    (MAZE | {"algorithm": {"batch": "many"}}, r"batch must be a valid integer|batch .*; got 'many'"),
    (MAZE | {"learner": {"epochs": 3}}, r"section \[learner\] has no setting 'epochs'"),
    (MAZE | {"learner": {"steps": 0}}, r"learner.*steps must be greater than or equal to 1; got 0"),
    (MAZE | {"play": {"copies": 0}}, r"play.*copies must be greater than or equal to 1; got 0"),
    (MAZE | {"plan": {"processes": 2}}, r"plan\.processes=2 is for pictures: one process plays"),
    (MAZE | {"world": {}}, r"section \[world\] needs a name"),
    (MAZE | {"learner": {"widths": []}}, "dense layers have widths such as 64, 64; got none"),
    (MAZE | {"backbone": {"name": "lenet"}}, r"backbone\.name=lenet is for pictures, and the world shows 25 numbers"),
    ({"world": {"name": "catch"}, "learner": {"widths": [3, 4]}}, r"learner\.widths=\[3, 4\] .* give one number"),
    ({"world": {"name": "catch"}, "backbone": {"name": "vgg11"}}, r"pictures of 10 x 10 pixels"),
]


@pytest.mark.parametrize(("recipe", "message"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_a_mistake_is_told_in_one_line(recipe: recipes.Recipe, message: str):
    with pytest.raises(UserError, match=message) as refused:
        assemble_play(resolve_play(recipe, trusted=False), trusted=False)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("world", ["maze", "catch", "snake", "bricks"])
@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "a2c", "reinforce"])
def test_a_recipe_is_written_out_and_read_back(world: str, algorithm: str):
    recipe = resolve_play({"world": {"name": world}, "algorithm": {"name": algorithm}}, trusted=False)
    full = assemble_play(recipe, trusted=False).recipe
    assert is_play(full) and list(full) == [name for name in SECTIONS if name in full]
    again = tomllib.loads(recipes.as_toml(full))
    assert again == full and assemble_play(resolve_play(again, trusted=False), trusted=False).recipe == full
    assert {"copies"} <= full["play"].keys() and {"steps", "every", "clip", "widths"} <= full["learner"].keys()
    assert ("backbone" in full) == (world != "maze")


def test_a_rate_alone_leaves_the_usual_optimizer():
    recipe = resolve_play(MAZE | {"optimizer": {"rate": 0.5}}, trusted=False)
    assert assemble_play(recipe, trusted=False).recipe["optimizer"]["rate"] == 0.5
    assert recipe["optimizer"]["name"] == "adam" and recipe["algorithm"]["name"] == "dqn"


def test_paths_become_absolute(tmp_path: Path, monkeypatch):
    (tmp_path / "small.txt").write_text("S..\n..G\n")
    monkeypatch.chdir(tmp_path)
    recipe = anchored(resolve_play({"world": {"name": "maze", "file": "small.txt"}}, trusted=False))
    assert recipe["world"]["file"] == str(tmp_path / "small.txt")
    (tmp_path / "mine.py").write_text("def net(inputs, size):\n    pass\n")
    own = anchored(resolve_play({"world": {"name": "catch"}, "backbone": {"name": "mine.py:net"}}, trusted=True))
    assert own["backbone"]["name"] == f"{tmp_path / 'mine.py'}:net"


def test_the_same_seed_gives_the_same_weights_and_another_one_others():
    def weights(seed: int):
        recipe = resolve_play(MAZE | {"run": {"seed": seed}}, trusted=False)
        return next(assemble_play(recipe, trusted=False).learner.network.parameters())

    assert weights(1).equal(weights(1)) and not weights(1).equal(weights(2))
