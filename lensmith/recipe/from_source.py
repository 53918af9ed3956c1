"""The recipe that a source named by the user stands for, completed by the runs and weights that it names."""

from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, ModelError, UserError, in_short, nearest
from lensmith.data.formats import FORMATS
from lensmith.data.formats.archives import unpack_command
from lensmith.data.formats.detect import recognise
from lensmith.models.adapters.embedded_weights import EMBEDDED, IMAGENET, embedded
from lensmith.models.adapters.published_weights import (
    DOWNLOAD,
    backbone_named,
    interpolation_of,
    is_download,
    is_word,
    published,
)
from lensmith.recipe import schema as recipes
from lensmith.recipe.model_file import network_of_weights
from lensmith.recipe.run_recipe import with_own_files
from lensmith.recipe.schema import BROUGHT, NO_DATA
from lensmith.recipe.sections import weights_named
from lensmith.recipe.user_metrics import anchor_metrics
from lensmith.recipe.yaml_recipes import YamlRecipe, read_yaml_recipe
from lensmith.rl.worlds import WORLDS, is_world


def recipe_for(source: str | Path, *, name: Any = None) -> recipes.Recipe:
    """The incomplete recipe that a source of the command line stands for.

    A source is a recipe file, the name of a data set, a run folder, whose recipe is taken, a file or folder in a known
    format, or, where there is none of that name, a world to play in. A format is that which the setting data.`name`
    says, else the one that it is recognised by. Raises DataError for anything else.
    """
    path = Path(source)
    if path.suffix == ".toml":
        return recipes.read_recipe(path)
    if name is None and (of_yaml := read_yaml_recipe(path)) is not None:
        return _with_source_of(of_yaml)
    known_set = FORMATS.get(str(source))    # a folder of such a name is given as ./mnist
    if known_set is not None and "path" not in known_set.needs:
        return {"data": {"name": str(source)}}
    if path.is_dir() and (path / "recipe.toml").is_file():
        recipe = with_own_files(recipes.read_recipe(path / "recipe.toml"), path)
        recipe.get("run", {}).pop("name", None)
        return recipe
    if isinstance(name, str):
        return {"data": {"name": name, "path": str(source)}}
    if is_world(str(source)) and not path.exists():
        return {"world": {"name": str(source)}}
    # The reader of tables refuses a table that does not exist, and its message names the nearest file.
    is_table = path.suffix.lower() in FORMATS["table"].suffixes
    name = "table" if is_table and not path.is_file() else recognise(path)
    if name is not None:
        return {"data": {"name": name, "path": str(source)}}
    if path.is_file() and (command := unpack_command(path)) is not None:
        raise DataError(f"{str(source)!r} is an archive, which is unpacked before: `{command}`")
    near = nearest(path.name, [*FORMATS, *WORLDS, *(neighbour.name for neighbour in path.parent.iterdir())]
                   if path.parent.is_dir() else [*FORMATS, *WORLDS])
    files = "; ".join(f"{key}: {', '.join(record.suffixes)}" for key, record in FORMATS.items() if record.suffixes)
    raise DataError(f"{str(source)!r} is no recipe (.toml, .yaml), folder of pictures, file of a format ({files}) or "
                    f"known data set or world.{near} Known data sets: {', '.join(FORMATS)}; worlds: "
                    f"{', '.join(WORLDS)}.")


def _with_source_of(of_yaml: YamlRecipe) -> recipes.Recipe:
    """The recipe of a YAML file, with the data that it names as other programs do."""
    if of_yaml.source is None:
        return of_yaml.recipe
    return recipe_for(of_yaml.source) | of_yaml.recipe


def is_run(name: Any) -> bool:
    """Whether a name is the path of a run folder."""
    return isinstance(name, str) and (Path(name).expanduser() / "recipe.toml").is_file()


