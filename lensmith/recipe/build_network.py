"""The network of a recipe: with fresh weights, and of a run folder with those that it learned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lensmith.base.device import check_picture_fits
from lensmith.base.errors import ModelError, UserError, described, no_memory
from lensmith.base.hashed_random import seed_of
from lensmith.base.pictures import Form, form_of
from lensmith.engine.run_folder import BEST_FILE, Run, about_best_file, read_best_file
from lensmith.models.adapters.whole_network import adopt
from lensmith.models.backbone import Backbone
from lensmith.models.backbones import find_backbone
from lensmith.models.first_weights import fit_first_weights
from lensmith.models.network import Network
from lensmith.models.room import check_room
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode
from lensmith.models.weights import load_into
from lensmith.models.widths import INPUTS, OUTPUTS, Widths, narrow
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.model_file import recipe_in_file, with_network_file
from lensmith.recipe.run_recipe import check_whole, recipe_of_run, resolve_learned
from lensmith.recipe.sections import arguments_of
from lensmith.tasks.task import Task

BACKBONE, HEAD = "backbone.", "head."    # what the names of a network's tensors begin with
_USUAL = 1024    # edges of pictures and widths of heads up to which no network here is beyond any memory
_WEIGHTS = 3    # the random stream of the first weights, another one than those of the order and the augmentation


@dataclass(frozen=True)
class LearnedNetwork:
    """The network of a run folder with its best weights, on the CPU, and what it answers."""

    run: Run
    recipe: recipes.Recipe
    network: Network
    task: Task
    classes: dict[str, tuple[str, ...]]
    form: Form
    facts: Mapping[str, Any] = field(default_factory=dict)    # data.json


def build_network(recipe: recipes.Recipe, task: Task, form: Form, *, outputs: int, mean: list[float],
                  deviation: list[float], module: nn.Module | None = None, trusted: bool = True) -> Network:
    """The network of a resolved recipe with fresh weights, which depend on the run's seed alone.

    `module` is a backbone that a Python caller passes.
    """
    section = recipe["backbone"]

    def build() -> Network:
        backbone = adopt(module, inputs=form.channels, size=form.size) if module is not None else \
            recipes.call(arguments_of(section), find_backbone(section["name"], trusted=trusted),
                         inputs=form.channels, size=form.size, outputs=outputs)
        cut = recipe.get("pruned", {})
        widths = Widths(cut.get(OUTPUTS, {}), cut.get(INPUTS, {}))
        if cut:
            _cut_backbone(backbone, widths, form)
        network = Network(backbone, task.head(backbone), mean=mean, deviation=deviation)
        if cut:
            _cut_head(network, widths, form)
        if recipe["learner"].get("first_weights") == "fitted" and not network.mean.is_meta:
            fit_first_weights(network, torch.zeros(2, form.channels, *form.size))
        return network

    if module is None and _may_be_large(recipe, form):
        check_room(build, f"backbone {section['name']!r} with a head for task {recipe['task']['name']!r}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(recipe["run"]["seed"], _WEIGHTS))
        try:
            return build()
        except (OverflowError, ZeroDivisionError, IndexError, TypeError, ValueError, RuntimeError) as error:
            if module is not None or isinstance(error, UserError) or no_memory(error):
                raise
            raise ModelError(f"backbone {section['name']!r} cannot be built with these settings for pictures of "
                             f"{form.height} x {form.width} pixels ({described(error)})") from error


def _cut_backbone(backbone: Backbone, widths: Widths, form: Form) -> None:
    """Cut a backbone to the widths of section [pruned], and tell it the channels that its maps then have, for any head.
    Raises ModelError where they are not of this backbone, or do not go together."""
    narrow(backbone, widths.below(BACKBONE), front=BACKBONE)
    try:
        with in_evaluation_mode(backbone):
            maps = backbone(torch.zeros(1, form.channels, *form.size))
        backbone.channels = tuple(level.shape[1] for level in maps)
    except REFUSALS as error:
        raise _apart(error) from error


def _cut_head(network: Network, widths: Widths, form: Form) -> None:
    """Cut the head to the widths of section [pruned], as far as it has the layers: another task has another head."""
    narrow(network.head, widths.below(HEAD).of_layers(network.head), front=HEAD)
    if network.mean.is_meta:
        return
    try:
        with in_evaluation_mode(network):
            network(torch.zeros((1, form.channels, *form.size), dtype=form.dtype))
    except REFUSALS as error:
        raise _apart(error) from error


def _apart(error: Exception) -> ModelError:
    return ModelError(f"the channels in section [pruned] do not go together ({described(error)}): put the file back, "
                      "or compress the network again")


def _may_be_large(recipe: recipes.Recipe, form: Form) -> bool:
    """Whether settings could ask for a network of any size: those of torchvision and timm, and code of the user's own,
    have sizes of their own."""
    section, task = arguments_of(recipe["backbone"]), arguments_of(recipe["task"])
    chosen = "cfg" in section or not all(isinstance(value, bool | str) for value in section.values())
    return ":" not in recipe["backbone"]["name"] and (
        chosen or max(form.size) > _USUAL or any(isinstance(value, int) and value > _USUAL for value in task.values()))


def network_of_run(run: Run, *, module: nn.Module | None = None, trusted: bool = False) -> LearnedNetwork:
    """The network that a run has learned. The parameters are as of `build_network`.

    Raises ModelError for a folder that is incomplete or damaged.
    """
    recipe = recipe_of_run(run, module=module, data=True, trusted=trusted)
    check_whole(recipe, f"{run.folder / 'recipe.toml'}")
    return _learned(run, recipe, run.read_json("data.json"), f"{run.folder / 'data.json'}", run.read_best,
                    module=module, trusted=trusted)


def network_of_file(file: Path, *, module: nn.Module | None = None, trusted: bool = False) -> LearnedNetwork:
    """The network of a file of best weights, which says itself what it is of. The parameters are as of `build_network`.

    Raises ModelError for a file that is damaged, of an older version that does not say it, or of code that is not here.
    """
    content = about_best_file(file)
    about = content["model"]
    where = f"the recipe in {file}"
    with with_network_file(recipe_in_file(file, about), about) as written:
        recipe = resolve_learned(written, str(file), where, module=module, data=True, trusted=trusted)
        check_whole(recipe, where)
        facts = {**about["data"], "scores": content["scores"], "plan": about["plan"]}
        return _learned(Run(file), recipe, facts, str(file), partial(read_best_file, file), module=module,
                        trusted=trusted)


def _learned(run: Run, recipe: recipes.Recipe, facts: Mapping[str, Any], where: str, read: Callable[[], dict[str, Any]],
             *, module: nn.Module | None, trusted: bool) -> LearnedNetwork:
    """The network of a resolved recipe with the weights that are `read`; its classes and its form stand in `facts`."""
    try:
        classes = {name: tuple(names) for name, names in facts["classes"].items()}
        form = form_of(facts["form"])
        check_picture_fits(form.channels, form.height, form.width)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{where} is incomplete ({error}): train again") from error
    task = choose_task(recipe, classes)
    best = read()
    network = build_network(recipe, task, form, outputs=len(classes[task.needs[0]]), mean=[0.0] * form.channels,
                            deviation=[1.0] * form.channels, module=module, trusted=trusted)
    load_into(network, best["network"], what=str(run.folder if run.folder.is_file() else run.folder / BEST_FILE))
    return LearnedNetwork(run, recipe, network.eval(), task, classes, form, facts)
