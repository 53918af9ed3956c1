"""Fits the head of a network with starting weights before all of it learns, from maps that are computed once."""

import time
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lensmith.base.errors import count
from lensmith.base.hashed_random import HEAD, hashed
from lensmith.base.progress import duration
from lensmith.data.batches.loader import Loader
from lensmith.engine.frozen_features import Features
from lensmith.engine.plan.plan import Plan
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.freeze import freeze
from lensmith.models.network import Network
from lensmith.recipe import schema as recipes
from lensmith.recipe.defaults import HEAD_RATE
from lensmith.recipe.make_optimizers import make_stepper
from lensmith.recipe.sections import DEFAULTS, OPTIMIZER, named_entry
from lensmith.tasks.task import Task

_MOST = 5_000    # pictures, chosen by hash: a head has learned what it can from so many


@dataclass(frozen=True)
class FittedHead:
    """A head that has learned, its training loss, and a line that says so."""

    state: dict[str, Tensor]
    loss: float
    note: str


def fit_head(network: Network, recipe: recipes.Recipe, loader: Loader, task: Task, plan: Plan) -> FittedHead:
    """The head of the network after `learner.head_first` epochs in which the backbone stood still.

    A head that begins anew sends large and meaningless gradients into a backbone that has learned (Kumar et al. 2022,
    "Fine-tuning can distort pretrained features", arXiv 2202.10054). The backbone computes the maps of at most 5,000
    training pictures once, not augmented. `network`, which is placed where the `plan` says, is changed in place.
    """
    settings, began = recipe["learner"], time.perf_counter()
    alone = {"learner": settings | {"average": 0.0, "clip": 0.0, "depth_decay": 1.0, "groups": None},
             "optimizer": named_entry("optimizer", {"name": OPTIMIZER, "rate": HEAD_RATE}, trusted=True),
             "schedule": named_entry("schedule", DEFAULTS["schedule"], trusted=True)}
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    frozen = network.frozen
    freeze(network, "backbone")
    features = Features(network, _some(loader), plan=plan)
    network.from_maps = True
    learner = Supervised(network, task, features, valid=None, stepper=make_stepper(alone, network, plan), plan=plan,
                         settings=LearningSettings(settings["head_first"], seed=recipe["run"]["seed"]))
    reports = list(learner)
    network.from_maps = False
    for parameter in learning:
        parameter.requires_grad_(True)
    network.frozen = frozen
    network.train(network.training)
    loss = reports[-1].loss
    return FittedHead({name: tensor.cpu() for name, tensor in network.head.state_dict().items()}, loss,
                      f"the head learned first: {count(settings['head_first'], 'epoch')} on the maps of "
                      f"{count(len(features.loader.dataset), 'picture')}, computed once, in "
                      f"{duration(time.perf_counter() - began)}; its loss fell to {loss:.3g}")


def _some(loader: Loader) -> Loader:
    """The loader of some of the training pictures, as they are."""
    some: Any = copy(loader)
    some.augment, some.dropped = None, {}
    if len(some.dataset) > _MOST:
        rows = hashed(np.arange(len(some.dataset)), HEAD).argsort()[:_MOST]
        some.dataset, some.weights = some.dataset.subset(sorted(rows.tolist())), None
    return some
