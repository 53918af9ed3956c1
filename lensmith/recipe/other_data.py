"""Reads the data of a recipe, the data of a Python caller, or other data that a trained network is measured on."""

import shlex
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lensmith.base.errors import DataError, UserError, listed, nearest
from lensmith.base.pictures import Form
from lensmith.data.formats.boxes.annotations import Tally
from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.python_objects import read_dataset
from lensmith.data.sources.findings import findings, findings_line
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
    """The data of a resolved recipe, opened by name or `brought` by a Python caller as one object or a dict by split.

    Each process of a `process_group` on one machine takes an equal fraction of its memory and disk.
    """
    if process_group is not None and process_group.local_world_size > 1:
        fractions = {name: recipe["loading"][name] / process_group.local_world_size for name in ("memory", "disk")}
        recipe = recipe | {"loading": recipe["loading"] | fractions}
    if not recipe["data"]["name"].startswith(BROUGHT):
        return open_data(recipe, tell=tell)
    if not isinstance(brought, dict):
        brought = {"train": brought}
    if brought.get("train") is None:
        raise UserError(f"the data were passed by split ({', '.join(brought) or 'none'}) without 'train', which sets "
                        "the size of the pictures and the numbers of the classes: pass the same splits that the run "
                        "was trained on")
    settings, tally = recipe["pictures"], Tally()
    size = given_size(settings["size"]) if "size" in settings else None
    train = read_dataset(brought["train"], size=size, fit=settings.get("fit"), tally=tally)
    has_objects, classes = bool(of_kind(train.targets, *OBJECTS)), train.classes
    if has_objects:    # the other splits take the form that follows from the training split
        size = (train.images.shape[2], train.images.shape[3])
        recipe = recipe | {"pictures": {"fit": "pad"} | settings}
    opened = {split: train if split == "train" else
              read_dataset(dataset, size=size, fit=settings.get("fit"), held_out=True, tally=tally)
              for split, dataset in brought.items() if dataset is not None}
    for split, source in opened.items():
        _check_classes(split, source.classes, classes)
        opened[split] = copy(source)
        opened[split].classes = classes
    return prepare(Splits(dict(opened), tally.repairs() if has_objects else {}), recipe, name=recipe["data"]["name"],
                   tell=tell)


def _check_classes(split: str, classes: dict[str, tuple[str, ...]], train: dict[str, tuple[str, ...]]) -> None:
    """Raises DataError unless the classes of each target are the first ones of the training split.

    A held-out split may lack the last classes of the training split. It may not have other ones.
    """
    if set(classes) != set(train):
        raise DataError(f"the {split} split gives {listed(classes)}, the training split {listed(train)}")
    for target, names in classes.items():
        if names != train[target][: len(names)]:
            other = [name for name in names if name not in train[target]] or list(names)
            raise DataError(f"the {split} split has the classes {listed(names)}, the training split "
                            f"{listed(train[target])}: they must be the same ones in the same order "
                            f"({other[0]!r} is not)")


def other_data(source: str | Path, recipe: recipes.Recipe, form: Form, classes: dict[str, tuple[str, ...]], *,
               ids: Mapping[str, str] | None = None, settings: Sequence[str] = (), tell: Tell = silent) -> Data:
    """Data that a trained network is measured on, in its form and with its classes matched by name.

    A data set without splits stays undivided. `ids` is what the ids of masks were called where it was trained, for sets
    that do not say it, and `settings` say how the set is read, as data.name=masks. Raises DataError for targets or
    classes that the network does not know.
    """
    pictures = {**recipe["pictures"], "size": list(form.size), "channels": form.channels, "bits": form.bits,
                "fit": form.fit, "interpolation": form.interpolation, "most_pixels": form.most_pixels,
                "values": "clipped" if form.values is None else list(form.values)}
    # The fraction and the background of training do not apply: all pictures are measured.
    loading = recipe["loading"] | {"fraction": 1.0, "background": 1.0}
    found = recipe_for(source, name=recipes.data_name_in(settings)).get("data", {})
    section = recipes.override({"data": found}, settings, ("data",))
    measured = {**section, "pictures": pictures, "split": {"valid": 0.0, "test": 0.0},
                "loading": loading, **{name: recipe[name] for name in ("task", "run")}}
    data = open_data(resolve(measured, trusted=False), tell=tell, known=KnownClasses(classes, ids or {}))
    if line := findings_line(findings(data.account), shlex.join(["lensmith", "data", "show", str(source), "--all"])):
        tell(line)
    renamed = dict.fromkeys(_renamed(data.classes, classes))
    if renamed:
        tell(f"the classes of {source} are taken in their order: {', '.join(renamed)}")
    return replace(data, splits={split: _in_classes(collection, classes, str(source))
                                 for split, collection in data.splits.items()})


def _renamed(other: dict[str, tuple[str, ...]], classes: dict[str, tuple[str, ...]]) -> list[str]:
    """`couch is sofa` for each class that has another name in `other`, in the order of `classes`.

    Empty if the numbers of classes differ, or more than a quarter of the names: then they are other classes, and not
    other names of the same ones, as some classes of COCO have.
    """
    pairs = [(other_name, name) for target, names in classes.items() if len(other.get(target, ())) == len(names)
             for other_name, name in zip(other[target], names, strict=True)]
    renamed = [f"{other_name} is {name}" for other_name, name in pairs if other_name != name]
    return renamed if len(renamed) <= len(pairs) // 4 else []


def _in_classes(source: Any, classes: dict[str, tuple[str, ...]], what: str) -> Any:
    """The collection with its classes numbered as in `classes`, by name, or by order if they are only `_renamed`."""
    changed = copy(source)
    changed.targets, changed.classes = dict(source.targets), {**source.classes, **classes}
    for target, names in classes.items():
        if target not in source.classes:
            raise DataError(f"{what} gives {', '.join(source.classes)}, and the network was trained on {target}")
        source_names, value = source.classes[target], source.targets[target]
        if source_names == names or _renamed({target: source_names}, {target: names}):
            continue
        unknown = [name for name in source_names if name not in names]
        if unknown:
            raise DataError(f"{what} has the class {unknown[0]!r}, which the network does not know."
                            f"{nearest(unknown[0], names)} It knows: {', '.join(names[:20])}"
                            f"{' ...' if len(names) > 20 else ''}")
        numbers = torch.tensor([names.index(name) for name in source_names])
        changed.targets[target] = value.renumbered(numbers, len(names))
    return changed
