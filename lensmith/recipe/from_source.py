"""What a training begins from: the recipe that a name stands for, the files that it is made of, and its data."""

from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, ModelError, UserError, nearest
from lensmith.data.formats import FORMATS
from lensmith.data.formats.detect import recognise
from lensmith.models.adapters.published_weights import (
    DOWNLOAD,
    backbone_named,
    interpolation_of,
    is_download,
    published,
)
from lensmith.recipe import schema as recipes
from lensmith.recipe.run_recipe import with_own_files
from lensmith.recipe.schema import BROUGHT, NO_DATA
from lensmith.recipe.user_metrics import anchor_metrics


def recipe_for(source: str | Path) -> recipes.Recipe:
    """What was named on the command line -> the beginnings of a recipe: a recipe file, the name of a data set, a run
    folder (its recipe again), or a file or folder of any format that is known."""
    path = Path(source)
    if path.suffix == ".toml":
        return recipes.read_recipe(path)
    record = FORMATS.get(str(source))    # ./mnist is a folder of that name
    if record is not None and "path" not in record.needs:
        return {"data": {"name": str(source)}}
    if path.is_dir() and (path / "recipe.toml").is_file():
        found = with_own_files(recipes.read_recipe(path / "recipe.toml"), path)
        found.get("run", {}).pop("name", None)
        return found
    # A table that does not exist is refused by its reader, which names the nearest file.
    name = "table" if path.suffix.lower() in FORMATS["table"].suffixes else recognise(path)
    if name is not None:
        return {"data": {"name": name, "path": str(source)}}
    near = nearest(path.name, [*FORMATS, *(one.name for one in path.parent.iterdir())]
                   if path.parent.is_dir() else FORMATS)
    files = "; ".join(f"{key}: {', '.join(each.suffixes)}" for key, each in FORMATS.items() if each.suffixes)
    raise DataError(f"{str(source)!r} is no recipe (.toml), folder of pictures, file of a format ({files}) or known "
                    f"data set.{near} Known data sets: {', '.join(FORMATS)}.")


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
        raise UserError(f"backbone.name={str(folder)!r} brings the weights of that run; got learner.weights="
                        f"{str(weights)!r} beside it: leave one of the two out")
    own = with_own_files(recipes.read_recipe(folder / "recipe.toml"), folder).get("backbone", {})
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
    used_to = recipes.read_recipe(folder / "recipe.toml").get("pictures", {}).get("interpolation") \
        if (folder / "recipe.toml").is_file() else interpolation_of(str(named.get("backbone", {}).get("name", "")))
    return named if used_to is None else named | {"pictures": {**pictures, "interpolation": used_to}}


def _with_network(recipe: recipes.Recipe) -> recipes.Recipe:
    recipe = _as_published(on_backbone_of_run(recipe))
    folder = Path(recipe.get("learner", {}).get("weights") or "").expanduser()
    if "backbone" in recipe or not (folder / "recipe.toml").is_file():
        return recipe
    own = with_own_files(recipes.read_recipe(folder / "recipe.toml"), folder)
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
        raise UserError(f"learner.weights={weights!r} says of no network which weights to take: name it too, as "
                        f"backbone.name=resnet18, or as learner.weights={DOWNLOAD}resnet18")
    name = published(weights, backbone).name
    return recipe | {"backbone": {"name": backbone} | recipe.get("backbone", {}),
                     "learner": recipe["learner"] | {"weights": f"{DOWNLOAD}{name}"}}


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
    anchor_metrics(recipe)
    return recipe


def not_brought(recipe: recipes.Recipe, brought: list[str]) -> None:
    if "data" not in brought and recipe.get("data", {}).get("name") == NO_DATA:
        raise ModelError("this run was converted from files of another program and has no data of its own: train other "
                         "data from its weights, as in `lensmith train DATA --weights RUN`")
    for section in ("data", "backbone"):
        if section not in brought and str(recipe.get(section, {}).get("name", "")).startswith(BROUGHT):
            raise ModelError(f"this recipe is of a run on a Python object as its {section}: it can be trained from "
                             "Python alone, with lensmith.train")


