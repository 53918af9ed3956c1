"""The sections of a recipe that learns by playing: the schema of each, and what is usual in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lensmith.base.errors import ModelError, UserError, choose
from lensmith.engine.run_folder import Run
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import named_entry
from lensmith.recipe.settings import PlanSettings, RunSettings

WORLD = "world"    # the section that tells a recipe of play from one of pictures


@dataclass(frozen=True, kw_only=True)
class PlayingSettings:
    """[play]: how the world is met."""

    copies: Annotated[int, Field(ge=1, le=4096)] | None = None    # of the world that step together; None: as is usual
                                                                  # for the algorithm
    frames: Annotated[int, Field(ge=1, le=16)] = 1      # newest observations that are seen at once
    repeat: Annotated[int, Field(ge=1, le=16)] = 1      # steps that each action is repeated for
    clip_rewards: bool = False                          # rewards are learned from by their sign alone
    limit: Annotated[int, Field(ge=1)] | None = None    # steps after which an episode is cut off; None: the world's own


@dataclass(frozen=True, kw_only=True)
class PlayLearnerSettings:
    """[learner] of a recipe that learns by playing."""

    steps: Annotated[int, Field(ge=1)] | None = None    # of the world, all copies together; None: as is usual for the
                                                        # world
    every: Annotated[int, Field(ge=1)] | None = None    # steps of the world after which it is measured; None: a
                                                        # twentieth of all
    episodes: Annotated[int, Field(ge=1)] = 20    # that are played to measure it
    patience: Annotated[int, Field(ge=0)] = 0     # measurements without a better one after which it stops; 0: never
    clip: float | None = None                     # the largest norm of the gradient; 0: any; None: as is usual for the
                                                  # algorithm
    widths: list[Annotated[int, Field(ge=1, le=4096)]] | None = None    # of the dense layers before the head; None:
                                                                        # as is usual, [128] behind a backbone


SECTIONS = ("run", "world", "play", "backbone", "algorithm", "optimizer", "schedule", "learner", "plan")
_PLAIN: dict[str, recipes.Schema] = {"run": RunSettings, "play": PlayingSettings, "learner": PlayLearnerSettings,
                                     "plan": PlanSettings}
_USUAL_NAMES = {"algorithm": "dqn", "optimizer": "adam", "schedule": "constant"}    # where a section has none


def is_play(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe learns by playing, and not from pictures."""
    return WORLD in recipe


def plays(folder: str | Path) -> bool:
    """Whether a path is the run folder of a run that plays."""
    path = Path(folder) / "recipe.toml"
    return path.is_file() and is_play(recipes.read_recipe(path))


def resolve_play(recipe: recipes.Recipe, *, trusted: bool) -> recipes.Recipe:
    """The recipe with every section checked and every default written out, except those that the world decides."""
    for section in recipe:
        choose(dict.fromkeys(SECTIONS), section, "section of a recipe that plays")
    settled: recipes.Recipe = {}
    for section in SECTIONS:
        values = dict(recipe.get(section, {}))
        if section in _PLAIN:
            settled[section] = recipes.settle(values, _PLAIN[section], f"section [{section}]")
        elif values or section in (WORLD, "algorithm"):
            named = {"name": _USUAL_NAMES[section]} if section in _USUAL_NAMES else {}
            settled[section] = named_entry(section, named | values, trusted=trusted)
    if settled["plan"]["processes"] > 1:
        raise UserError(f"plan.processes={settled['plan']['processes']} is for pictures: one process plays, with as "
                        "many copies of the world as play.copies says")
    return settled


def play_recipe_of_run(run: Run, *, trusted: bool) -> recipes.Recipe:
    """The resolved recipe of a run folder of play. Raises ModelError for one that does not fit this version."""
    recipe = recipes.read_recipe(run.folder / "recipe.toml")
    try:
        return resolve_play(recipe, trusted=trusted)
    except ModelError:
        raise
    except UserError as error:
        raise ModelError(f"{run.folder / 'recipe.toml'} does not fit this version: {error}") from error


@dataclass(frozen=True)
class UsualPlay:
    """What is usual for a world and an algorithm, found by benchmarks/play.py."""

    copies: int
    steps: int
    rate: float
    clip: float
    schedule: dict[str, Any]
    backbone: dict[str, Any]


# Steps of the world in which it is learned by all defaults.
_STEPS = {"maze": 5_000, "catch": 60_000, "snake": 300_000, "bricks": 300_000}
_MANY = 100_000
_SMALL_PICTURES = {"name": "stack", "layers": [{"conv": 32, "kernel": 3, "padding": 1}, "relu",
                                              {"conv": 32, "kernel": 3, "padding": 1, "stride": 2}, "relu"]}


def usual_play(world: str, algorithm: str, *, pictures: bool) -> UsualPlay:
    """What is usual for a world by this name and an algorithm; `pictures` says whether the world shows pictures."""
    steps = _STEPS.get(world, _MANY)
    if world == "maze" and pictures:
        steps *= 4
    if algorithm == "dqn":
        # Of dense layers: with 1e-3 the maze is not always found in the few updates that 5,000 steps bring.
        return UsualPlay(16, steps, 1e-3 if pictures else 3e-3, 10.0, {"name": "constant"}, _SMALL_PICTURES)
    return UsualPlay(16, steps, 1e-3, 0.5, {"name": "linear", "warmup": 0.0}, _SMALL_PICTURES)
