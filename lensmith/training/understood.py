"""What a training has understood, in one line before its first step: data, task, network, and what it begins with."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lensmith.base.errors import count
from lensmith.base.pictures import Form
from lensmith.data.sources.kinds import TARGETS
from lensmith.data.sources.unknown_targets import known_in
from lensmith.engine.run_folder import Run
from lensmith.engine.supervised import Supervised
from lensmith.models.adapters.embedded_weights import IMAGENET
from lensmith.models.adapters.published_weights import is_download
from lensmith.recipe import schema as recipes
from lensmith.recipe.open_data import Data
from lensmith.recipe.schema import BROUGHT
from lensmith.recipe.sections import learned_targets, weights_named
from lensmith.values import KINDS

_SPLITS = ("train", "valid", "test")    # in the order in which they are named
# The names, without suffixes, that the files have by which programs describe a set.
_OF_EVERY_SET = ("data", "dataset", "obj", "labels", "annotations", "_annotations.coco", "_classes")


def understood(recipe: recipes.Recipe, data: Data) -> str:
    """`pets: 3 classes of 600 pictures (480 train, 60 valid, 60 test); classification by lenet from scratch at 32
    pixels`, of a complete recipe."""
    return f"{data_name(recipe)}: {_data_in_words(data.splits, learned_targets(recipe, data.classes))}; " \
        f"{recipe['task']['name']} by {_network_in_words(recipe)} at {_size_in_words(data.form)}" \
        f"{_learning_in_words(recipe['learner'])}"


def data_name(recipe: recipes.Recipe) -> str:
    """What the data of a recipe are called: the stem of their path, or the name of the set. A file that is called as
    such files are in every set, as data.yaml, has the name of its folder."""
    path = Path(recipe["data"].get("path") or recipe["data"]["name"])
    if path.suffix and path.stem.lower() in _OF_EVERY_SET and path.absolute().parent.name:
        return path.absolute().parent.name
    return path.stem.removeprefix(BROUGHT)


def listing_command(run: Run, recipe: recipes.Recipe) -> str:
    """What lists every file that was left out of a run's data or changed: a command, or data.json where the data came
    as a Python object."""
    if recipe["data"]["name"].startswith(BROUGHT):
        return str(run.folder / "data.json")
    return shlex.join(["lensmith", "data", "show", str(run.folder), "--all"])


def goes_on(learner: Supervised, *, saved: bool) -> str:
    """What a resumed run goes on with and from where: `epoch 5 of 10, at step 35 of 80`. Without `saved` it was killed
    before its first checkpoint."""
    if not saved:
        return "begins anew: it had not saved anything yet"
    if learner.epoch == learner.settings.epochs:
        return f"has learned all of its {count(learner.epoch, 'epoch')}"
    return f"goes on with epoch {learner.epoch + 1} of {learner.settings.epochs}, at step {learner.stepper.done:,} " \
        f"of {learner.steps:,}"


def _data_in_words(splits: Mapping[str, Any], needs: Sequence[str]) -> str:
    """`3 classes of 600 pictures (480 train, 60 valid, 60 test)`; of several targets each by its name."""
    ordered = sorted(splits, key=lambda split: _SPLITS.index(split) if split in _SPLITS else len(_SPLITS))
    sources = [splits[split] for split in ordered]
    pictures = sum(map(len, sources))
    parts = []
    for target in needs:
        values = [source.targets[target] for source in sources]
        words = TARGETS[values[0].kind].known_in_words(values, sources[0].classes[target])
        known = sum(int(known_in(source, target).sum()) for source in sources)
        partly = "" if known == pictures else f" in {known:,}"
        parts.append(f"{words}{partly}" if len(needs) == 1 else
                     f"{target} ({words.removeprefix(f'{target} ')}{partly})")
    objects = any(KINDS[sources[0].targets[target].kind].spatial for target in needs)
    split_words = ", ".join(f"{len(source):,} {split}" for split, source in zip(ordered, sources, strict=True))
    return f"{', '.join(parts)} {'in' if objects else 'of'} {count(pictures, 'picture')} ({split_words})"


def _network_in_words(recipe: recipes.Recipe) -> str:
    """`lenet from scratch`, `resnet18 from weights of FILE`"""
    name, weights = recipe["backbone"]["name"], weights_named(recipe)
    if weights == IMAGENET:
        beginning = "from ImageNet weights"
    elif weights is not None:
        file = weights if (Path(weights) / "recipe.toml").is_file() else Path(weights).name    # of a run its folder
        beginning = f"from published weights ({weights})" if is_download(weights) else f"from weights of {file}"
    else:
        beginning = "as it was passed" if name.startswith(BROUGHT) else "from scratch"
    return f"{name.removeprefix(BROUGHT)} {beginning}"


def _size_in_words(form: Form) -> str:
    """`224 pixels`, `240 x 320 pixels, gray`"""
    size = f"{form.height}" if form.height == form.width else f"{form.height} x {form.width}"
    return f"{size} pixels" + (", gray" if form.channels == 1 else "")


def _learning_in_words(learner: recipes.Section) -> str:
    """What learns where that is not the whole network, with a comma before it: `, the head alone`."""
    if learner["probe"]:
        return ", the head alone"
    if learner.get("head_first") or "unfreeze" in learner:
        return ", head first"
    frozen = learner.get("freeze")
    return "" if frozen is None else f", with {frozen} frozen" if not str(frozen).isdigit() else \
        f", with {count(int(frozen), 'block')} frozen"
