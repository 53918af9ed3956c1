"""Makes the learner of a network that is placed, and the batches that it learns from."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from lensmith.data.batches.loader import Loader
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.frozen_features import Features
from lensmith.engine.plan.plan import Plan
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.network import Network
from lensmith.recipe import schema as recipes
from lensmith.recipe.make_optimizers import make_stepper
from lensmith.tasks.task import Task


def make_batches(loaders: Mapping[str, Loader], network: Network, plan: Plan, *, probe: bool) -> dict[str, Any]:
    """The batches of each split: of a `probe` with the maps of the network, which then takes maps itself."""
    loaders["train"].device = plan.device    # batches are augmented on the device that learns from them
    if not probe:
        return dict(loaders)
    batches = {split: Features(network, loader, plan=plan) for split, loader in loaders.items()}
    network.from_maps = True
    return batches


def make_learner(network: Network, recipe: recipes.Recipe, task: Task, batches: Mapping[str, Any], plan: Plan,
                 learning: LearningSettings, process_group: ProcessGroup) -> Supervised:
    """The learner of a network that is placed where the plan says."""
    return Supervised(network, task, batches["train"], valid=batches.get("valid"),
                      stepper=make_stepper(recipe, network, plan), plan=plan, settings=learning,
                      process_group=process_group)


def copy_of(network: Network, plan: Plan) -> Network:
    """A copy of a placed network that computes as it does."""
    copied = deepcopy(network)
    if plan.compiled:    # A copy is not compiled.
        copied.compile(dynamic=False)
    return copied
