"""The sections of a recipe: what checks each of them, and the recipe with every default written out."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

from lensmith.base.errors import DataError, UserError, choose
from lensmith.data.batches.augment import AUGMENTATIONS
from lensmith.data.formats import FORMATS
from lensmith.data.sources.split import divide
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.schedule import SCHEDULES
from lensmith.models.backbones import find_backbone
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_plan import FIXED
from lensmith.recipe.settings import LearnerSettings, LoadingSettings, PictureSettings, PlanSettings, RunSettings
from lensmith.tasks import TASKS
from lensmith.tasks.task import Task

# Sections without a name: what checks them. The others name an entry of a table.
PLAIN: dict[str, recipes.Schema] = {
    "run": RunSettings,
    "split": divide,
    "pictures": PictureSettings,
    "augment": AUGMENTATIONS,
    "loading": LoadingSettings,
    "learner": LearnerSettings,
    "plan": PlanSettings,
}
SECTIONS = ("run", "data", "split", "pictures", "augment", "loading", "backbone", "task", "optimizer", "schedule",
            "learner", "plan")
# Arguments that the program passes itself; a recipe may not set them.
_GIVEN = {"data": ("open_set",), "split": ("splits",), "task": ("classes", "targets"),
          "backbone": ("inputs", "size", "outputs"), "optimizer": ("chosen",)}
OPTIMIZER = "adamw"
DEFAULTS: recipes.Recipe = {"optimizer": {"name": OPTIMIZER}, "schedule": {"name": "cosine", "warmup": 0.05}}


def switch(recipe: recipes.Recipe, flags: Mapping[str, Any]) -> recipes.Recipe:
    """The recipe with {"section.key": value} put in, None left out. Where a flag names another entry than the recipe
    does, the settings of the recipe's own entry are left behind: they were not meant for this one."""
    kept = dict(recipe)
    for path, value in flags.items():
        section, _, key = path.partition(".")
        if key == "name" and section != "run" and value is not None and recipe.get(section, {}).get("name") != value:
            kept[section] = {}
    if flags.get("plan.mode") not in (None, "auto"):
        kept["plan"] = {key: value for key, value in recipe.get("plan", {}).items() if key not in FIXED}
    return recipes.put(kept, flags)


def resolve(given: recipes.Recipe, *, trusted: bool, brought: Sequence[str] = ()) -> recipes.Recipe:
    """The recipe with every section checked and every default written out, but for what only the data can tell.

    Sections in `brought` stand for objects that a Python caller passes; they are left as they are.
    """
    for section in given:
        choose(dict.fromkeys(SECTIONS), section, "section")
    settled: recipes.Recipe = {}
    for section in SECTIONS:
        if section in ("augment", "optimizer") and section not in given:
            continue    # chosen by what the pictures and the task are
        if section in brought:
            settled[section] = dict(given[section])
            continue
        values = {**DEFAULTS.get(section, {}), **given.get(section, {})}
        own = given.get(section, {})
        if section in DEFAULTS and own.get("name", DEFAULTS[section]["name"]) != DEFAULTS[section]["name"]:
            values = dict(own)    # another entry does not take the default entry's arguments
        if section in PLAIN:
            settled[section] = recipes.settle(values, PLAIN[section], f"section [{section}]",
                                              given=_GIVEN.get(section, ()))
        elif values:
            if section == "task" and set(values) & set(signature(TASKS[of_any_targets()]).parameters):
                values = {"name": of_any_targets(), **values}    # as task.parts, which no other task has
            settled[section] = named_entry(section, values, trusted=trusted)
    if "data" not in settled:
        raise UserError("the recipe names no data: give [data] name = \"fashion-mnist\", or a folder or table as the "
                        f"first argument. Known: {', '.join(sorted(FORMATS))}.")
    return settled


def learned(recipe: recipes.Recipe, classes: Mapping[str, Any]) -> tuple[str, ...]:
    """The targets that the task reads: the recipe's, else those of the first one that the targets in `classes` can
    feed; of several tasks at once, which targets under names of their own stand for, the parts named or all."""
    section = recipe.get("task", {})
    if "name" in section:
        entry = task_class(section)
        return tuple(section.get("parts") or classes) if entry.of_kinds else entry.needs
    entries = [entry for entry in TASKS.values() if not entry.of_kinds]
    if not set(classes) <= {need for entry in entries for need in entry.needs}:
        return tuple(section.get("parts") or classes)
    return next((entry.needs for entry in entries if set(entry.needs) <= set(classes)), ())


def of_any_targets() -> str:
    """The name of the task that learns any targets together, under names of their own."""
    return next(name for name, entry in TASKS.items() if entry.of_kinds)


def task_class(section: recipes.Section) -> type[Task]:
    """The task that a section [task] names; UserError where there is none of that name."""
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
    settled = {"name": name, **recipes.settle(arguments, entry, f"{section} {name!r}",
                                              given=_GIVEN.get(section, ()))}
    if section == "data" and "sets" in settled:
        settled["sets"] = {part: _settled_set(part, one) for part, one in settled["sets"].items()}
    return settled


def _settled_set(part: str, values: recipes.Section) -> recipes.Section:
    """One of the sections [data] of which data.sets is made."""
    try:
        return named_entry("data", values, trusted=False)
    except UserError as error:
        raise type(error)(f"data.sets.{part}: {error}") from error


def _table(section: str) -> dict[str, Any]:
    formats = {name: record.open for name, record in FORMATS.items()}
    tables: dict[str, dict[str, Any]] = {"data": formats, "task": TASKS, "optimizer": OPTIMIZERS,
                                         "schedule": SCHEDULES}
    return tables.get(section, {})


def entry_of(section: str, name: Any, *, trusted: bool) -> Callable[..., Any]:
    """The function or class that a section's name stands for; outside code only where it is `trusted`."""
    if not isinstance(name, str):
        raise UserError(f"section [{section}]: name must be text; got {name!r}")
    if section == "backbone":
        return find_backbone(name, trusted=trusted)
    what = {"data": "data set"}.get(section, section)
    return choose(_table(section), name, what, error=DataError if section == "data" else UserError)


def arguments_of(section: recipes.Section) -> recipes.Section:
    """A section without its name: the arguments of the entry that the name stands for."""
    return {key: value for key, value in section.items() if key != "name"}
