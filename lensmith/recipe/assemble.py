"""The only place that knows all tables: a recipe and its data become network, task and learner."""

import math
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from lensmith.base.device import keep_freed_memory
from lensmith.base.errors import UserError
from lensmith.base.hashed_random import seed_of
from lensmith.base.pictures import Form
from lensmith.data.store.channel_statistics import some_pictures, statistics
from lensmith.engine.distributed.device_stages import split
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.frozen_features import Features
from lensmith.engine.plan.candidates import Choice
from lensmith.engine.plan.plan import Plan
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.adapters.published_weights import file_of
from lensmith.models.adapters.whole_network import Whole, adopt
from lensmith.models.backbones import find_backbone
from lensmith.models.backbones.whitening import whitenings
from lensmith.models.darknet.network import Darknet
from lensmith.models.freeze import freeze, gradual_unfreezing
from lensmith.models.network import Network
from lensmith.models.trial_forward import REFUSALS, at_rest
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_plan import choose_plan
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.make_optimizers import make_stepper
from lensmith.recipe.open_data import Data
from lensmith.recipe.sections import arguments_of
from lensmith.recipe.starting_weights import Begun, begin_with, check_probe, standardise_as_published
from lensmith.tasks.task import Task

_WEIGHTS = 3    # the stream of the first weights, apart from those of the order and the augmentation


@dataclass(frozen=True)
class Job:
    """All that a training needs, ready to start."""

    recipe: recipes.Recipe
    data: Data
    task: Task
    choice: Choice
    learner: Supervised
    notes: tuple[str, ...] = ()    # what was decided for the user and is worth a line
    begun: Begun | None = None     # with which weights from elsewhere

    @property
    def plan(self) -> Plan:
        return self.choice.plan


def build_network(recipe: recipes.Recipe, task: Task, form: Form, *, outputs: int, mean: list[float],
                  deviation: list[float], module: nn.Module | None = None, trusted: bool = True) -> Network:
    """The network of a resolved recipe with fresh weights; a function of the run's seed alone. `module` is a backbone
    that a Python user brings."""
    section = recipe["backbone"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(recipe["run"]["seed"], _WEIGHTS))
        backbone = adopt(module, inputs=form.channels, size=form.size) if module is not None else \
            recipes.call(arguments_of(section), find_backbone(section["name"], trusted=trusted),
                         inputs=form.channels, size=form.size, outputs=outputs)
        return Network(backbone, task.head(backbone), mean=mean, deviation=deviation)


