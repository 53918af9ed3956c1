"""The parts of a data set that several tasks learn together: what kind each is of, and what it is learned with."""

from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import UserError
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import SEVERAL, arguments_of, entry_of, learned, named_entry
from lensmith.tasks import TASKS
from lensmith.tasks.multitask import OF_KIND, Multitask, check_parts
from lensmith.tasks.task import Task
from lensmith.values.value import Value


def several(section: recipes.Section, classes: Mapping[str, tuple[str, ...]], *,
            targets: Mapping[str, Value] | None = None, kinds: Mapping[str, str] | None = None) -> Multitask:
    """The task of a recipe's section on several parts; the section then has every part with its kind and all settings.

    `kinds` are what the data say; without them the section's own are taken. Raises UserError where the two differ, and
    for settings that a part's task does not have.
    """
    parts = section.setdefault("parts", list(classes))
    check_parts(parts, classes)
    known = section.get("kinds", {})
    if kinds is not None:
        for name in parts:
            if name in known and known[name] != kinds[name]:
                raise UserError(f"task.kinds says that {name!r} is {known[name]!r}, and the data give {kinds[name]!r}: "
                                "leave task.kinds out, it is found by itself")
        section["kinds"] = known = {name: kinds[name] for name in parts}
    unlearned = [name for name in parts if known.get(name, name) not in OF_KIND]
    if unlearned:
        kind = known.get(unlearned[0], "of no known kind")
        raise UserError(f"no task learns what {unlearned[0]!r} is ({kind}): name other parts in task.parts")
    section["settings"] = {
        name: recipes.settle(values, OF_KIND[known.get(name, name)], f"task.settings.{name}",
                             given=("classes", "targets")) if name in parts else values
        for name, values in section.get("settings", {}).items()}
    task: Multitask = recipes.call(arguments_of(section), Multitask, classes=classes, targets=targets)
    return task


def kinds_learned(recipe: recipes.Recipe, classes: Mapping[str, Any]) -> tuple[str, ...]:
    """The kind of each target that the task of a recipe learns: of one task its targets, which are called so."""
    section = recipe["task"]
    kinds = section.get("kinds") or {} if section["name"] == SEVERAL else {}
    return tuple(kinds.get(name, name) for name in learned(recipe, classes))


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
        advice = ": the pixels of objects come of YOLO's polygons and of COCO's shapes; learn the boxes with " \
            "task.name=detection" if missing == ["masks"] and "boxes" in classes else ""
        raise UserError(f"data set {recipe['data']['name']!r} gives {given}; task {section['name']!r} needs "
                        f"{', '.join(missing)}{advice}")
    name = entry.needs[0]
    task: Task = recipes.call(arguments_of(section), entry, classes=classes[name],
                              targets=None if targets is None else targets[name])
    return task
