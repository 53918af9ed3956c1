"""The recipe in a run folder, and the file that its network is built from."""

import shutil
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError, UserError
from lensmith.engine.run_folder import FIRST_WEIGHTS_FILE, LEAVE_OUT_FILE, NETWORK_FILE, Run
from lensmith.recipe import schema as recipes
from lensmith.recipe.play_sections import is_play
from lensmith.recipe.schema import BROUGHT
from lensmith.recipe.sections import resolve

# What a run does whose recipe was written before the setting was there, and would now get another default.
_BEFORE = (("learner", "head_first", 0), ("pictures", "values", "clipped"), ("pictures", "most_pixels", 89_000_000),
           ("split", "objects", False))
# What depends on the data and stands in the recipe of every run.
_WRITTEN_OUT = (("loading", "batch"), ("learner", "epochs"), ("learner", "average"), ("augment", None),
                ("optimizer", None), ("task", "name"))
# The same of a task of masks, which `gamma` tells, alone or among several, where it lacks the first of these.
_MASKS_BEFORE = {"kernel": 1, "class_weights": "none"}


def recipe_of_run(run: Run, *, module: nn.Module | None, data: Any, trusted: bool) -> recipes.Recipe:
    """The resolved recipe of a run folder. Raises ModelError if the Python caller has to pass an object again."""
    recipe = with_own_files(recipes.read_recipe(run.folder / "recipe.toml"), run.folder)
    if is_play(recipe):
        raise UserError(f"{run} has learned to play, and this is for networks that learned from pictures: `lensmith "
                        f"play {run}` shows what it does, `lensmith val {run}` measures it")
    return resolve_learned(recipe, str(run), f"{run.folder / 'recipe.toml'}", module=module, data=data, trusted=trusted)


def resolve_learned(recipe: recipes.Recipe, name: str, where: str, *, module: nn.Module | None, data: Any,
                    trusted: bool) -> recipes.Recipe:
    """The resolved recipe of the run or file `name`, which stands in `where`. Raises ModelError as `recipe_of_run`."""
    brought = [section for section in ("data", "backbone")
               if str(recipe.get(section, {}).get("name", "")).startswith(BROUGHT)]
    for section, argument in (("data", data), ("backbone", module)):
        if section in brought and argument is None:
            raise ModelError(f"{name} was trained on a Python object as its {section}: from Python, pass it again as "
                             f"{section}=...")
    if not recipe.get("backbone"):
        raise ModelError(f"{where} is damaged (it names no backbone): put it back, or train again")
    _complete_as_before(recipe)
    try:
        return resolve(recipe, trusted=trusted, brought=brought)
    except ModelError:
        raise
    except UserError as error:
        raise ModelError(f"{where} does not fit this version: {error}") from error


def check_whole(recipe: recipes.Recipe, where: str) -> None:
    """Raises ModelError where a resolved recipe lacks what every training has written out."""
    lacking = [section if key is None else f"{section}.{key}" for section, key in _WRITTEN_OUT
               if section not in recipe or (key is not None and key not in recipe[section])]
    if lacking:
        raise ModelError(f"{where} is damaged (it lacks {', '.join(lacking)}): put it back, or "
                         "train again")


def _complete_as_before(recipe: recipes.Recipe) -> None:
    for section, key, value in _BEFORE:
        recipe.setdefault(section, {}).setdefault(key, value)
    task = recipe.get("task", {})
    of_parts = task.get("settings")    # not checked yet, so that it may be anything
    for settings in (task, *(of_parts.values() if isinstance(of_parts, dict) else ())):
        if isinstance(settings, dict) and "gamma" in settings and "kernel" not in settings:
            settings.update(_MASKS_BEFORE | settings)


def with_own_files(recipe: recipes.Recipe, folder: Path) -> recipes.Recipe:
    """The recipe of a run folder with the paths of the files that `keep_files` has put there, wherever the folder is
    now."""
    if recipe.get("backbone", {}).get("cfg") == NETWORK_FILE:
        recipe["backbone"]["cfg"] = str((folder / NETWORK_FILE).absolute())
    if recipe.get("learner", {}).get("weights") == FIRST_WEIGHTS_FILE:
        recipe["learner"]["weights"] = str((folder / FIRST_WEIGHTS_FILE).absolute())
    for section, file in _lists(recipe.get("data", {})):
        if section["leave_out"] == file:
            section["leave_out"] = str((folder / file).absolute())
    return recipe


def keep_files(recipe: recipes.Recipe, run: Run) -> recipes.Recipe:
    """Copy the file that the network is built from, the weights that a pruned one begins with and the lists of pictures
    to leave out into the run folder, and return the recipe that names the copies."""
    if not run.writes:
        return recipe
    kept = deepcopy(recipe)
    if "cfg" in kept["backbone"]:
        write_atomic(run.folder / NETWORK_FILE, partial(shutil.copyfile, kept["backbone"]["cfg"]))
        kept["backbone"]["cfg"] = NETWORK_FILE
    weights = kept["learner"].get("weights")
    if "pruned" in kept and weights is not None and Path(weights).is_file():
        write_atomic(run.folder / FIRST_WEIGHTS_FILE, partial(shutil.copyfile, weights))
        kept["learner"]["weights"] = FIRST_WEIGHTS_FILE
    for section, file in _lists(kept.get("data", {})):
        write_atomic(run.folder / file, partial(shutil.copyfile, section["leave_out"]))
        section["leave_out"] = file
    return kept


def _lists(data: recipes.Section) -> list[tuple[recipes.Section, str]]:
    """Each section of the data that names a list of pictures to leave out, with the name of its copy in a run
    folder."""
    sections = [(data, LEAVE_OUT_FILE)]
    sets = data.get("sets")
    for part, section in (sets.items() if isinstance(sets, dict) else ()):
        if isinstance(section, dict):
            sections.append((section, f"{part}-{LEAVE_OUT_FILE}"))
    return [(section, file) for section, file in sections if section.get("leave_out") is not None]