def assemble(recipe: recipes.Recipe, data: Data, *, module: nn.Module | None = None, trusted: bool = True,
             known: Plan | None = None, process_group: ProcessGroup | None = None) -> Job:
    """A resolved recipe and its data -> a learner, ready to start; its recipe is complete. `known` is the plan of a
    run that goes on; without it the plan is chosen, by the first process of a `process_group`."""
    process_group = process_group or ProcessGroup()
    recipe = {name: dict(section) for name, section in recipe.items()}
    recipe["plan"]["processes"] = process_group.world_size
    recipe = complete(recipe, data.classes, data.form, kinds=data.kinds)
    task = choose_task(recipe, data.classes, targets=data.splits["train"].targets)
    settings, seed = recipe["learner"], recipe["run"]["seed"]
    if settings["patience"] and "valid" not in data.splits:
        raise UserError(f"learner.patience={settings['patience']} waits for a better score on a valid part, "
                        "and there is none: set split.valid above 0, or leave patience out")
    mean, deviation = statistics(data.splits["train"])
    network = build_network(recipe, task, data.form, outputs=len(data.classes[task.needs[0]]), mean=mean,
                            deviation=deviation, module=module, trusted=trusted)
    _fit_whitenings(network, data)
    _check_shrunk(network, recipe, data.form)
    notes = [module.note for module in network.modules() if isinstance(module, Whole) and module.note]
    notes += task.notes(recipe["augment"])
    begun = None
    if "weights" in settings:
        begun = begin_with(
            network, file_of(settings["weights"], recipe["backbone"]["name"]), data.form,
            name=recipe["backbone"]["name"], classes={one: data.classes[one] for one in task.needs},
            from_zero=task.scoring_layers(network),
            build=lambda names: build_network(
                recipe, choose_task(recipe, dict(names)), data.form, outputs=len(names[task.needs[0]]), mean=mean,
                deviation=deviation, module=deepcopy(module), trusted=trusted))
        notes += begun.notes
    elif isinstance(network.backbone, Darknet):    # its files cannot say anything else, and it is written as these
        standardise_as_published(network, data.form)
    if settings["probe"]:
        check_probe(recipe, task.needs, begun=begun is not None or module is not None,
                    processes=process_group.world_size)
    if "freeze" in settings or settings["probe"]:
        notes.append(freeze(network, settings.get("freeze", "backbone")))
    unfreezing = None
    if "unfreeze" in settings:
        unfreezing = gradual_unfreezing(network, settings["unfreeze"], planned=settings["epochs"])
        notes.append(unfreezing.in_words())
    loaders = make_loaders(recipe, data, task, process_group)
    passes = 1 if settings["probe"] else settings["epochs"]
    steps = passes * math.ceil(len(loaders["train"]) / settings["accumulate"])
    keep_freed_memory()
    means = repr([recipe[name] for name in ("task", "optimizer", "schedule")]
                 + [settings.get(name) for name in ("average", "clip", "groups", "depth_decay")])
    stages = recipe["plan"].get("stages")
    device = stages[0] if stages else process_group.device(recipe["plan"]["device"])
    section = recipe["plan"] | {"device": device, "threads": process_group.threads(recipe["plan"]["threads"])}
    with data.paused():    # nothing else is computed while the candidates are timed
        # The processes wait for each other here: what they do together from now on must keep to plan.timeout.
        choice = process_group.broadcast(lambda: Choice(known, "the run") if known is not None else choose_plan(
            section, network, task, loaders["train"], steps=steps, means=means,
            stepper=lambda copy, plan: make_stepper(recipe, copy, plan)))
    if process_group.world_size > 1:
        choice = replace(choice, plan=replace(choice.plan, device=device))
    if recipe["plan"]["synchronise"]:
        process_group.synchronise_batch_norm(network, device=device)
    loaders["train"].device = choice.plan.device    # what it augments there is learned from there
    choice.plan.settle()
    choice.plan.place(network)
    if stages:
        split(network, stages)
    batches: dict[str, Any] = dict(loaders)
    if settings["probe"]:
        batches = {part: Features(network, loader, plan=choice.plan) for part, loader in loaders.items()}
        network.from_maps = True
    learning = Supervised(network, task, batches["train"], valid=batches.get("valid"),
                          stepper=make_stepper(recipe, network, choice.plan), plan=choice.plan,
                          settings=LearningSettings(settings["epochs"], settings["accumulate"], seed, unfreezing),
                          process_group=process_group)
    return Job(recipe, data, task, choice, learning, tuple(notes), begun)


def _fit_whitenings(network: Network, data: Data) -> None:
    """Set the layers that look at the training pictures instead of learning; a few million pixels tell enough."""
    layers = whitenings(network)
    if layers:
        most = max(1, min(4_000, 8_000_000 // (data.form.height * data.form.width)))
        pictures = network.standardise(some_pictures(data.splits["train"], most))
        for layer in layers:
            layer.fit(pictures)


def _check_shrunk(network: Network, recipe: recipes.Recipe, form: Form) -> None:
    """Raises UserError where augment.shrink asks for pictures that the network cannot take."""
    shares = recipe["augment"].get("shrink")
    if not shares:
        return
    share = min(shares)
    height, width = (max(1, round(edge * share)) for edge in form.size)
    try:
        with at_rest(network):
            network(torch.zeros(1, form.channels, height, width))
    except REFUSALS as error:
        raise UserError(f"augment.shrink={recipe['augment']['shrink']} shows pictures of {height} x {width} pixels, "
                        f"which backbone {recipe['backbone']['name']!r} cannot take: leave it out, or take a network "
                        "that pools over any size, as a stack with a globalpool does") from error

