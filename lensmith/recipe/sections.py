"""The sections of a recipe: the schema of each, and the recipe with every default written out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from lensmith.base.errors import DataError, UserError, choose, in_short, nearest
from lensmith.data.batches.augment import AUGMENTATIONS
from lensmith.data.formats import FORMATS
from lensmith.data.sources.split import divide
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.schedule import SCHEDULES
from lensmith.models.adapters.embedded_weights import IMAGENET, NONE
from lensmith.models.backbones import find_backbone
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_plan import FIXED
from lensmith.recipe.settings import (
    LearnerSettings,
    LoadingSettings,
    PictureSettings,
    PlanSettings,
    PrunedSettings,
    RunSettings,
    SetSettings,
)
from lensmith.rl.algorithms import ALGORITHMS
from lensmith.rl.worlds import WORLDS, find_world
from lensmith.tasks import TASKS
from lensmith.tasks.task import Task

# The schemas of the sections without a name. The other sections name an entry of a table, which is their schema.
PLAIN: dict[str, recipes.Schema] = {
    "run": RunSettings,
    "split": divide,
    "pictures": PictureSettings,
    "augment": AUGMENTATIONS,
    "loading": LoadingSettings,
    "pruned": PrunedSettings,
    "learner": LearnerSettings,
    "plan": PlanSettings,
}
SECTIONS = ("run", "data", "split", "pictures", "augment", "loading", "backbone", "pruned", "task", "optimizer",
            "schedule", "learner", "plan")
# Arguments that the program passes itself, by section. A recipe may not set them.
PASSED = {"data": ("open_set", "known"), "split": ("splits", "alike"), "task": ("classes", "targets"),
           "backbone": ("inputs", "size", "outputs"), "optimizer": ("chosen",), "world": ("copies", "seed")}
OPTIMIZER = "adamw"
DEFAULTS: recipes.Recipe = {"optimizer": {"name": OPTIMIZER}, "schedule": {"name": "cosine", "warmup": 0.05}}


def switch(recipe: recipes.Recipe, flags: Mapping[str, Any]) -> recipes.Recipe:
    """The recipe with each {"section.key": value} put in. A value of None changes nothing.

    If a flag names another entry than the recipe does, the section loses the settings that the recipe has for its own
    entry: they were not meant for the other one. So it is with the ImageNet weights of another backbone, which a recipe
    has by itself, and with how they see pictures.
    """
    kept = dict(recipe)
    if flags.get("backbone.name") not in (None, recipe.get("backbone", {}).get("name")) and \
            weights_named(recipe) == IMAGENET:
        kept["learner"] = {key: value for key, value in recipe["learner"].items() if key != "weights"}
        kept["pictures"] = {key: value for key, value in recipe.get("pictures", {}).items() if key != "interpolation"}
    if flags.get("backbone.name") not in (None, recipe.get("backbone", {}).get("name")):
        kept.pop("pruned", None)    # its layers are those of the former network
    for path, value in flags.items():
        section, _, key = path.partition(".")
        if key == "name" and section != "run" and value is not None and recipe.get(section, {}).get("name") != value:
            kept[section] = {}
    if flags.get("plan.mode") not in (None, "auto"):
        kept["plan"] = {key: value for key, value in recipe.get("plan", {}).items() if key not in FIXED}
    return recipes.put(kept, flags)


def without_other_length(recipe: recipes.Recipe, places: Collection[str]) -> recipes.Recipe:
    """The recipe without its epochs where a command sets learner.minutes among `places`, and the other way round."""
    others = {"learner.epochs": "minutes", "learner.minutes": "epochs"}
    dropped = {other for place, other in others.items() if place in places}
    learner = {key: value for key, value in recipe.get("learner", {}).items() if key not in dropped}
    return recipe | {"learner": learner} if "learner" in recipe else recipe


def check_length(learner: recipes.Section, plan: recipes.Section) -> None:
    """Raises UserError where a recipe says twice how long to train, or asks for minutes that cannot be told."""
    if "minutes" not in learner:
        return
    minutes = f"learner.minutes={learner['minutes']:g}"
    if "epochs" in learner:
        raise UserError(f"learner.epochs={learner['epochs']} and {minutes} both say how long to train: leave one of "
                        "the two out")
    if plan.get("stages"):
        raise UserError(f"{minutes} is told from steps on a copy of the network, and a network that plan.stages splits "
                        "over devices has no room for one: give learner.epochs")


def resolve(recipe: recipes.Recipe, *, trusted: bool, brought: Sequence[str] = ()) -> recipes.Recipe:
    """The recipe with every section checked and every default written out, except those that depend on the data.

    The sections in `brought` stand for objects that a Python caller passes. They are left as they are.
    """
    for section in recipe:
        choose(dict.fromkeys(SECTIONS), section, "section")
    settled: recipes.Recipe = {}
    for section in SECTIONS:
        if section in ("augment", "optimizer", "pruned") and section not in recipe:
            continue    # chosen later, by the kind of pictures and the task, or not there
        if section in brought:
            settled[section] = dict(recipe[section])
            continue
        settings = recipe.get(section, {})
        values = {**DEFAULTS.get(section, {}), **settings}
        if section in DEFAULTS and values["name"] != DEFAULTS[section]["name"]:
            values = dict(settings)    # another entry does not take the default entry's arguments
        if section in PLAIN:
            settled[section] = recipes.settle(values, PLAIN[section], f"section [{section}]",
                                              passed=PASSED.get(section, ()))
        elif values:
            several = of_any_targets()
            if section != "task" or "name" in values:
                settled[section] = named_entry(section, values, trusted=trusted)
            elif any(several in tasks_with(key) for key in values):    # as task.parts, which no other task has
                settled[section] = named_entry(section, {"name": several, **values}, trusted=trusted)
            else:    # the data will tell the task
                check_some_task_has(values)
                settled[section] = values
    check_length(settled["learner"], settled["plan"])
    if "data" not in settled:
        raise UserError("the recipe names no data: give [data] name = \"fashion-mnist\", or a folder or table as the "
                        f"first argument. Known: {', '.join(sorted(FORMATS))}.")
    return settled


def weights_named(recipe: recipes.Recipe) -> str | None:
    """What the recipe says that the network begins with; None where it says that it begins from nothing, or nothing."""
    weights = recipe.get("learner", {}).get("weights")
    if weights is not None and not isinstance(weights, str):
        raise UserError(f"learner.weights must be text; got {in_short(weights)}")
    return None if weights == NONE else weights


def learned_targets(recipe: recipes.Recipe, classes: Mapping[str, Any]) -> tuple[str, ...]:
    """The targets that the task reads.

    The task is the recipe's, or else the first one whose targets are all in `classes`. Several tasks at once, which
    targets with names of their own ask for, read the targets in `task.parts`, or else all.
    """
    section = recipe.get("task", {})
    if "name" in section:
        entry = task_class(section)
        return tuple(section.get("parts") or classes) if entry.of_kinds else entry.needs
    # A setting that only some tasks have says that one of these is meant.
    entries = sorted((entry for entry in TASKS.values() if not entry.of_kinds),
                     key=lambda entry: not _has_all(entry, section))
    if not set(classes) <= {need for entry in entries for need in entry.needs}:
        return tuple(section.get("parts") or classes)
    return next((entry.needs for entry in entries if set(entry.needs) <= set(classes)), ())


def _has_all(entry: type[Task], settings: recipes.Section) -> bool:
    return set(settings) <= set(recipes.parameters_of(entry))


def tasks_with(setting: str) -> list[str]:
    """The tasks that have a setting of this name."""
    return [name for name, entry in TASKS.items()
            if setting in recipes.parameters_of(entry) and setting not in PASSED["task"]]


def check_some_task_has(settings: recipes.Section) -> None:
    """Raises UserError for settings that no task has."""
    known = {name for entry in TASKS.values() for name in recipes.parameters_of(entry)} - {*PASSED["task"]}
    for key in settings:
        if not tasks_with(key):
            raise UserError(f"no task has a setting {key!r}.{nearest(key, known)} They have: "
                            f"{', '.join(sorted(known))}.")


def of_any_targets() -> str:
    """The name of the task that learns any targets together, each under a name of its own."""
    return next(name for name, entry in TASKS.items() if entry.of_kinds)


def task_class(section: recipes.Section) -> type[Task]:
    """The class of the task that a section [task] names. Raises UserError if there is none of that name."""
    entry: type[Task] = entry_of("task", section["name"], trusted=True)    # type: ignore[assignment]
    return entry


def named_entry(section: str, values: recipes.Section, *, trusted: bool) -> recipes.Section:
    """A section that names an entry of a table, checked against that entry."""
    if "name" not in values:
        known = ", ".join(sorted(_table(section)))
        if section == "backbone":
            raise UserError(f"section [backbone] sets {', '.join(values)} and names no network: give it as "
                            "backbone.name=NAME; `lensmith list backbones` shows all")
        raise UserError(f"section [{section}] needs a name. Known: {known}.")
    name = values["name"]
    entry = entry_of(section, name, trusted=trusted)
    arguments = {key: value for key, value in values.items() if key != "name"}
    schema: recipes.Schema = {"format": entry, "every format": SetSettings} if section == "data" else entry
    settled = {"name": name, **recipes.settle(arguments, schema, f"{section} {name!r}",
                                              passed=PASSED.get(section, ()))}
    if section == "data" and "sets" in settled:
        settled["sets"] = {part: _settled_set(part, values) for part, values in settled["sets"].items()}
    return settled


def _settled_set(part: str, values: recipes.Section) -> recipes.Section:
    """One of the sections [data] in data.sets, checked."""
    try:
        return named_entry("data", values, trusted=False)
    except UserError as error:
        raise type(error)(f"data.sets.{part}: {error}") from error


def _table(section: str) -> dict[str, Any]:
    formats = {name: record.open for name, record in FORMATS.items()}
    tables: dict[str, dict[str, Any]] = {"data": formats, "task": TASKS, "optimizer": OPTIMIZERS,
                                         "schedule": SCHEDULES, "world": WORLDS, "algorithm": ALGORITHMS}
    return tables.get(section, {})


def entry_of(section: str, name: Any, *, trusted: bool) -> Callable[..., Any]:
    """The function or class that a section names. A backbone or a world may be outside code only if that is
    `trusted`."""
    if not isinstance(name, str):
        raise UserError(f"section [{section}]: name must be text; got {in_short(name)}")
    if section == "backbone":
        return find_backbone(name, trusted=trusted)
    if section == "world":
        return find_world(name, trusted=trusted)
    what = {"data": "data set"}.get(section, section)
    return choose(_table(section), name, what, error=DataError if section == "data" else UserError)


def arguments_of(section: recipes.Section) -> recipes.Section:
    """A section without its name: the arguments of the entry that the name stands for."""
    return {key: value for key, value in section.items() if key != "name"}
