"""A recipe and its data -> a loader for each split."""

import os

import torch

from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.subsets import balancing_weights, by_shape, narrowed
from lensmith.engine.distributed.process_group import Team
from lensmith.recipe import schema as recipes
from lensmith.recipe.open_data import Data
from lensmith.tasks.task import Task


def make_loaders(recipe: recipes.Recipe, data: Data, task: Task, team: Team | None = None) -> dict[str, Loader]:
    """A loader for each split, of what is this process's part in a `team`; the training one shuffles and augments, the
    others neither."""
    settings, seed, team = recipe["loading"], recipe["run"]["seed"], team or Team()
    workers = settings.get("workers")
    if workers is None:
        workers = 0 if data.account["kept"] != "not" else max(1, min(4, os.cpu_count() or 1) // team.local_count)
    rectangular = settings.get("rectangular")
    if rectangular is None:
        rectangular = data.form.fit == "pad" and task.needs == ("boxes",)
    loaders = {}
    for part, source in data.splits.items():
        narrow = narrowed(source, task.needs)
        if part != "train":
            # Small pictures are measured in larger batches: nothing is learned there, so it changes no result.
            pixels = data.form.channels * data.form.height * data.form.width
            batch = max(settings["batch"], min(512, (1 << 20) // pixels))
            if team.count > 1:    # in the order in which one process measures them: its batches then
                order = by_shape(narrow) if rectangular else torch.arange(len(narrow))
                narrow = narrow.subset([int(order[at]) for at in team.rows(len(narrow), batch)])
            loaders[part] = Loader(narrow, batch, workers=workers, rectangular=rectangular)
            continue
        augment = Augment(**recipe["augment"], seed=seed, classes=source.classes, length=len(source),
                          epochs=recipe["learner"]["epochs"])
        weights = balancing_weights(source, task.needs) if settings["balance"] else None
        loaders[part] = Loader(narrow, settings["batch"], seed=seed, shuffle=True, weights=weights,
                               augment=augment if augment.changes else None, workers=workers,
                               part=(team.rank, team.count))
    return loaders
