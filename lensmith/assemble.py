"""The only place that knows all tables: a recipe becomes data, network, task and learner."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from lensmith import recipe as recipes
from lensmith.base.draw import seed_of
from lensmith.base.errors import UserError, count
from lensmith.base.pictures import Form
from lensmith.base.values import Value
from lensmith.data.augment import Augment
from lensmith.data.loading import Loader, balancing_weights, limited, narrowed
from lensmith.data.memory import InMemory
from lensmith.data.sample import Collection, Parts
from lensmith.data.split import divide, fingerprint, listing
from lensmith.data.statistics import statistics
from lensmith.data.store import decode_all, fits, picture_bytes
from lensmith.data.survey import Bad, Survey, drop, survey
from lensmith.data.survey import settle as settle_form
from lensmith.engine.optimize import OPTIMIZERS, Stepper, leaves
from lensmith.engine.plan import Plan, plan
from lensmith.engine.schedule import SCHEDULES
from lensmith.engine.supervised import Supervised
from lensmith.models import find_backbone
from lensmith.models.network import Network
from lensmith.models.outside import Whole, adopt
from lensmith.settings import arguments_of, entry_of, named_entry
from lensmith.tasks import TASKS
from lensmith.tasks.task import Task

_SMALL = 64     # pixels: up to this edge a plain stack of convolutions is the default, above it MobileNetV3
_WEIGHTS = 3    # the stream of the first weights, apart from those of the order and the augmentation


@dataclass(frozen=True)
class Data:
    """The pictures of a run, decoded or ready to be, and what was found on the way."""

    splits: dict[str, Any]              # "train", maybe "valid" and "test" -> InMemory or Files
    form: Form
    account: dict[str, Any] = field(default_factory=dict)    # what data.json keeps

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = self.splits["train"].classes
        return found


@dataclass(frozen=True)
class Job:
    """All that a training needs, ready to start."""

    recipe: recipes.Recipe
    data: Data
    task: Task
    plan: Plan
    learner: Supervised
    notes: tuple[str, ...] = ()    # what was decided for the user and is worth a line


def open_data(recipe: recipes.Recipe, *, progress: Callable[[str], object] = lambda text: None) -> Data:
    """Open, survey, divide and decode the data set of a resolved recipe."""
    section = recipe["data"]
    opened: Parts = recipes.call(arguments_of(section), entry_of("data", section["name"], trusted=True))
    return prepare(opened, recipe, name=section["name"], progress=progress)


def prepare(opened: Parts, recipe: recipes.Recipe, *, name: str,
            progress: Callable[[str], object] = lambda text: None) -> Data:
    """The parts of a data set -> its splits, in one form, without what cannot be read."""
    wanted, kept = recipe["pictures"], recipe["loading"]
    dropped: list[Bad] = []
    surveys, sources = [], {}
    for part, source in opened.splits.items():
        found = survey(source)
        surveys.append(found)
        dropped += found.bad
        sources[part] = drop(source, found.bad, on_bad=wanted["on_bad"])
    form = settle_form(surveys, size=wanted.get("size"), channels=wanted.get("channels"), bits=wanted.get("bits"),
                       fit=wanted["fit"])
    splits = divide(sources, **recipe["split"])
    splits["train"] = limited(splits["train"], kept["fraction"], recipe["run"]["seed"])
    total = sum(len(source) for source in splits.values())
    keep = fits(total, form, share=kept["memory"])
    notes = _notes(surveys, form)
    if not keep and not all(isinstance(source, InMemory) for source in splits.values()):
        notes.append(f"{total:,} decoded pictures take {total * picture_bytes(form) / 1e6:,.0f} MB, more than "
                     f"loading.memory={kept['memory']:g} of the free memory: they are decoded anew each epoch")
    # What the run is known by comes from the files, which are the same whether they are kept decoded or streamed.
    known, named, ready = fingerprint(splits), {}, {}
    for part, source in splits.items():
        if not isinstance(source, InMemory):
            progress(f"decoding {count(len(source), 'picture')} ({part})")
        decoded, bad = decode_all(source, form, keep=keep)
        dropped += bad
        named[part] = drop(source, bad, on_bad="skip")
        ready[part] = drop(decoded, bad, on_bad=wanted["on_bad"])
    account = {
        "name": name, "source": opened.account, "classes": {key: list(v) for key, v in ready["train"].classes.items()},
        "form": {"channels": form.channels, "height": form.height, "width": form.width, "fit": form.fit,
                 "bits": form.bits},
        "kept_in_memory": keep, "splits": {part: _counts(source) for part, source in ready.items()},
        "fingerprint": known, "dropped": [{"file": one.file, "reason": one.reason} for one in dropped],
        "notes": notes, "files": listing(named),
    }
    return Data(ready, form, account)


def _notes(surveys: Sequence[Survey], form: Form) -> list[str]:
    """What was decided about the form of the pictures, where they do not have it already."""
    headers = [header for one in surveys for header in one.headers if header is not None]
    sizes = {(header.height, header.width) for header in headers}
    if sizes == {form.size}:
        return []
    way = {"crop": "their middle cut out", "pad": "letterboxed", "squash": "stretched"}[form.fit]
    had = "1 size" if len(sizes) == 1 else f"{len(sizes):,} sizes"
    return [f"pictures of {had} are brought to {form.height} x {form.width}, {way} (pictures.size, pictures.fit)"]


def _counts(source: Collection) -> dict[str, Any]:
    label: Any = source.targets.get("label")
    if label is None:
        return {"count": len(source)}
    names = source.classes["label"]
    found = torch.bincount(label.index.clamp(min=0), minlength=len(names)).tolist()
    return {"count": len(source), "per_class": dict(zip(names, found, strict=True))}


def choose_task(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], *,
                targets: dict[str, Value] | None = None) -> Task:
    """The recipe's task, or the first one that the data can feed; raises UserError where they do not fit."""
    section = recipe.get("task")
    given = ", ".join(classes)
    if section is None:
        fitting = [name for name, entry in TASKS.items() if set(entry.needs) <= set(classes)]  # type: ignore[attr-defined]
        if not fitting:
            raise UserError(f"data set {recipe['data']['name']!r} gives {given}; no task learns from that. "
                            f"Known: {', '.join(TASKS)}.")
        section = recipe["task"] = named_entry("task", {"name": fitting[0]}, trusted=True)
    entry: Any = entry_of("task", section["name"], trusted=True)
    missing = [name for name in entry.needs if name not in classes]
    if missing:
        raise UserError(f"data set {recipe['data']['name']!r} gives {given}; task {section['name']!r} needs "
                        f"{', '.join(missing)}")
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


