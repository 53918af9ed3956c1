"""The only place that knows all tables: a recipe and its data become network, task and learner."""

import math
import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from lensmith.base.device import keep_freed_memory
from lensmith.base.errors import UserError
from lensmith.base.hashed_random import seed_of
from lensmith.base.pictures import Form
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader, balancing_weights, by_shape, narrowed
from lensmith.data.store.channel_statistics import some_pictures, statistics
from lensmith.engine.distributed.device_stages import split
from lensmith.engine.distributed.process_group import Team
from lensmith.engine.frozen_features import Features
from lensmith.engine.optimize import OPTIMIZERS, Leaf, Stepper, leaves
from lensmith.engine.plan.candidates import Choice
from lensmith.engine.plan.plan import Plan
from lensmith.engine.schedule import SCHEDULES
from lensmith.engine.supervised import Supervised
from lensmith.models.adapters.published_weights import file_of
from lensmith.models.adapters.user_code import Whole, adopt
from lensmith.models.backbones import find_backbone
from lensmith.models.backbones.whitening import whitenings
from lensmith.models.darknet.network import Darknet
from lensmith.models.freeze import depth_rates, freeze, waking
from lensmith.models.network import Network
from lensmith.models.trial_forward import REFUSALS, at_rest
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_plan import choose
from lensmith.recipe.choose_task import kinds_learned, several
from lensmith.recipe.open_data import Data
from lensmith.recipe.sections import OPTIMIZER, SECTIONS, SEVERAL, arguments_of, entry_of, learned, named_entry
from lensmith.recipe.starting_weights import Begun, begin_with, check_probe, standardise_as_published
from lensmith.tasks import TASKS
from lensmith.tasks.multitask import Multitask
from lensmith.tasks.task import Task
from lensmith.values.value import Value

_SMALL = 64     # pixels: up to this edge a plain stack of convolutions is the default, above it MobileNetV3
DETECTION = ("detection", "yolov3", "instances")    # tasks that look for objects
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


def choose_task(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], *,
                targets: dict[str, Value] | None = None, kinds: dict[str, str] | None = None) -> Task:
    """The recipe's task, or the first one that the data can feed, put into the recipe; raises UserError where they do
    not fit. `kinds` of the targets are asked for where several are learned and the recipe has none yet."""
    section = recipe.get("task")
    given = ", ".join(classes)
    if section is None:
        needed = learned(recipe, classes)
        fitting = [name for name, entry in TASKS.items() if needed and entry.needs == needed]  # type: ignore[attr-defined]
        section = recipe["task"] = named_entry("task", {"name": (fitting or [SEVERAL])[0]}, trusted=True)
    if section["name"] == SEVERAL:
        return several(section, classes, targets=targets, kinds=kinds)
    entry: Any = entry_of("task", section["name"], trusted=True)
    missing = [name for name in entry.needs if name not in classes]
    if missing:
        advice = ": the pixels of objects come of YOLO's polygons and of COCO's shapes; learn the boxes with --task " \
            "detection" if missing == ["masks"] and "boxes" in classes else ""
        raise UserError(f"data set {recipe['data']['name']!r} gives {given}; task {section['name']!r} needs "
                        f"{', '.join(missing)}{advice}")
    name = entry.needs[0]
    task: Task = recipes.call(arguments_of(section), entry, classes=classes[name],
                              targets=None if targets is None else targets[name])
    return task


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


def complete(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], form: Form, *,
             kinds: dict[str, str] | None = None) -> recipes.Recipe:
    """The recipe with what only the data can tell: the task by the targets, whose `kinds` are given where they may have
    names of their own, the backbone by the size of the pictures, the augmentation by their kind, each where none is
    named. Raises UserError for settings that cannot go together."""
    full = {name: dict(section) for name, section in recipe.items()}
    choose_task(full, classes, kinds=kinds)
    needs = kinds_learned(full, classes)
    objects = bool({"boxes", "masks"} & set(needs))
    if "backbone" not in full:
        name = "csp" if objects else "cnn3" if max(form.size) <= _SMALL else "mobilenet_v3_small"
        full["backbone"] = named_entry("backbone", {"name": name}, trusted=True)
    full["pictures"]["fit"] = form.fit
    probe = full["learner"]["probe"]
    if probe:    # a dense layer on maps that are there already: its steps cost next to nothing
        full["learner"].setdefault("epochs", 20)
    # Objects take more steps to learn than classes, at twice the rate, the weights averaged over the last fifty or so.
    for section, key, of_objects, other in (("learner", "epochs", 50, 10), ("learner", "average", 0.98, 0.0)):
        full[section].setdefault(key, of_objects if objects else other)
    full["loading"].setdefault("batch", 16 if objects or "mask" in needs else 64)
    if "optimizer" not in full:
        own = {"rate": 2e-3} if objects else {"rate": 3e-3} if probe else {}
        full["optimizer"] = named_entry("optimizer", {"name": OPTIMIZER, **own}, trusted=True)
    if "augment" not in full:
        full["augment"] = recipes.settle(_augmentation(full, form), Augment, "section [augment]",
                                         given=("seed", "classes", "length", "epochs"))
    _check(full, form, needs)
    return {name: full[name] for name in SECTIONS if name in full}