def on_backbone_of_run(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe whose backbone is a run folder, with the backbone settings and the weights of that run.

    Settings of the recipe itself win. Recipes with another backbone come back as they are.
    """
    section = recipe.get("backbone", {})
    if not is_run(section.get("name")):
        return recipe
    folder, weights = Path(section["name"]).expanduser(), recipe.get("learner", {}).get("weights")
    if weights is not None:
        raise UserError(f"backbone.name={str(folder)!r} brings the weights of that run; got learner.weights="
                        f"{str(weights)!r} beside it: leave one of the two out")
    former = with_own_files(recipes.read_recipe(folder / "recipe.toml"), folder)
    backbone = former.get("backbone", {})
    if "name" not in backbone or str(backbone["name"]).startswith(BROUGHT):
        raise ModelError(f"{folder} was trained on a Python object as its backbone, which its files do not hold: from "
                         "Python, pass it again as backbone=... with settings={'learner.weights': ...}")
    cut = {"pruned": former["pruned"]} if "pruned" in former else {}
    return recipe | cut | {"backbone": backbone | section | {"name": backbone["name"]},
                     "learner": recipe.get("learner", {}) | {"weights": str(folder)}}


def fit_to_weights(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with the settings that follow from its starting weights.

    - A run folder as `learner.weights` gives its network and its task, where the recipe names none.
    - A run folder as `backbone.name` gives its network alone.
    - Published weights give their network.
    - All weights give the interpolation of the pictures that they were trained on.
    """
    for section in ("data", "backbone", "task"):
        name = recipe.get(section, {}).get("name")
        if name is not None and not isinstance(name, str):
            raise UserError(f"section [{section}]: name must be text; got {in_short(name)}")
    recipe = _with_network(recipe)
    weights, pictures = weights_named(recipe), recipe.get("pictures", {})
    if not weights or "interpolation" in pictures:
        return recipe
    folder = _run_of_weights(recipe)
    former = recipes.read_recipe(folder / "recipe.toml") if folder is not None else \
        None if is_word(weights) else network_of_weights(weights)
    if former is not None:
        interpolation = former.get("pictures", {}).get("interpolation")
    else:
        interpolation = interpolation_of(str(recipe.get("backbone", {}).get("name", "")))
    return recipe if interpolation is None else recipe | {"pictures": {**pictures, "interpolation": interpolation}}


def _with_network(recipe: recipes.Recipe) -> recipes.Recipe:
    recipe = _as_published(on_backbone_of_run(recipe))
    folder, weights = _run_of_weights(recipe), weights_named(recipe)
    if "backbone" in recipe:
        return recipe
    if folder is None:
        former = None if not weights or is_word(weights) else network_of_weights(weights)
        return recipe if former is None else _with_former(former, recipe)
    former = with_own_files(recipes.read_recipe(folder / "recipe.toml"), folder)
    if str(former.get("backbone", {}).get("name", "")).startswith(BROUGHT):
        return recipe
    return _with_former(former, recipe)


def _with_former(former: recipes.Recipe, recipe: recipes.Recipe) -> recipes.Recipe:
    return {name: former[name] for name in ("backbone", "pruned", "task") if name in former} | recipe


def _run_of_weights(recipe: recipes.Recipe) -> Path | None:
    """The run folder that the recipe names as its weights; None where it names none or something else."""
    weights = weights_named(recipe)
    folder = None if not weights or is_word(weights) else Path(weights).expanduser()
    return folder if folder is not None and (folder / "recipe.toml").is_file() else None


def _as_published(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with the network of the published weights that it names, and with the full name of these weights."""
    weights = weights_named(recipe)
    if weights == IMAGENET:
        named = {"name": next(iter(EMBEDDED))} | recipe.get("backbone", {})
        embedded(named["name"])    # raises where it has none
        return recipe | {"backbone": named}
    if not is_download(weights):
        return recipe
    backbone = recipe.get("backbone", {}).get("name") or backbone_named(weights)
    if backbone is None:
        raise UserError(f"learner.weights={weights!r} does not say of which network the weights are: name it too, as "
                        f"backbone.name=resnet18, or as learner.weights={DOWNLOAD}resnet18")
    name = published(weights, backbone).name
    return recipe | {"backbone": {"name": backbone} | recipe.get("backbone", {}),
                     "learner": recipe["learner"] | {"weights": f"{DOWNLOAD}{name}"}}


def anchored(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with absolute paths, so that later commands on the run folder work in any directory."""
    paths = [("data", "path"), ("data", "leave_out"), ("learner", "weights"), ("learner", "teacher"),
             ("backbone", "cfg"), ("world", "file")]
    for section, key in paths + [("plan", "mode")] * (recipe["plan"]["mode"] not in ("auto", "exact")):
        if key in recipe.get(section, {}) and not is_word(recipe[section][key]):
            recipe[section][key] = str(Path(recipe[section][key]).expanduser().absolute())
    for data in recipe.get("data", {}).get("sets", {}).values():
        for key in ("path", "leave_out"):
            if key in data:
                data[key] = str(Path(data[key]).expanduser().absolute())
    for named in (recipe.get("backbone", {}), recipe.get("world", {})):
        path, _, attribute = str(named.get("name", "")).rpartition(":")
        if path.endswith(".py"):
            named["name"] = f"{Path(path).expanduser().absolute()}:{attribute}"
    anchor_metrics(recipe)
    return recipe


def check_brought(recipe: recipes.Recipe, brought: list[str]) -> None:
    """Raises ModelError if the recipe needs data or a backbone from Python that are not in `brought`."""
    if "data" not in brought and recipe.get("data", {}).get("name") == NO_DATA:
        raise ModelError("this run was converted from files of another program and has no data of its own: train other "
                         "data from its weights, as in `lensmith train DATA --weights RUN`")
    for section in ("data", "backbone"):
        if section not in brought and str(recipe.get(section, {}).get("name", "")).startswith(BROUGHT):
            raise ModelError(f"this recipe is of a run on a Python object as its {section}: it can be trained from "
                             "Python alone, with lensmith.train")


