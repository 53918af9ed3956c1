"""A trained classifier in its fully convolutional form, as a run folder of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lensmith.base.errors import ModelError, UserError
from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import Run
from lensmith.models.network import Network
from lensmith.models.rewrites.fully_convolutional import convolutional, disagreement
from lensmith.recipe import schema as recipes
from lensmith.recipe.run_recipe import keep_files
from lensmith.ship.export.converted_run import write_converted
from lensmith.tasks.task import Task

_ROUNDING = 1e-5    # fraction of the largest score by which the scores at the training size may differ


def write_convolutional(source: Run, folder: Path, *, recipe: recipes.Recipe, network: Network, task: Task, form: Form,
                        plan: Plan, command: str) -> tuple[Run, tuple[int, int]]:
    """A new run folder with the fully convolutional form of a run's network, which takes any size from the form's on.

    -> the run, and the (height, width), in cells of the last map, of the window that it scores. Raises UserError for a
    run of another task, ModelError for a network that has no such form.
    """
    _check(source, recipe, task)
    network = network.eval().to("cpu")
    with torch.no_grad():
        pictures = network.standardise(torch.zeros(1, form.channels, *form.size))
        shape = network.backbone(pictures)[-1].shape
    if len(shape) != 4:
        raise ModelError(f"{source}: the network came whole, from pictures to scores, so that its last map cannot be "
                         "seen: only a backbone with a head has a fully convolutional form")
    channels, window = shape[1], (shape[2], shape[3])
    try:
        head = convolutional(network.head, channels, window).eval()
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    if not disagreement(network.head, head, channels, window) < _ROUNDING:
        raise ModelError(f"{source}: the head of backbone {recipe['backbone']['name']!r} scores something else than "
                         "the mean of its map, in a way that cannot be seen: it has no fully convolutional form")
    changed = {name: dict(section) for name, section in recipe.items()}
    changed["task"]["window"] = list(window)
    whole = Network(network.backbone, head, mean=[0.0] * form.channels, deviation=[1.0] * form.channels)
    whole.mean.copy_(network.mean)
    whole.deviation.copy_(network.deviation)
    run = Run.create(folder.parent, name=folder.name, fallback="")
    account: Mapping[str, Any] = source.read_json("data.json")
    write_converted(run, recipe=keep_files(changed, run), plan=plan, account=account, network=whole, task=task,
                    command=command, reason=f"from {source.folder.absolute()}")
    return run, window


def _check(source: Run, recipe: recipes.Recipe, task: Task) -> None:
    if recipe["task"]["name"] != "classification":
        raise UserError(f"the fully convolutional form is for runs of task 'classification'; {source} is one of "
                        f"{recipe['task']['name']!r}")
    if task.window is not None:
        raise UserError(f"{source} is fully convolutional already: lensmith predict {source} takes pictures of any "
                        "size from that of its training on")