def _augmentation(recipe: recipes.Recipe, form: Form) -> recipes.Section:
    """What is done to the training pictures where the recipe does not say."""
    if recipe["learner"]["probe"]:
        return {}
    if recipe["task"]["name"] in DETECTION:
        colour = {"saturation": 0.5, "hue": 0.015} if form.channels == 3 else {}
        return {"flip": True, "mosaic": 1.0, "zoom": [0.5, 1.5], "brightness": 0.3, **colour,
                "close_mosaic": max(1, recipe["learner"]["epochs"] // 4)}
    # Colour pictures are photographs nearly always; gray ones are often digits or letters, which do not mirror.
    kinds = set(recipe["task"].get("kinds", {}).values())    # of several tasks
    placed = kinds & {"boxes", "mask", "masks"} and "numbers" not in kinds
    photographs = form.channels == 3 and (recipe["task"]["name"] == "classification" or kinds == {"label"})
    if form.channels == 3 and (recipe["task"]["name"] == "segmentation" or placed):
        return {"flip": True}
    return {"flip": True, "crop_padding": max(1, min(form.size) // 8)} if photographs else {}


def _check(recipe: recipes.Recipe, form: Form, needs: Sequence[str]) -> None:
    """Settings that are right by themselves and not together."""
    augment = recipe["augment"]
    if {"boxes", "masks"} & set(needs) and augment["cutmix"]:
        raise UserError(f"augment.cutmix={augment['cutmix']:g} hides objects whose boxes stay: use augment.mixup or "
                        "augment.mosaic where boxes are learned")
    if augment["mosaic"] and not set(needs) <= {"boxes", "masks"}:
        raise UserError(f"augment.mosaic={augment['mosaic']:g} puts four pictures together, which only objects "
                        f"can follow; task {recipe['task']['name']!r} learns {', '.join(dict.fromkeys(needs))}")
    if "mask" in needs and (augment["mixup"] or augment["cutmix"]):
        raise UserError("mixup and cutmix blend labels, tags and numbers; a mask target cannot be blended: set "
                        "augment.mixup=0 and augment.cutmix=0")
    if form.channels == 1:
        for name in ("saturation", "hue"):
            if augment[name]:
                raise UserError(f"augment.{name}={augment[name]} does nothing to gray pictures: leave it out")
    if augment["crop_padding"] >= min(form.size):
        raise UserError(f"augment.crop_padding={augment['crop_padding']} must be smaller than the pictures, "
                        f"{form.height} x {form.width}")


def make_loaders(recipe: recipes.Recipe, data: Data, task: Task, team: Team | None = None) -> dict[str, Loader]:
    """A loader for each split, of what is this process's part in a `team`; the training one shuffles and augments, the
    others neither."""
    settings, seed, team = recipe["loading"], recipe["run"]["seed"], team or Team()
    workers = settings.get("workers")
    if workers is None:
        workers = 0 if data.account["kept"] != "not" else max(1, min(4, os.cpu_count() or 1) // team.local_count)
    rectangular = settings.get("rectangular")
    if rectangular is None:
        rectangular = data.form.fit == "pad" and task.needs == ("boxes",)
    loaders = {}
    for part, source in data.splits.items():
        narrow = narrowed(source, task.needs)
        if part != "train":
            # Small pictures are measured in larger batches: nothing is learned there, so it changes no result.
            pixels = data.form.channels * data.form.height * data.form.width
            batch = max(settings["batch"], min(512, (1 << 20) // pixels))
            if team.count > 1:    # in the order in which one process measures them: its batches then
                order = by_shape(narrow) if rectangular else torch.arange(len(narrow))
                narrow = narrow.subset([int(order[at]) for at in team.rows(len(narrow), batch)])
            loaders[part] = Loader(narrow, batch, workers=workers, rectangular=rectangular)
            continue
        augment = Augment(**recipe["augment"], seed=seed, classes=source.classes, length=len(source),
                          epochs=recipe["learner"]["epochs"])
        weights = balancing_weights(source, task.needs) if settings["balance"] else None
        loaders[part] = Loader(narrow, settings["batch"], seed=seed, shuffle=True, weights=weights,
                               augment=augment if augment.changes else None, workers=workers,
                               part=(team.rank, team.count))
    return loaders


def assemble(recipe: recipes.Recipe, data: Data, *, module: nn.Module | None = None, trusted: bool = True,
             known: Plan | None = None, team: Team | None = None) -> Job:
    """A resolved recipe and its data -> a learner, ready to start; its recipe is complete. `known` is the plan of a
    run that goes on; without it the plan is chosen, by the first process of a `team`."""
    team = team or Team()
    recipe = {name: dict(section) for name, section in recipe.items()}
    recipe["plan"]["processes"] = team.count
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
    notes = _notes(network, recipe)
    begun = None
    if "weights" in settings:
        begun = begin_with(
            network, file_of(settings["weights"], recipe["backbone"]["name"]), data.form,
            name=recipe["backbone"]["name"], classes={one: data.classes[one] for one in task.needs},
            from_zero=_scoring(network, task, data.classes),
            build=lambda names: build_network(
                recipe, choose_task(recipe, dict(names)), data.form, outputs=len(names[task.needs[0]]), mean=mean,
                deviation=deviation, module=deepcopy(module), trusted=trusted))
        notes += begun.notes
    elif isinstance(network.backbone, Darknet):    # its files cannot say anything else, and it is written as these
        standardise_as_published(network, data.form)
    if settings["probe"]:
        check_probe(recipe, task.needs, begun=begun is not None or module is not None, processes=team.count)
    if "freeze" in settings or settings["probe"]:
        notes.append(freeze(network, settings.get("freeze", "backbone")))
    later = waking(network, settings["unfreeze"], planned=settings["epochs"]) if "unfreeze" in settings else None
    notes += [] if later is None else [later.in_words()]
    loaders = make_loaders(recipe, data, task, team)
    passes = 1 if settings["probe"] else settings["epochs"]
    steps = passes * math.ceil(len(loaders["train"]) / settings["accumulate"])
    keep_freed_memory()
    means = repr([recipe[name] for name in ("task", "optimizer", "schedule")]
                 + [settings.get(name) for name in ("average", "clip", "groups", "depth_decay")])
    stages = recipe["plan"].get("stages")
    device = stages[0] if stages else team.device(recipe["plan"]["device"])
    section = recipe["plan"] | {"device": device, "threads": team.threads(recipe["plan"]["threads"])}
    with data.resting():    # nothing else is computed while the candidates are timed
        # The processes wait for each other here: what they do together from now on must keep to plan.timeout.
        choice = team.first(lambda: Choice(known, "the run") if known is not None else choose(
            section, network, task, loaders["train"], steps=steps, means=means,
            stepper=lambda copy, plan: make_stepper(recipe, copy, plan)))
    if team.count > 1:
        choice = replace(choice, plan=replace(choice.plan, device=device))
    if recipe["plan"]["synchronise"]:
        team.synchronised(network, device=device)
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
                          epochs=settings["epochs"], accumulate=settings["accumulate"], seed=seed, team=team,
                          waking=later)
    return Job(recipe, data, task, choice, learning, tuple(notes), begun)


def _scoring(network: Network, task: Task, classes: dict[str, tuple[str, ...]]) -> list[tuple[nn.Module, int]]:
    """What scores classes or tags of whole pictures, with how many of them."""
    if isinstance(task, Multitask):
        return [(network.head.of(name), len(classes[name])) for name, one in task.tasks.items()    # type: ignore[operator]
                if one.needs[0] in ("label", "tags")]
    return [(network, len(classes[task.needs[0]]))] if task.needs[0] in ("label", "tags") else []


def make_stepper(recipe: recipes.Recipe, network: nn.Module, plan: Plan) -> Stepper:
    """What moves the weights of a network that is placed where it will stay: the optimizers hold its memory."""
    settings = recipe["learner"]
    rates = depth_rates(network, settings["depth_decay"])
    parameters = leaves(network, settings.get("groups") or (), rates=rates)
    schedule = recipes.call(arguments_of(recipe["schedule"]), SCHEDULES[recipe["schedule"]["name"]])
    return Stepper(network, parameters, make_optimizers(recipe, parameters), schedule=schedule, clip=settings["clip"],
                   average=settings["average"], scaled=plan.precision == "float16")


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


def make_optimizers(recipe: recipes.Recipe, parameters: Sequence[Leaf]) -> list[torch.optim.Optimizer]:
    """The recipe's optimizers on these parameters; raises UserError for a value that PyTorch refuses."""
    section = recipe["optimizer"]
    try:
        made: list[torch.optim.Optimizer] = recipes.call(arguments_of(section), OPTIMIZERS[section["name"]],
                                                         chosen=parameters)
        return made
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"optimizer {section['name']!r} does not take these settings: {error}") from error


def _notes(network: nn.Module, recipe: recipes.Recipe) -> list[str]:
    notes = [module.note for module in network.modules() if isinstance(module, Whole) and module.note]
    augment = recipe["augment"]
    moved = [name for name in ("crop_padding", "resized_crop", "flip", "rotate") if augment.get(name)]
    numbers = recipe["task"]["name"] == "regression" or "numbers" in recipe["task"].get("kinds", {}).values()
    if numbers and moved:
        notes.append(f"augment.{moved[0]} moves the pictures, and the numbers stay as they are: right for a count, "
                     "wrong for a place in the picture")
    return notes
