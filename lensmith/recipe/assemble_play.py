"""Builds what a recipe of play names: worlds, network, algorithm, and the learner of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.errors import UserError, count
from lensmith.base.hashed_random import seed_of
from lensmith.data.sources.sample import Batch
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.optimize import leaves
from lensmith.engine.plan.candidates import Choice
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.schedule import SCHEDULES
from lensmith.engine.stepper import Stepper
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_plan import choose_plan
from lensmith.recipe.make_optimizers import make_optimizers
from lensmith.recipe.play_sections import SECTIONS, usual_play
from lensmith.recipe.sections import arguments_of, entry_of, named_entry
from lensmith.rl.algorithms.algorithm import AlgorithmSettings
from lensmith.rl.exploration import MEASURE, WEIGHTS
from lensmith.rl.heads import dense_network, picture_network
from lensmith.rl.playing import Playing, PlaySettings
from lensmith.rl.worlds.world import Spaces, World
from lensmith.rl.worlds.wrappers import wrapped_world

REPLAY_FILE = "replay.bin"    # in the run folder, where algorithm.mapped keeps the replay in a file
_ONE_LAYER, _MEASURING_COPIES = 128, 16


@dataclass(frozen=True)
class AssembledPlay:
    """Everything that learning by playing needs, ready to start."""

    recipe: recipes.Recipe
    choice: Choice
    learner: Playing
    spaces: Spaces
    notes: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan:
        return self.choice.plan


def make_world(recipe: recipes.Recipe, *, copies: int, seed: int, trusted: bool, learns: bool = False) -> World:
    """Copies of the world of a resolved recipe. Rewards are clipped for what `learns` alone: what is measured are those
    of the world itself."""
    section, play = recipe["world"], recipe["play"]
    world = recipes.call(arguments_of(section), entry_of("world", section["name"], trusted=trusted), copies=copies,
                         seed=seed)
    return wrapped_world(world, frames=play["frames"], repeat=play["repeat"], limit=play.get("limit"),
                         clip_rewards=learns and play["clip_rewards"])


def measuring_world(recipe: recipes.Recipe, episodes: int, *, stream: int, trusted: bool) -> World:
    """A fresh world to measure `episodes` in, the same one each time for one `stream` of random numbers."""
    return make_world(recipe, copies=min(episodes, _MEASURING_COPIES), trusted=trusted,
                      seed=seed_of(recipe["run"]["seed"], MEASURE, stream))


def complete_play(recipe: recipes.Recipe, spaces: Spaces) -> recipes.Recipe:
    """The resolved recipe with every default that the world decides written out."""
    full = {name: dict(section) for name, section in recipe.items()}
    usual = usual_play(full["world"]["name"], full["algorithm"]["name"], pictures=spaces.pictures)
    play, learner = full["play"], full["learner"]
    play.setdefault("copies", usual.copies)
    learner.setdefault("steps", usual.steps)
    learner.setdefault("every", max(1, -(-learner["steps"] // 20)))
    learner.setdefault("clip", usual.clip)
    learner.setdefault("widths", [_ONE_LAYER] if spaces.pictures else [64, 64])
    if spaces.pictures and "backbone" not in full:
        full["backbone"] = named_entry("backbone", dict(usual.backbone), trusted=True)
    if spaces.pictures and len(learner["widths"]) != 1:
        raise UserError(f"learner.widths={learner['widths']} is of dense layers, and behind a backbone there is one "
                        "before the head: give one number")
    for section, values in (("optimizer", {"name": "adam", "rate": usual.rate}), ("schedule", usual.schedule)):
        if section not in full:
            full[section] = named_entry(section, dict(values), trusted=True)
    return {name: full[name] for name in SECTIONS if name in full}


def player_network(recipe: recipes.Recipe, spaces: Spaces, algorithm: AlgorithmSettings, *, trusted: bool) -> nn.Module:
    """The network of a complete recipe with fresh weights, which depend on the run's seed alone."""
    widths = recipe["learner"]["widths"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(recipe["run"]["seed"], WEIGHTS))
        if not spaces.pictures:
            if "backbone" in recipe:
                raise UserError(f"backbone.name={recipe['backbone']['name']} is for pictures, and the world shows "
                                f"{count(spaces.shape[0], 'number')} in a vector: leave it out; learner.widths says "
                                "how wide the dense layers are")
            return dense_network(spaces, widths, algorithm.head)
        section = recipe["backbone"]
        channels, height, width = spaces.shape
        backbone = recipes.call(arguments_of(section), entry_of("backbone", section["name"], trusted=trusted),
                                inputs=channels, size=(height, width), outputs=len(spaces.actions))
        return picture_network(spaces, backbone, widths[0], algorithm.head)


