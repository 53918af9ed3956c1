"""Builds network, task and learner from a recipe and its data. No other module uses all tables."""

import math
import sys
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from lensmith.base.device import keep_freed_memory
from lensmith.base.errors import ModelError, UserError
from lensmith.base.pictures import Form
from lensmith.data.batches.loader import Loader
from lensmith.data.store.channel_statistics import lacking_variation, some_pictures, statistics
from lensmith.engine.distributed.device_stages import split as split_on_devices
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.plan.candidates import Choice
from lensmith.engine.plan.plan import Plan
from lensmith.engine.running_statistics import moving_norms, usual_norm_floor
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.adapters.published_weights import is_download
from lensmith.models.adapters.whole_network import Whole
from lensmith.models.backbones.whitening import whitenings
from lensmith.models.darknet.decode import YoloLayer
from lensmith.models.darknet.network import Darknet
from lensmith.models.freeze import Unfreezing, freeze, gradual_unfreezing
from lensmith.models.network import Network
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode
from lensmith.recipe import schema as recipes
from lensmith.recipe.build_network import build_network
from lensmith.recipe.check_own_network import check_own_network
from lensmith.recipe.choose_plan import check, choose_plan, first_full_batch
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete_for
from lensmith.recipe.fit_epochs import Budget, settle_epochs
from lensmith.recipe.fit_head import fit_head
from lensmith.recipe.make_learner import copy_of, make_batches, make_learner
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.make_optimizers import make_stepper
from lensmith.recipe.open_data import Data, SurveyedSplits
from lensmith.recipe.sections import weights_named
from lensmith.recipe.starting_weights import (
    Build,
    Classes,
    StartingWeights,
    begin_with,
    check_probe,
    standardise_as_published,
)
from lensmith.recipe.teacher import FoundTeacher, find_teacher
from lensmith.tasks.task import Task


@dataclass(frozen=True)
class Assembled:
    """Everything that a training needs, ready to start."""

    recipe: recipes.Recipe
    data: Data
    task: Task
    choice: Choice
    learner: Supervised
    notes: tuple[str, ...] = ()    # what was decided for the user, a line each
    starting_weights: StartingWeights | None = None    # None if the network begins with fresh weights
    teacher: FoundTeacher | None = None                # None if the truth alone is learned from

    @property
    def plan(self) -> Plan:
        return self.choice.plan


def assemble(recipe: recipes.Recipe, data: Data, *, module: nn.Module | None = None, trusted: bool = True,
             resumed_plan: Plan | None = None, begun: bool = False, process_group: ProcessGroup | None = None,
             budget: Budget | None = None) -> Assembled:
    """The job of a resolved recipe and its data, with the recipe completed.

    module: a backbone that a Python caller passes.
    trusted: whether code that the recipe names may run.
    resumed_plan: the plan of a run that is resumed. Without it the first process of the group chooses one.
    begun: whether the state of a checkpoint is going to be loaded, so that no head has to be fitted.
    process_group: the processes that train together. Without it this process trains alone.
    budget: of a recipe with learner.minutes the time that the run has.
    """
    process_group = process_group or ProcessGroup()
    asked = {name: dict(section) for name, section in recipe.items()}
    asked["plan"]["processes"] = process_group.world_size
    recipe = complete_for(asked, data)
    settings = recipe["learner"]
    task = choose_task(recipe, data.classes, targets=data.splits["train"].targets)
    _check_patience(settings["patience"], data)
    network, starting_weights = _begin_network(recipe, data, task, module=module, trusted=trusted)
    _check_learnable(network, task)
    if settings["probe"]:
        check_probe(recipe, task.needs, pretrained=starting_weights is not None or module is not None,
                    processes=process_group.world_size)
    teacher = find_teacher(settings, network, task, data.classes, data.form, trusted=trusted)
    notes = [*_passed_over(network), *task.notes(recipe["augment"]),
             *(note for each in (starting_weights, teacher) if each is not None for note in each.notes)]
    notes += filter(None, [lacking_variation(data.splits["train"], data.form)] if resumed_plan is None else [])
    unfreezing = _freeze(network, settings, notes)
    loaders = make_loaders(recipe, data, task, process_group)
    _settle_norm_floor(settings, network, len(loaders["train"]), resumed=resumed_plan is not None)
    keep_freed_memory()
    with data.paused():    # nothing else is computed while the candidates are timed
        choice = _choose_plan(recipe, network, task, loaders["train"], resumed_plan=resumed_plan,
                              process_group=process_group, budget=budget if "minutes" in settings else None)
    _place(network, recipe, choice.plan, process_group)
    head_loss = None if begun or not settings["head_first"] else \
        _fit_head(network, recipe, loaders["train"], task, choice.plan, process_group, notes)
    learning = replace(_learning_settings(recipe, unfreezing), head_loss=head_loss,
                       teacher=teacher.placed(choice.plan) if teacher is not None else None)
    batches = make_batches(loaders, network, choice.plan, probe=settings["probe"])
    if "minutes" in settings:
        recipe, note = settle_epochs(asked, recipe, data, budget, make_learner(
            copy_of(network, choice.plan), recipe, task, batches, choice.plan, learning, process_group))
        notes.append(note)
        learning = replace(learning, epochs=recipe["learner"]["epochs"])
        if not settings["probe"]:    # a probe's maps are computed, and do not depend on the epochs
            batches = make_batches(make_loaders(recipe, data, task, process_group), network, choice.plan, probe=False)
    learner = make_learner(network, recipe, task, batches, choice.plan, learning, process_group)
    return Assembled(recipe, data, task, choice, learner, tuple(notes), starting_weights, teacher)


