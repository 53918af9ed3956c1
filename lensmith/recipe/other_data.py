"""Data read for a recipe: its own, a Python caller's, or other data that a trained network is measured on."""

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.base.pictures import Form
from lensmith.data.formats.boxes.annotations import Tally
from lensmith.data.formats.python_objects import read_dataset
from lensmith.data.sources.picture_form import given_size
from lensmith.data.sources.sample import Splits
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.recipe import schema as recipes
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.open_data import Data, Tell, open_data, prepare, silent
from lensmith.recipe.schema import BROUGHT
from lensmith.recipe.sections import resolve
from lensmith.values import OBJECTS, of_kind


def read_data(recipe: recipes.Recipe, brought: Any, *, tell: Tell = silent,
              process_group: ProcessGroup | None = None) -> Data:
    """The data of a resolved recipe: opened by its name, or what a Python caller `brought`, an object or a dict of
    them by split. The processes of a `process_group` on one machine share out its memory."""
    if process_group is not None and process_group.local_world_size > 1:
        shares = {name: recipe["loading"][name] / process_group.local_world_size for name in ("memory", "disk")}
        recipe = recipe | {"loading": recipe["loading"] | shares}
    if not recipe["data"]["name"].startswith(BROUGHT):
        return open_data(recipe, tell=tell)
    if not isinstance(brought, dict):
        brought = {"train": brought}
    if brought.get("train") is None:
        raise UserError(f"the data were brought by split ({', '.join(brought) or 'none'}) without 'train', by which "
                        "the pictures are brought to size and the classes numbered: pass the same parts that the run "
                        "was trained on")
    wanted, tally = recipe["pictures"], Tally()
    size = given_size(wanted["size"]) if "size" in wanted else None
    train = read_dataset(brought["train"], size=size, fit=wanted.get("fit"), tally=tally)
    objects, classes = of_kind(train.targets, *OBJECTS), train.classes
    if objects:    # the other parts have the form that follows from the training part
        size, recipe = (train.images.shape[2], train.images.shape[3]), recipe | {"pictures": {"fit": "pad"} | wanted}
    opened = {part: train if part == "train" else
              read_dataset(one, size=size, fit=wanted.get("fit"), held_out=True, tally=tally)
              for part, one in brought.items() if one is not None}
    for part, one in opened.items():
        _same_classes(part, one.classes, classes)
        opened[part] = copy(one)
        opened[part].classes = classes
    return prepare(Splits(dict(opened), tally.repairs() if objects else {}), recipe, name=recipe["data"]["name"],
                   tell=tell)


def _same_classes(part: str, own: dict[str, tuple[str, ...]], train: dict[str, tuple[str, ...]]) -> None:
    """A held-out part may lack classes of the training part, as numbers that it never shows; it may not have others."""
    if set(own) != set(train):
        raise DataError(f"the {part} part gives {', '.join(own)}, the training part {', '.join(train)}")
    for target, names in own.items():
        if names != train[target][: len(names)]:
            other = [name for name in names if name not in train[target]] or list(names)
            raise DataError(f"the {part} part has the classes {', '.join(names)}, the training part "
                            f"{', '.join(train[target])}: they must be the same ones in the same order "
                            f"({other[0]!r} is not)")


def other_data(source: str | Path, recipe: recipes.Recipe, form: Form, classes: dict[str, tuple[str, ...]], *,
               tell: Tell = silent) -> Data:
    """Data that a trained network is measured on, in its form and with its classes by name; undivided where it has no
    splits. Raises DataError for targets or classes that the network does not know."""
    named = recipe_for(source)
    pictures = {**recipe["pictures"], "size": list(form.size), "channels": form.channels, "bits": form.bits,
                "fit": form.fit, "interpolation": form.interpolation}
    loading = recipe["loading"] | {"fraction": 1.0, "background": 1.0}    # what is left out of learning is measured
    wanted = {"data": named["data"], "pictures": pictures, "split": {"valid": 0.0, "test": 0.0}, "loading": loading,
              **{name: recipe[name] for name in ("task", "run")}}
    found = open_data(resolve(wanted, trusted=False), tell=tell)
    said = dict.fromkeys(_renamed(found.classes, classes))
    if said:
        tell(f"the classes of {source} are taken in their order: {', '.join(said)}")
    return replace(found, splits={part: _in_classes(one, classes, str(source)) for part, one in found.splits.items()})


def _renamed(own: dict[str, tuple[str, ...]], classes: dict[str, tuple[str, ...]]) -> list[str]:
    """`couch is sofa` for each class that is another's in all but its name: where most names and their number agree, as
    of COCO's classes, some of which have two."""
    pairs = [(one, two) for target, names in classes.items() if len(own.get(target, ())) == len(names)
             for one, two in zip(own[target], names, strict=True)]
    other = [f"{one} is {two}" for one, two in pairs if one != two]
    return other if len(other) <= len(pairs) // 4 else []


def _in_classes(source: Any, classes: dict[str, tuple[str, ...]], what: str) -> Any:
    """The collection with its targets numbered as `classes` are, by their names, or by their order where `_renamed`."""
    changed = copy(source)
    changed.targets, changed.classes = dict(source.targets), {**source.classes, **classes}
    for target, names in classes.items():
        if target not in source.classes:
            raise DataError(f"{what} gives {', '.join(source.classes)}, and the network was trained on {target}")
        own, value = source.classes[target], source.targets[target]
        if own == names or _renamed({target: own}, {target: names}):
            continue
        unknown = [name for name in own if name not in names]
        if unknown:
            raise DataError(f"{what} has the class {unknown[0]!r}, which the network does not know."
                            f"{nearest(unknown[0], names)} It knows: {', '.join(names[:20])}"
                            f"{' ...' if len(names) > 20 else ''}")
        changed.targets[target] = value.renumbered(torch.tensor([names.index(name) for name in own]), len(names))
    return changed
