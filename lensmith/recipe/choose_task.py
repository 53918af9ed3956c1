"""The task of a recipe: the one that is named, or the first that the data can feed, alone or of several parts."""

from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import UserError
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import arguments_of, learned, named_entry, of_any_targets, task_class
from lensmith.tasks import TASKS
from lensmith.tasks.parts import check_parts
from lensmith.tasks.task import Task
from lensmith.values.value import Value


def choose_task(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], *,
                targets: dict[str, Value] | None = None, kinds: dict[str, str] | None = None) -> Task:
    """The task that the recipe names, or else the first one that the data can feed, which is written into the recipe.

    `classes`, the stacked training `targets` and `kinds` are by name of target. Kinds are needed where several targets
    are learned and the recipe does not say yet what each is. Raises UserError where data and task do not fit.
    """
    section = recipe.get("task")
    if section is None:
        needed = learned(recipe, classes)
        fitting = [name for name, entry in TASKS.items() if needed and entry.needs == needed]
        section = recipe["task"] = named_entry("task", {"name": (fitting or [of_any_targets()])[0]}, trusted=True)
    entry = task_class(section)
    if entry.of_kinds:
        settle_parts(section, classes, kinds=kinds)
        return _made(section, entry, classes=classes, targets=targets)
    missing = [name for name in entry.needs if name not in classes]
    if missing:
        raise UserError(f"data set {recipe['data']['name']!r} gives {', '.join(classes)}; task {section['name']!r} "
                        f"needs {', '.join(missing)}{_advice(missing, classes)}")
    name = entry.needs[0]
    return _made(section, entry, classes=classes[name], targets=None if targets is None else targets[name])


def _made(section: recipes.Section, entry: type[Task], **given: Any) -> Task:
    task: Task = recipes.call(arguments_of(section), entry, **given)
    return task


def _advice(missing: list[str], classes: Mapping[str, Any]) -> str:
    """What can be learned where the pixels of objects are missing and their boxes are there."""
    if missing != ["masks"] or "boxes" not in classes:
        return ""
    name = next(name for name, entry in TASKS.items() if entry.needs == ("boxes",))
    return ": the pixels of objects come of YOLO's polygons and of COCO's shapes; learn the boxes with " \
        f"task.name={name}"


def settle_parts(section: recipes.Section, classes: Mapping[str, tuple[str, ...]], *,
                 kinds: Mapping[str, str] | None = None) -> None:
    """Write into a section [task] on several parts every part with its kind and all settings of its task.

    `kinds` are those of the data; without them those of the section are taken. Raises UserError where the two differ,
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
                             given=("classes", "targets")) if name in parts else values
        for name, values in section.get("settings", {}).items()}


def kinds_learned(recipe: recipes.Recipe, classes: Mapping[str, Any]) -> tuple[str, ...]:
    """The kind of each target that the task of a recipe learns. A target of a single task has its kind for a name."""
    section = recipe["task"]
    kinds = section.get("kinds") or {} if task_class(section).of_kinds else {}
    return tuple(kinds.get(name, name) for name in learned(recipe, classes))