def check_assembled(recipe: recipes.Recipe, data: SurveyedSplits, *, trusted: bool) -> None:
    """Raise what `assemble` would raise of the network, its weights, what is frozen, the teacher and the plan of a
    completed recipe, as far as no picture has to be decoded for it."""
    plan, settings, weights = recipe["plan"], recipe["learner"], weights_named(recipe)
    check(plan | {"mode": str(Path(plan["mode"]).expanduser())})
    task = choose_task(recipe, data.classes)
    channels = data.form.channels

    def build(classes: Classes) -> Network:
        fitting = choose_task(recipe, dict(classes))
        return build_network(recipe, fitting, data.form, outputs=len(classes[fitting.needs[0]]), mean=[0.0] * channels,
                             deviation=[1.0] * channels, trusted=trusted)

    network = build(data.classes)
    check_own_network(network, task, recipe["backbone"], data.form)
    _check_shrunk(network, recipe, data.form)
    # Those that are published may not be here yet: a training fetches them.
    starting = None if is_download(weights) else _begin_with_weights(network, recipe, data.classes, data.form, task,
                                                                     build=build)
    _check_learnable(network, task)
    if settings["probe"]:
        check_probe(recipe, task.needs, pretrained=weights is not None or starting is not None,
                    processes=plan["processes"])
    find_teacher(settings, network, task, data.classes, data.form, trusted=trusted)
    _freeze(network, settings, [])


def _begin_network(recipe: recipes.Recipe, data: Data, task: Task, *, module: nn.Module | None,
                   trusted: bool) -> tuple[Network, StartingWeights | None]:
    """The network as it is before anything is learned, and the weights from elsewhere that it begins with, if any."""
    mean, deviation = statistics(data.splits["train"])

    def build(classes: Classes, task: Task, module: nn.Module | None) -> Network:
        return build_network(recipe, task, data.form, outputs=len(classes[task.needs[0]]), mean=mean,
                             deviation=deviation, module=module, trusted=trusted)

    network = build(data.classes, task, module)
    check_own_network(network, task, recipe["backbone"], data.form)
    _fit_whitenings(network, data)
    _check_shrunk(network, recipe, data.form)
    return network, _begin_with_weights(network, recipe, data.classes, data.form, task, build=lambda classes: build(
        classes, choose_task(recipe, dict(classes)), deepcopy(module)))


def _check_learnable(network: Network, task: Task) -> None:
    """Raises ModelError for a network that can be used alone, UserError for metrics that the task's targets do not
    have."""
    task.metrics()
    trunk = network.backbone
    if isinstance(trunk, Darknet) and any(isinstance(output, YoloLayer) and output.uncertain
                                          for output in trunk.outputs):
        raise ModelError(f"{trunk.config.file}: networks with [Gaussian_yolo] layers can be used and measured, not "
                         "trained: the loss of their uncertainties is not known here. Give it [yolo] layers, with "
                         "classes + 5 in the place of classes + 9 filters an anchor before them, or take its first "
                         "layers as a backbone, with backbone.layers")


def _check_patience(patience: int, data: Data) -> None:
    if patience and "valid" not in data.splits:
        raise UserError(f"learner.patience={patience} waits for a better score on a valid split, and there is none: "
                        "set split.valid above 0, or leave patience out")


def _begin_with_weights(network: Network, recipe: recipes.Recipe, classes: Classes, form: Form, task: Task, *,
                        build: Build) -> StartingWeights | None:
    """Load the weights that the recipe names, if any, into the network. `build` makes it for other classes."""
    weights, name = weights_named(recipe), recipe["backbone"]["name"]
    if weights is not None:
        return begin_with(network, weights, form, name=name, build=build,
                          classes={target: classes[target] for target in task.needs},
                          from_zero=task.scoring_layers(network))
    if isinstance(network.backbone, Darknet):
        # A Darknet file cannot store mean and standard deviation, and the network has to be writable as one.
        standardise_as_published(network, form)
    return None


def _passed_over(network: Network) -> list[str]:
    """A line on what a network that comes whole does otherwise, and on what the cfg of a Darknet network says that
    Darknet passes over too."""
    whole = [module.note for module in network.modules() if isinstance(module, Whole) and module.note]
    configs = [module.config for module in network.modules() if isinstance(module, Darknet)]
    return whole + [f"{config.file}: passed over, as Darknet does, {', '.join(config.passed_over[:5])}"
                    f"{' ...' if len(config.passed_over) > 5 else ''}" for config in configs if config.passed_over]


