"""The pictures that lessons learn from: a set that the user names, or the first of a few that is here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError
from lensmith.data.formats.idx import find_idx
from lensmith.data.sources.sample import Collection
from lensmith.data.sources.subsets import narrowed
from lensmith.data.sources.unknown_targets import known_in
from lensmith.recipe import schema as recipes
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.open_data import Data
from lensmith.values.labels import Label

SMALL = ("fashion-mnist", "mnist", "cifar10", "cifar100", "shapes")    # sets whose pictures are small by themselves
EDGE = 32    # pixels that other pictures are brought to


def usual_set(*names: str) -> str:
    """The name of the set that a lesson takes by itself: the first of these that is here, by itself Fashion-MNIST or
    else MNIST, and drawn shapes, which need no file, where none is."""
    for name in names or ("fashion-mnist", "mnist"):
        try:
            find_idx(name)
        except DataError:
            continue
        return name
    return "shapes"


def how_to_get(name: str) -> str:
    """What to do for Fashion-MNIST where a lesson has taken another set by itself; empty where it has not."""
    if name == "fashion-mnist":
        return ""
    return f"Fashion-MNIST is not here, so the lesson takes {name}: lensmith data get fashion-mnist, or Debian's " \
           "package dataset-fashion-mnist, brings it"


def lesson_recipe(source: str, settings: Mapping[str, Any]) -> recipes.Recipe:
    """The incomplete recipe of a source of pictures, with these settings, small pictures and a task of classes. Raises
    DataError for what is no set of pictures."""
    recipe = recipe_for(source)
    recipe = {"data": recipe.get("data", {})}
    small = {} if recipe["data"].get("name") in SMALL else {"pictures.size": EDGE, "pictures.fit": "crop"}
    return recipes.put(recipe, {**small, "task.name": "classification", **settings})


def check_labelled(data: Data, source: str) -> None:
    """Raises DataError unless the pictures have labels of at least two classes."""
    advice = "name a set with a class for each picture, as a folder that holds a folder a class, or fashion-mnist"
    if "label" not in data.classes:
        raise DataError(f"{source} gives {', '.join(data.classes) or 'no target'} and no label, and the lesson learns "
                        f"classes: {advice}")
    if len(data.classes["label"]) < 2 or not known_in(data.splits["train"], "label").any():
        raise DataError(f"{source} has no two classes to tell apart: {advice}")


def drawn_rows(source: Collection, most: int, seed: int) -> np.ndarray:
    """The numbers of at most so many pictures whose label is known, drawn without repeats, in the order drawn."""
    known = np.flatnonzero(known_in(source, "label"))
    return np.random.default_rng(seed).permutation(known)[:most]


def as_arrays(source: Collection, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pictures float32 [n, channels, height, width], in their own units, and their labels int64 [n]."""
    labelled = narrowed(source, ("label",))
    samples = [labelled[int(row)] for row in rows]
    labels = []
    for sample in samples:
        label = sample.targets["label"]
        assert isinstance(label, Label)
        labels.append(int(label.index))
    return np.stack([sample.image.numpy() for sample in samples]).astype(np.float32), np.array(labels, np.int64)


def set_in_words(name: str) -> str:
    """`Fashion-MNIST`, or the name of a folder."""
    return {"fashion-mnist": "Fashion-MNIST", "mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100",
            "shapes": "drawn shapes"}.get(name, Path(name).name or name)
