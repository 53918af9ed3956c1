"""A file of best weights that says what it is of: what is written into it, and its recipe where it is used alone."""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lensmith.base.errors import ModelError
from lensmith.engine.run_folder import NETWORK_FILE, about_best_file
from lensmith.recipe import schema as recipes
from lensmith.recipe.schema import BROUGHT, NO_DATA

SUFFIX = ".safetensors"
# What of data.json a network needs where it is used, and of its source what the classes are called in other files.
_ACCOUNT, _SOURCE = ("classes", "form", "kinds"), ("category_ids", "ids", "void")
# Settings that name files of the user's, or what the network began with.
_LEFT_OUT = (("learner", "weights"), ("learner", "teacher"), ("plan", "mode"))
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")


def is_model_file(name: str | Path) -> bool:
    """Whether a name is that of a file of weights, and not of a run folder."""
    return str(name).lower().endswith(SUFFIX) and not os.path.isdir(name)


def about_model(recipe: recipes.Recipe, account: Mapping[str, Any], plan: Mapping[str, Any], *, score_name: str,
                network_file: str | None = None) -> dict[str, Any]:
    """What best.safetensors says of itself, without the places of the user's files.

    recipe: as the run folder has it.
    account, plan: the content of data.json and of plan.json.
    network_file: the text of the file that the network is built from.
    """
    kept = deepcopy(recipe)
    for section, key in _LEFT_OUT:
        kept.get(section, {}).pop(key, None)
    source = account.get("source") or {}
    data = {name: account[name] for name in _ACCOUNT if name in account} | \
        {"source": {name: source[name] for name in _SOURCE if name in source}}
    wanted = ("device", "precision", "layout", "threads", "rewrites")
    return _plain({
        "version": version("lensmith"), "recipe": without_places(kept | {"data": {"name": NO_DATA}}), "data": data,
        "plan": {name: plan[name] for name in wanted}, "score_name": score_name,
        "files": {} if network_file is None else {NETWORK_FILE: network_file}})


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(content, default=str))
    return plain


def without_places(node: Any) -> Any:
    """Plain data in which every absolute path is its last step: a home folder says who somebody is."""
    if isinstance(node, dict):
        return {key: without_places(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [without_places(value) for value in node]
    if isinstance(node, str) and (os.path.isabs(node) or node.startswith("~") or _WINDOWS.match(node)):
        return re.split(r"[\\/]", node.rstrip("\\/"))[-1]
    return node


def recipe_in_file(file: Path, about: Mapping[str, Any]) -> recipes.Recipe:
    """The recipe of the network in a file, not yet resolved; its own code is looked for beside the file, then here.

    Raises ModelError where the file of that code is in neither place.
    """
    recipe: recipes.Recipe = deepcopy(about["recipe"])
    recipe["data"] = {"name": NO_DATA}    # whatever a stranger wrote there
    backbone = recipe.setdefault("backbone", {})
    name = str(backbone.get("name", ""))
    code, _, attribute = name.rpartition(":")
    if code.endswith(".py"):
        places = [file.absolute().parent / Path(code).name, Path.cwd() / Path(code).name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise ModelError(f"{file} is of the user's own network {name}: lay {Path(code).name} beside it, read it, "
                             "and if you trust it, say trust=True")
        backbone["name"] = f"{found}:{attribute}"
    return recipe


@contextmanager
def with_network_file(recipe: recipes.Recipe, about: Mapping[str, Any]) -> Iterator[recipes.Recipe]:
    """The recipe with the file that the network is built from, which lies in a temporary folder meanwhile."""
    text = about.get("files", {}).get(NETWORK_FILE)
    if recipe["backbone"].get("cfg") != NETWORK_FILE or text is None:
        recipe["backbone"].pop("cfg", None)    # a path of a stranger's choice is not opened
        yield recipe
        return
    with tempfile.TemporaryDirectory(prefix="lensmith-network-") as folder:
        path = Path(folder) / NETWORK_FILE
        path.write_text(text, encoding="utf-8")
        yield recipe | {"backbone": recipe["backbone"] | {"cfg": str(path)}}


def network_of_weights(weights: str) -> recipes.Recipe | None:
    """The sections [backbone], [pruned], [task] and [pictures] of a file that says what it is of; None for a file of
    tensors alone, and for a network that Python passed."""
    file = Path(weights).expanduser()
    if not is_model_file(file) or not file.is_file() or (about := _about_or_none(file)) is None:
        return None
    former = recipe_in_file(file, about)
    if str(former["backbone"].get("name", "")).startswith(BROUGHT):
        return None
    if about.get("files"):
        raise ModelError(f"{file} is of a network that a cfg of Darknet's describes: name its run folder as "
                         "learner.weights, or the cfg with backbone.name=darknet backbone.cfg=FILE")
    former["backbone"].pop("cfg", None)    # a path of a stranger's choice is not opened
    return {name: former[name] for name in ("backbone", "pruned", "task", "pictures") if name in former}


def classes_in_file(file: Path) -> dict[str, tuple[str, ...]]:
    """The class names by target of a file that says what it is of; {} for one of tensors alone."""
    about = _about_or_none(file)
    return {} if about is None else {target: tuple(names) for target, names in about["data"]["classes"].items()}


def _about_or_none(file: Path) -> dict[str, Any] | None:
    try:
        about: dict[str, Any] = about_best_file(file)["model"]
    except ModelError:    # tensors alone, which are read as such, or damaged, which their reader says
        return None
    return about