def assemble_play(recipe: recipes.Recipe, *, trusted: bool, folder: Path | None = None,
                  resumed_plan: Plan | None = None, process_group: ProcessGroup | None = None) -> AssembledPlay:
    """The learner of a resolved recipe, with the recipe completed.

    trusted: whether code that the recipe names may run.
    folder: the run folder, in which a replay may be kept; None where nothing is going to be learned.
    resumed_plan: the plan of a run that is resumed; without it one is chosen.
    """
    algorithm: AlgorithmSettings = recipes.call(arguments_of(recipe["algorithm"]),
                                                entry_of("algorithm", recipe["algorithm"]["name"], trusted=trusted))
    spaces = make_world(recipe, copies=1, seed=0, trusted=trusted).spaces
    recipe = complete_play(recipe, spaces)
    network = player_network(recipe, spaces, algorithm, trusted=trusted)
    choice = Choice(resumed_plan, "the run") if resumed_plan is not None else \
        _choose_plan(recipe, network, spaces, batch=recipe["algorithm"].get("batch") or 128)
    choice.plan.settle()
    choice.plan.place(network)
    learner, run = recipe["learner"], recipe["run"]
    world = make_world(recipe, copies=recipe["play"]["copies"], seed=run["seed"], trusted=trusted, learns=True)
    playing = Playing(
        network, algorithm, world,
        measuring=lambda: measuring_world(recipe, learner["episodes"], stream=0, trusted=trusted),
        stepper=_stepper(recipe, network, choice.plan), plan=choice.plan, process_group=process_group,
        settings=PlaySettings(learner["steps"], learner["every"], learner["episodes"], run["seed"],
                              None if folder is None else folder / REPLAY_FILE))
    notes = [] if world.exact else [f"{recipe['world']['name']} cannot give its state: a run that is resumed begins "
                                    "new episodes, and does not come to the same bits"]
    return AssembledPlay(recipe, choice, playing, spaces, tuple(notes))


def _stepper(recipe: recipes.Recipe, network: nn.Module, plan: Plan) -> Stepper:
    parameters = leaves(network)
    schedule = recipes.call(arguments_of(recipe["schedule"]), SCHEDULES[recipe["schedule"]["name"]])
    return Stepper(network, parameters, make_optimizers(recipe, parameters), schedule=schedule,
                   clip=recipe["learner"]["clip"], scaled=plan.precision == "float16")


class _MeanSquare:
    """In the place of a task where ways to run are timed: any loss of the outputs does."""

    def loss(self, output: Tensor, targets: Any) -> dict[str, Tensor]:
        return {"square": output.float().square().mean()}


def _choose_plan(recipe: recipes.Recipe, network: nn.Module, spaces: Spaces, *, batch: int) -> Choice:
    """How to run: timed on a batch of pictures. Dense layers on vectors are so little work that one thread is the
    fastest everywhere."""
    section = recipe["plan"]
    if not spaces.pictures and section["mode"] == "auto":
        return Choice(make_plan(device="cpu" if section["device"] == "auto" else section["device"], layout="contiguous",
                                threads=section["threads"] or 1))
    pictures = torch.randint(0, 256, (batch, *spaces.shape), dtype=torch.uint8)
    task: Any = _MeanSquare()
    return choose_plan(section, network, task, lambda: Batch(pictures, {}),
                       steps=recipe["learner"]["steps"] // recipe["play"]["copies"],
                       stepper=lambda copy, plan: _stepper(recipe, copy, plan),
                       means=repr([recipe[name] for name in ("algorithm", "optimizer", "schedule")]))
