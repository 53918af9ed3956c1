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
from lensmith.data.batches.loader import Loader
from lensmith.data.store.channel_statistics import some_pictures, statistics
from lensmith.engine.distributed.device_stages import split as split_on_devices
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
from lensmith.models.freeze import Unfreezing, freeze, gradual_unfreezing
from lensmith.models.network import Network
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_plan import choose_plan
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.make_optimizers import make_stepper
from lensmith.recipe.open_data import Data
from lensmith.recipe.sections import arguments_of
from lensmith.recipe.starting_weights import Begun, Build, Classes, begin_with, check_probe, standardise_as_published
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
    """A resolved recipe and its data -> a learner, ready to start; its recipe is complete.

    module: a backbone that a Python user brings.
    trusted: whether code that the recipe names may run.
    known: the plan of a run that goes on; without it the first process of the group chooses one.
    process_group: the processes that train together; without it this one trains alone.
    """
    process_group = process_group or ProcessGroup()
    recipe = {name: dict(section) for name, section in recipe.items()}
    recipe["plan"]["processes"] = process_group.world_size
    recipe = complete(recipe, data.classes, data.form, kinds=data.kinds)
    settings = recipe["learner"]
    task = choose_task(recipe, data.classes, targets=data.splits["train"].targets)
    _check_patience(settings["patience"], data)
    mean, deviation = statistics(data.splits["train"])

    def build(classes: Classes, task: Task, module: nn.Module | None) -> Network:
        return build_network(recipe, task, data.form, outputs=len(classes[task.needs[0]]), mean=mean,
                             deviation=deviation, module=module, trusted=trusted)

    network = build(data.classes, task, module)
    _fit_whitenings(network, data)
    _check_shrunk(network, recipe, data.form)
    begun = _begin_with_weights(network, recipe, data, task, build=lambda classes: build(
        classes, choose_task(recipe, dict(classes)), deepcopy(module)))
    if settings["probe"]:
        check_probe(recipe, task.needs, begun=begun is not None or module is not None,
                    processes=process_group.world_size)
    notes = [module.note for module in network.modules() if isinstance(module, Whole) and module.note]
    notes += [*task.notes(recipe["augment"]), *(begun.notes if begun is not None else ())]
    unfreezing = _freeze(network, settings, notes)
    loaders = make_loaders(recipe, data, task, process_group)
    keep_freed_memory()
    with data.paused():    # nothing else is computed while the candidates are timed
        choice = _choose_plan(recipe, network, task, loaders["train"], known=known, process_group=process_group)
    _place(network, recipe, choice.plan, process_group)
    loaders["train"].device = choice.plan.device    # what it augments there is learned from there
    batches: dict[str, Any] = dict(loaders)
    if settings["probe"]:
        batches = {split: Features(network, loader, plan=choice.plan) for split, loader in loaders.items()}
        network.from_maps = True
    learner = Supervised(network, task, batches["train"], valid=batches.get("valid"),
                         stepper=make_stepper(recipe, network, choice.plan), plan=choice.plan,
                         settings=LearningSettings(settings["epochs"], settings["accumulate"], recipe["run"]["seed"],
                                                   unfreezing),
                         process_group=process_group)
    return Job(recipe, data, task, choice, learner, tuple(notes), begun)


def _check_patience(patience: int, data: Data) -> None:
    if patience and "valid" not in data.splits:
        raise UserError(f"learner.patience={patience} waits for a better score on a valid part, and there is none: set "
                        "split.valid above 0, or leave patience out")


def _begin_with_weights(network: Network, recipe: recipes.Recipe, data: Data, task: Task, *,
                        build: Build) -> Begun | None:
    """Put the weights that the recipe names, where it does, into the network. `build` makes it for other classes."""
    weights, name = recipe["learner"].get("weights"), recipe["backbone"]["name"]
    if weights is not None:
        return begin_with(network, file_of(weights, name), data.form, name=name, build=build,
                          classes={target: data.classes[target] for target in task.needs},
                          from_zero=task.scoring_layers(network))
    if isinstance(network.backbone, Darknet):
        # A Darknet file cannot store mean and standard deviation, and the network has to be writable as one.
        standardise_as_published(network, data.form)
    return None


def _freeze(network: Network, settings: recipes.Section, notes: list[str]) -> Unfreezing | None:
    """Freeze what the settings of [learner] name; -> what is unfrozen later. What is done is added to `notes`."""
    if "freeze" in settings or settings["probe"]:
        notes.append(freeze(network, settings.get("freeze", "backbone")))
    if "unfreeze" not in settings:
        return None
    unfreezing = gradual_unfreezing(network, settings["unfreeze"], planned=settings["epochs"])
    notes.append(unfreezing.in_words())
    return unfreezing


def _choose_plan(recipe: recipes.Recipe, network: Network, task: Task, loader: Loader, *, known: Plan | None,
                 process_group: ProcessGroup) -> Choice:
    """The plan of all processes: the one that is known, or what the first process chooses."""
    settings, section = recipe["learner"], recipe["plan"]
    epochs = 1 if settings["probe"] else settings["epochs"]    # of the whole network; a probe computes its maps once
    steps = epochs * math.ceil(len(loader) / settings["accumulate"])
    # What tells optimizers apart, by which a choice is remembered: any change of this text forgets them all.
    means = repr([recipe[name] for name in ("task", "optimizer", "schedule")]
                 + [settings.get(name) for name in ("average", "clip", "groups", "depth_decay")])
    stages = section.get("stages")
    device = stages[0] if stages else process_group.device(section["device"])
    own = section | {"device": device, "threads": process_group.threads(section["threads"])}
    # The processes wait for each other here: what they do together from now on must keep to plan.timeout.
    choice = process_group.broadcast(lambda: Choice(known, "the run") if known is not None else choose_plan(
        own, network, task, loader, steps=steps, means=means,
        stepper=lambda copy, plan: make_stepper(recipe, copy, plan)))
    return replace(choice, plan=replace(choice.plan, device=device)) if process_group.world_size > 1 else choice


def _place(network: Network, recipe: recipes.Recipe, plan: Plan, process_group: ProcessGroup) -> None:
    """Bring the network, and what the plan settles for the whole process, to where it will run."""
    if recipe["plan"]["synchronise"]:
        process_group.synchronise_batch_norm(network, device=plan.device)
    plan.settle()
    plan.place(network)
    stages = recipe["plan"].get("stages")
    if stages:
        split_on_devices(network, stages)


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
        with in_evaluation_mode(network):
            network(torch.zeros(1, form.channels, height, width))
    except REFUSALS as error:
        raise UserError(f"augment.shrink={recipe['augment']['shrink']} shows pictures of {height} x {width} pixels, "
                        f"which backbone {recipe['backbone']['name']!r} cannot take: leave it out, or take a network "
                        "that pools over any size, as a stack with a globalpool does") from error

