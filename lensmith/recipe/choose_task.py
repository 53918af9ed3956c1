"""Chooses the task of a recipe: the task that it names, or the first one for which the data have all targets."""

from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import UserError
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import (
    arguments_of,
    learned_targets,
    named_entry,
    of_any_targets,
    task_class,
    tasks_with,
)
from lensmith.tasks import TASKS
from lensmith.tasks.parts import check_parts
from lensmith.tasks.task import Task
from lensmith.values.value import Value


def choose_task(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], *,
                targets: dict[str, Value] | None = None, kinds: dict[str, str] | None = None) -> Task:
    """The task that the recipe names, or else the first one for which the data have all targets.

    The section [task] of the recipe is completed in place. `classes`, the stacked training `targets` and `kinds` are
    by name of target. `kinds` is needed where several targets are learned and the recipe does not state their kinds.
    Raises UserError if data and task do not fit.
    """
    section = recipe.get("task", {})
    if "name" not in section:
        needed = learned_targets(recipe, classes)
        fitting = [name for name, entry in TASKS.items() if needed and entry.needs == needed]
        having = [name for name in fitting if all(name in tasks_with(key) for key in section)]
        section = recipe["task"] = _of_data((having or fitting or [of_any_targets()])[0], section)
    entry = task_class(section)
    if entry.of_kinds:
        settle_parts(section, classes, kinds=kinds)
        return _make(section, entry, classes=classes, targets=targets)
    missing = [name for name in entry.needs if name not in classes]
    if missing:
        raise UserError(f"data set {recipe['data']['name']!r} gives {', '.join(classes)}; task {section['name']!r} "
                        f"needs {', '.join(missing)}{_advice(missing, classes)}")
    name = entry.needs[0]
    return _make(section, entry, classes=classes[name], targets=None if targets is None else targets[name])


def _of_data(name: str, settings: recipes.Section) -> recipes.Section:
    """The section of the task that the data are for, with the settings of a recipe that names none. Raises UserError
    for settings that it does not have."""
    for key in settings:
        if name not in (having := tasks_with(key)):
            raise UserError(f"task.{key} is a setting of {', '.join(having)}, and these data are for {name}: leave it "
                            f"out, or name the task, as task.name={having[0]}")
    return named_entry("task", {"name": name, **settings}, trusted=True)


def _make(section: recipes.Section, entry: type[Task], **arguments: Any) -> Task:
    task: Task = recipes.call(arguments_of(section), entry, **arguments)
    return task


def _advice(missing: list[str], classes: Mapping[str, Any]) -> str:
    """The advice for data that have the boxes of objects but not their pixels, or these without telling them apart."""
    if missing in (["masks"], ["boxes"]) and "mask" in classes:
        return ": the objects of masks are told apart by files that number them (SegmentationObject/, instances/, " \
            "*_instanceIds.png), which data.name=object-masks reads"
    if missing != ["masks"] or "boxes" not in classes:
        return ""
    name = next(name for name, entry in TASKS.items() if entry.needs == ("boxes",))
    return ": the pixels of objects come of YOLO's polygons, of COCO's shapes, and of masks that number them " \
        f"(SegmentationObject/, data.name=object-masks); learn the boxes with task.name={name}"


def settle_parts(section: recipes.Section, classes: Mapping[str, tuple[str, ...]], *,
                 kinds: Mapping[str, str] | None = None) -> None:
    """Complete a section [task] of several parts with the kind of each part and all settings of its task.

    `kinds` are those of the data. Without them those of the section are taken. Raises UserError if the two differ,
    and for settings that the task of a part does not have.
    """
    tasks = task_class(section).of_kinds
    assert tasks is not None
    parts = section.setdefault("parts", list(classes))
    check_parts(parts, classes)
    stated = section.get("kinds", {})
    if kinds is not None:
        for name in parts:
            if name in stated and stated[name] != kinds[name]:
                raise UserError(f"task.kinds says that {name!r} is {stated[name]!r}, and the data give "
                                f"{kinds[name]!r}: leave task.kinds out, it is found by itself")
        section["kinds"] = stated = {name: kinds[name] for name in parts}
    for name in parts:
        if stated.get(name, name) not in tasks:
            raise UserError(f"no task learns what {name!r} is ({stated.get(name, 'of no known kind')}): name other "
                            "parts in task.parts")
    section["settings"] = {
        name: recipes.settle(values, tasks[stated.get(name, name)], f"task.settings.{name}",
                             passed=("classes", "targets")) if name in parts else values
        for name, values in section.get("settings", {}).items()}


def kinds_learned(recipe: recipes.Recipe, classes: Mapping[str, Any]) -> tuple[str, ...]:
    """The kind of each target that the task of a recipe learns. The target of a single task is named as its kind."""
    section = recipe["task"]
    kinds = section.get("kinds") or {} if task_class(section).of_kinds else {}
    return tuple(kinds.get(name, name) for name in learned_targets(recipe, classes))