def complete(recipe: recipes.Recipe, data: Data) -> recipes.Recipe:
    """The recipe with what only the data can tell: the backbone by the size of the pictures, where none is named, and
    the augmentation by their kind, where none is set."""
    full = {name: dict(section) for name, section in recipe.items()}
    if "backbone" not in full:
        small = max(data.form.size) <= _SMALL
        full["backbone"] = named_entry("backbone", {"name": "cnn3" if small else "mobilenet_v3_small"}, trusted=True)
    if "augment" not in full:
        # Colour pictures are photographs nearly always; gray ones are often digits or letters, which do not mirror.
        photographs = data.form.channels == 3 and full["task"]["name"] == "classification"
        chosen = {"flip": True, "crop_padding": max(1, min(data.form.size) // 8)} if photographs else {}
        full["augment"] = recipes.settle(chosen, Augment, "section [augment]", given=("seed", "classes", "length"))
    return full


def make_loaders(recipe: recipes.Recipe, data: Data, task: Task) -> dict[str, Loader]:
    """A loader for each split; the training one shuffles and augments, the others neither."""
    settings, seed = recipe["loading"], recipe["run"]["seed"]
    workers = settings.get("workers")
    if workers is None:
        workers = 0 if data.account["kept_in_memory"] else min(4, os.cpu_count() or 1)
    loaders = {}
    for part, source in data.splits.items():
        narrow = narrowed(source, task.needs)
        if part != "train":
            # Small pictures are measured in larger batches: nothing is learned there, so it changes no result.
            pixels = data.form.channels * data.form.height * data.form.width
            loaders[part] = Loader(narrow, max(settings["batch"], min(512, (1 << 20) // pixels)), workers=workers)
            continue
        augment = Augment(**recipe["augment"], seed=seed, classes=source.classes, length=len(source))
        weights = balancing_weights(source) if settings["balance"] else None
        loaders[part] = Loader(narrow, settings["batch"], seed=seed, shuffle=True, weights=weights,
                               augment=augment if augment.changes else None, workers=workers)
    return loaders


def assemble(recipe: recipes.Recipe, data: Data, *, module: nn.Module | None = None, trusted: bool = True) -> Job:
    """A resolved recipe and its data -> a learner, ready to start; its recipe is complete."""
    recipe = {name: dict(section) for name, section in recipe.items()}
    task = choose_task(recipe, data.classes, targets=data.splits["train"].targets)
    recipe = complete(recipe, data)
    chosen = plan(**recipe["plan"])
    torch.set_num_threads(chosen.threads)
    mean, deviation = statistics(data.splits["train"])
    network = build_network(recipe, task, data.form, outputs=len(data.classes[task.needs[0]]), mean=mean,
                            deviation=deviation, module=module, trusted=trusted)
    chosen.place(network)
    # After the network is where it will stay: the optimizers hold its memory.
    parameters = leaves(network, recipe["learner"].get("groups") or ())
    optimizers = recipes.call(arguments_of(recipe["optimizer"]), OPTIMIZERS[recipe["optimizer"]["name"]],
                              chosen=parameters)
    schedule = recipes.call(arguments_of(recipe["schedule"]), SCHEDULES[recipe["schedule"]["name"]])
    loaders, settings = make_loaders(recipe, data, task), recipe["learner"]
    stepper = Stepper(network, parameters, optimizers, schedule=schedule, clip=settings["clip"],
                      average=settings["average"])
    learning = Supervised(network, task, loaders["train"], valid=loaders.get("valid"), stepper=stepper, plan=chosen,
                          epochs=settings["epochs"], accumulate=settings["accumulate"], seed=recipe["run"]["seed"])
    notes = tuple(module.note for module in network.modules() if isinstance(module, Whole) and module.note)
    return Job(recipe, data, task, chosen, learning, notes)