def _freeze(network: Network, settings: recipes.Section, notes: list[str]) -> Unfreezing | None:
    """Freeze what the settings of [learner] name, and return what is unfrozen later. `notes` gets a line on each."""
    if "freeze" in settings or settings["probe"]:
        notes.append(freeze(network, settings.get("freeze", "backbone")))
    if "unfreeze" not in settings:
        return None
    planned = sys.maxsize if "minutes" in settings else settings["epochs"]    # of minutes they are not known yet
    unfreezing = gradual_unfreezing(network, settings["unfreeze"], planned=planned)
    notes.append(unfreezing.in_words())
    return unfreezing


def _learning_settings(recipe: recipes.Recipe, unfreezing: Unfreezing | None) -> LearningSettings:
    settings = recipe["learner"]
    return LearningSettings(settings["epochs"], settings["accumulate"], recipe["run"]["seed"], unfreezing,
                            settings.get("norm_floor", 0.0))


def _settle_norm_floor(settings: recipes.Section, network: Network, batches: int, *, resumed: bool) -> None:
    """Write out how fast batch norm follows, of a network that has some, in a run of so many `batches` an epoch. A run
    that is `resumed` and does not say began without it, and goes on so."""
    if not resumed and moving_norms(network):
        settings.setdefault("norm_floor", usual_norm_floor(batches))


def _choose_plan(recipe: recipes.Recipe, network: Network, task: Task, loader: Loader, *, resumed_plan: Plan | None,
                 process_group: ProcessGroup, budget: Budget | None) -> Choice:
    """The plan of all processes: that of the resumed run, or the one that the first process chooses, with a `budget`
    for a run that takes what is left of it."""
    settings, section = recipe["learner"], recipe["plan"]
    epochs = 1 if settings["probe"] else settings["epochs"]    # of the whole network: a probe computes its maps once
    steps = epochs * math.ceil(len(loader) / settings["accumulate"])
    # This text is part of the key of the plan cache: if its form changes, all remembered plans are lost.
    means = repr([recipe[name] for name in ("task", "optimizer", "schedule")]
                 + [settings.get(name) for name in ("average", "clip", "groups", "depth_decay")])
    stages = section.get("stages")
    device = stages[0] if stages else process_group.device(section["device"])
    process_section = section | {"device": device, "threads": process_group.threads(section["threads"])}
    # The processes wait for each other here. From now on whatever they do together must keep to plan.timeout.
    choice = process_group.broadcast(lambda: Choice(resumed_plan, "the run") if resumed_plan is not None else
                                     choose_plan(process_section, network, task, lambda: first_full_batch(loader),
                                                 steps=steps, means=means,
                                                 stepper=lambda copy, plan: make_stepper(recipe, copy, plan),
                                                 seconds=None if budget is None else budget.left))
    return replace(choice, plan=replace(choice.plan, device=device)) if process_group.world_size > 1 else choice


def _place(network: Network, recipe: recipes.Recipe, plan: Plan, process_group: ProcessGroup) -> None:
    """Apply the plan's settings to this process and move the network to its device or devices."""
    if recipe["plan"]["synchronise"]:
        process_group.synchronise_batch_norm(network, device=plan.device)
    plan.settle()
    plan.place(network)
    stages = recipe["plan"].get("stages")
    if stages:
        split_on_devices(network, stages)


def _fit_head(network: Network, recipe: recipes.Recipe, loader: Loader, task: Task, plan: Plan,
              process_group: ProcessGroup, notes: list[str]) -> float:
    """Fit the head on rank 0, by the pictures of all processes, and give it to all; -> its training loss. `notes` gets
    a line."""
    fitted = process_group.broadcast(lambda: fit_head(network, recipe, loader.for_process(0, 1), task, plan))
    network.head.load_state_dict(fitted.state)
    notes.append(fitted.note)
    return fitted.loss


def _fit_whitenings(network: Network, data: Data) -> None:
    """Fit the whitening layers, which are computed from training pictures and not learned. A sample is enough."""
    layers = whitenings(network)
    if layers:
        limit = max(1, min(4_000, 8_000_000 // (data.form.height * data.form.width)))
        pictures = network.standardise(some_pictures(data.splits["train"], limit))
        for layer in layers:
            layer.fit(pictures)


def _check_shrunk(network: Network, recipe: recipes.Recipe, form: Form) -> None:
    """Raises UserError where augment.shrink asks for pictures that the network cannot take."""
    fractions = recipe["augment"].get("shrink")
    if not fractions:
        return
    height, width = (max(1, round(edge * min(fractions))) for edge in form.size)
    try:
        with in_evaluation_mode(network):
            network(torch.zeros(1, form.channels, height, width))
    except REFUSALS as error:
        raise UserError(f"augment.shrink={recipe['augment']['shrink']} shows pictures of {height} x {width} pixels, "
                        f"which backbone {recipe['backbone']['name']!r} cannot take: leave it out, or take a network "
                        "that pools over any size, as a stack with a globalpool does") from error

