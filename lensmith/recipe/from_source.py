"""What a training begins from: the recipe that a name stands for, the files that it is made of, and its data."""

import shutil
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import DataError, ModelError, UserError, nearest
from lensmith.base.pictures import Form
from lensmith.data.formats import DATASETS
from lensmith.data.formats.boxes.annotations import Tally
from lensmith.data.formats.detect import recognise
from lensmith.data.formats.python_objects import given as given_data
from lensmith.data.sources.picture_form import given_size
from lensmith.data.sources.sample import Parts
from lensmith.engine.distributed.process_group import Team
from lensmith.engine.run_folder import Run
from lensmith.models.adapters.published_weights import (
    DOWNLOAD,
    backbone_named,
    interpolation_of,
    is_download,
    published,
)
from lensmith.recipe import schema as recipes
from lensmith.recipe.open_data import Data, Tell, open_data, prepare, silent
from lensmith.recipe.sections import resolve
from lensmith.values.value import IGNORED, Boxes, Label, Mask, Tags, of_kind

BROUGHT = "python:"            # marks, in a recipe, what a Python caller brought as an object
NO_DATA = f"{BROUGHT}nothing"  # of a run that was converted from files of another program
FORMATS = ("folder", "table", "yolo", "coco", "voc", "labelme", "masks")    # entries of DATASETS that need a path
NETWORK_FILE = "network.cfg"   # in a run folder: the file that its network is made of


def recipe_for(source: str | Path) -> recipes.Recipe:
    """What was named on the command line -> the beginnings of a recipe: a recipe file, the name of a data set, a run
    folder (its recipe again), or a file or folder of any format that is known."""
    path = Path(source)
    if path.suffix == ".toml":
        return recipes.read(path)
    if str(source) in DATASETS and str(source) not in FORMATS:    # ./mnist is a folder of that name
        return {"data": {"name": str(source)}}
    if path.is_dir() and (path / "recipe.toml").is_file():
        found = _with_own_files(recipes.read(path / "recipe.toml"), path)
        found.get("run", {}).pop("name", None)
        return found
    name = "table" if path.suffix.lower() in (".csv", ".tsv") else recognise(path)    # which says where none is there
    if name is not None:
        return {"data": {"name": name, "path": str(source)}}
    near = nearest(path.name, [*DATASETS, *(one.name for one in path.parent.iterdir())]
                   if path.parent.is_dir() else DATASETS)
    raise DataError(f"{str(source)!r} is no recipe (.toml), table (.csv, .tsv), folder of pictures, YOLO data.yaml, "
                    "COCO .json or known data set."
                    f"{near} Known data sets: {', '.join(DATASETS)}.")


def is_run(name: Any) -> bool:
    """Whether a name, as of a backbone, is that of a run folder."""
    return isinstance(name, str) and (Path(name).expanduser() / "recipe.toml").is_file()


