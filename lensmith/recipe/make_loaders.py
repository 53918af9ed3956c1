"""Makes a loader for each split from a recipe and its data."""

import os

import torch

from lensmith.base.pictures import PADDING
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.subsets import balancing_weights, by_shape, narrowed
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.recipe import schema as recipes
from lensmith.recipe.open_data import Data
from lensmith.tasks.task import Task


def make_loaders(recipe: recipes.Recipe, data: Data, task: Task,
                 process_group: ProcessGroup | None = None) -> dict[str, Loader]:
    """A loader for each split, over the samples of this process of the `process_group`.

    The loader of the training split shuffles and augments.
    """
    settings, seed, process_group = recipe["loading"], recipe["run"]["seed"], process_group or ProcessGroup()
    workers = settings.get("workers")
    if workers is None:
        cores = min(4, os.cpu_count() or 1)
        workers = 0 if data.account["kept"] != "not" else max(1, cores // process_group.local_world_size)
    rectangular = settings.get("rectangular")
    if rectangular is None:
        rectangular = data.form.fit == "pad" and task.needs == ("boxes",)
    loaders = {}
    for split, source in data.splits.items():
        task_source = narrowed(source, task.needs)    # without targets that the task does not read
        if split != "train":
            # Small pictures are measured in larger batches. Nothing is learned from them, so no result changes.
            pixels = data.form.channels * data.form.height * data.form.width
            batch = max(settings["batch"], min(512, (1 << 20) // pixels))
            if process_group.world_size > 1:
                # In the order in which a single process measures them, so that the batches are the same as its batches.
                order = by_shape(task_source) if rectangular else torch.arange(len(task_source))
                task_source = task_source.subset([int(order[position]) for position in
                                                  process_group.rows(len(task_source), batch)])
            loaders[split] = Loader(task_source, batch, workers=workers, rectangular=rectangular)
            continue
        augment = Augment(**recipe["augment"], seed=seed, classes=source.classes, length=len(source),
                          epochs=recipe["learner"]["epochs"], padding=data.form.level(PADDING))
        weights = balancing_weights(source, task.needs) if settings["balance"] else None
        loader = Loader(task_source, settings["batch"], seed=seed, shuffle=True, weights=weights,
                        augment=augment if augment.is_on else None, workers=workers)
        loaders[split] = loader.for_process(process_group.rank, process_group.world_size)
    return loaders