def on_backbone_of_run(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with the backbone of the run folder that it names as its backbone: its settings, where the recipe has
    no others, and its weights."""
    section = recipe.get("backbone", {})
    if not is_run(section.get("name")):
        return recipe
    folder, weights = Path(section["name"]).expanduser(), recipe.get("learner", {}).get("weights")
    if weights is not None:
        raise UserError(f"--backbone {folder} brings the weights of that run; got --weights {weights} beside it: leave "
                        "one of the two out")
    own = _with_own_files(recipes.read(folder / "recipe.toml"), folder).get("backbone", {})
    if "name" not in own or str(own["name"]).startswith(BROUGHT):
        raise ModelError(f"{folder} was trained on a Python object as its backbone, which its files do not hold: from "
                         "Python, pass it again as backbone=... with settings={'learner.weights': ...}")
    return recipe | {"backbone": own | section | {"name": own["name"]},
                     "learner": recipe.get("learner", {}) | {"weights": str(folder)}}


def as_its_weights(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with the network and the task of the run folder whose weights it begins with, where it names none;
    with the network alone of a run folder that it names as its backbone; with the network of published weights; and
    with the interpolation that any weights are used to."""
    named = _with_network(recipe)
    weights, pictures = named.get("learner", {}).get("weights"), named.get("pictures", {})
    if not weights or "interpolation" in pictures:
        return named
    folder = Path(weights).expanduser()
    used_to = recipes.read(folder / "recipe.toml").get("pictures", {}).get("interpolation") \
        if (folder / "recipe.toml").is_file() else interpolation_of(str(named.get("backbone", {}).get("name", "")))
    return named if used_to is None else named | {"pictures": {**pictures, "interpolation": used_to}}


def _with_network(recipe: recipes.Recipe) -> recipes.Recipe:
    recipe = _as_published(on_backbone_of_run(recipe))
    folder = Path(recipe.get("learner", {}).get("weights") or "").expanduser()
    if "backbone" in recipe or not (folder / "recipe.toml").is_file():
        return recipe
    own = _with_own_files(recipes.read(folder / "recipe.toml"), folder)
    if str(own.get("backbone", {}).get("name", "")).startswith(BROUGHT):
        return recipe
    return {name: own[name] for name in ("backbone", "task") if name in own} | recipe


def _as_published(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with the network of the published weights that it names, and these by their own name."""
    weights = recipe.get("learner", {}).get("weights")
    if not is_download(weights):
        return recipe
    backbone = recipe.get("backbone", {}).get("name") or backbone_named(weights)
    if backbone is None:
        raise UserError(f"--weights {weights} says of no network which weights to take: name it too, as --backbone "
                        f"resnet18, or as --weights {DOWNLOAD}resnet18")
    name = published(weights, backbone).name
    return recipe | {"backbone": {"name": backbone} | recipe.get("backbone", {}),
                     "learner": recipe["learner"] | {"weights": f"{DOWNLOAD}{name}"}}


def own_recipe(run: Run, *, module: nn.Module | None, data: Any, trusted: bool) -> recipes.Recipe:
    """The resolved recipe of a run folder; raises ModelError where it needs an object of a Python caller."""
    recipe = _with_own_files(recipes.read(run.folder / "recipe.toml"), run.folder)
    brought = [section for section in ("data", "backbone")
               if str(recipe.get(section, {}).get("name", "")).startswith(BROUGHT)]
    for section, thing in (("data", data), ("backbone", module)):
        if section in brought and thing is None:
            raise ModelError(f"{run} was trained on a Python object as its {section}: from Python, pass it again as "
                             f"{section}=...")
    try:
        return resolve(recipe, trusted=trusted, brought=brought)
    except ModelError:
        raise
    except UserError as error:
        raise ModelError(f"{run.folder / 'recipe.toml'} does not fit this version: {error}") from error


def _with_own_files(recipe: recipes.Recipe, folder: Path) -> recipes.Recipe:
    """A run folder's recipe with the network's file found in it, wherever the folder lies now."""
    if recipe.get("backbone", {}).get("cfg") == NETWORK_FILE:
        recipe["backbone"]["cfg"] = str((folder / NETWORK_FILE).absolute())
    return recipe


def keep_files(recipe: recipes.Recipe, run: Run) -> recipes.Recipe:
    """The recipe with the files that its network is made of copied into the run folder, and named as they are there."""
    backbone = recipe["backbone"]
    if "cfg" not in backbone or not run.writes:
        return recipe
    write_atomic(run.folder / NETWORK_FILE, partial(shutil.copyfile, backbone["cfg"]))
    return recipe | {"backbone": backbone | {"cfg": NETWORK_FILE}}


def anchored(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with its paths absolute, so that the run folder's later commands work from anywhere."""
    paths = [("data", "path"), ("learner", "weights"), ("backbone", "cfg")]
    for section, key in paths + [("plan", "mode")] * (recipe["plan"]["mode"] not in ("auto", "exact")):
        if key in recipe.get(section, {}) and not is_download(recipe[section][key]):
            recipe[section][key] = str(Path(recipe[section][key]).expanduser().absolute())
    for one in recipe.get("data", {}).get("sets", {}).values():
        if "path" in one:
            one["path"] = str(Path(one["path"]).expanduser().absolute())
    backbone = recipe.get("backbone", {})
    place, _, attribute = str(backbone.get("name", "")).rpartition(":")
    if place.endswith(".py"):
        backbone["name"] = f"{Path(place).absolute()}:{attribute}"
    return recipe


def not_brought(recipe: recipes.Recipe, brought: list[str]) -> None:
    if "data" not in brought and recipe.get("data", {}).get("name") == NO_DATA:
        raise ModelError("this run was converted from files of another program and has no data of its own: train other "
                         "data from its weights, as in `lensmith train DATA --weights RUN`")
    for section in ("data", "backbone"):
        if section not in brought and str(recipe.get(section, {}).get("name", "")).startswith(BROUGHT):
            raise ModelError(f"this recipe is of a run on a Python object as its {section}: it can be trained from "
                             "Python alone, with lensmith.train")


def read_data(recipe: recipes.Recipe, brought: Any, *, tell: Tell = silent, team: Team | None = None) -> Data:
    """The data of a resolved recipe: opened by its name, or what a Python caller `brought`, an object or a dict of
    them by split. The processes of a `team` on one machine share out its memory."""
    if team is not None and team.local_count > 1:
        shares = {name: recipe["loading"][name] / team.local_count for name in ("memory", "disk")}
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
    train = given_data(brought["train"], size=size, fit=wanted.get("fit"), tally=tally)
    objects, classes = of_kind(train.targets, Boxes), train.classes
    if objects:    # the other parts have the form that follows from the training part
        size, recipe = (train.images.shape[2], train.images.shape[3]), recipe | {"pictures": {"fit": "pad"} | wanted}
    opened = {part: train if part == "train" else
              given_data(one, size=size, fit=wanted.get("fit"), held_out=True, tally=tally)
              for part, one in brought.items() if one is not None}
    for part, one in opened.items():
        _same_classes(part, one.classes, classes)
        opened[part] = copy(one)
        opened[part].classes = classes
    return prepare(Parts(dict(opened), tally.mended() if objects else {}), recipe, name=recipe["data"]["name"],
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
        changed.targets[target] = _numbered(value, torch.tensor([names.index(name) for name in own]), len(names))
    return changed


def _numbered(value: Any, number: torch.Tensor, classes: int) -> Any:
    """A stacked value whose class i is `number[i]` among so many `classes`; of those that it lacks nothing is known."""
    if isinstance(value, Label):
        return replace(value, index=torch.where(value.index < 0, value.index, number[value.index.clamp(min=0)]))
    if isinstance(value, Boxes):
        return replace(value, classes=number[value.classes])
    if isinstance(value, Mask):
        table = torch.full((IGNORED + 1,), IGNORED, dtype=value.classes.dtype)
        table[: len(number)] = number.to(table)
        found = torch.empty_like(value.classes)
        for row, one in enumerate(value.classes):    # one by one: an index takes eight bytes a pixel
            found[row] = table[one.long()]
        return replace(value, classes=found)
    name = "present" if isinstance(value, Tags) else "values"
    own = getattr(value, name)
    wide = torch.full((len(own), classes), torch.nan, dtype=own.dtype)
    wide[:, number] = own
    return replace(value, **{name: wide})
