"""A quick network for many small gray pictures, trained by folds: out-of-sample logits for every picture."""

import time
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from lensmith.base.pictures import Form
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.in_memory import InMemory
from lensmith.engine.evaluate import predictions
from lensmith.recipe import schema as recipes
from lensmith.recipe.assemble import Assembled, assemble
from lensmith.recipe.open_data import Data, Tell
from lensmith.recipe.sections import resolve
from lensmith.values.labels import Label, Tags

# Of recipes/fashion-fast.toml: a network that goes over each picture in strides of 4 and 2, with Muon.
_LAYERS = [
    {"conv": 64, "kernel": 6, "stride": 4, "padding": 1, "bias": False}, "batchnorm", "relu",
    {"conv": 64, "kernel": 3, "stride": 2, "padding": 1, "bias": False}, "batchnorm", "relu",
]
LEAST_EDGE = 12                    # pixels that its layers need
_SEEN = 150_000                    # pictures that it learns from in all,
_FEWEST, _MOST = 3, 30             # where that makes so many epochs
_WARMING, _TIMED = 5, 20           # steps before those by which the time is told, and these
_BATCH, _ASKED = 125, 500          # pictures that it learns from, and is asked about, at a time
_LEAST_FRACTION = 0.05             # of the pictures that it learns from where the time does not suffice for all
_SMALLEST_PROBABILITY = 1e-7
_TASKS = {"label": "classification", "tags": "tagging"}


def logits_by_folds(pictures: InMemory, folds: Tensor, form: Form, *, seconds: float, tell: Tell) -> Tensor:
    """float32 [n, classes]: of each picture what the network says that learned from the other folds.

    pictures: with one target, called `label` or `tags`.
    folds: int64 [n].
    form: that the pictures have.
    seconds: that it may take; it learns for fewer epochs, or from fewer pictures, where they do not suffice.
    """
    (target,) = pictures.targets
    number = int(folds.max()) + 1
    epochs, fraction = _length(pictures.subset((folds != 0).nonzero()[:, 0].tolist()), form, seconds / number)
    logits = torch.empty(0)
    for fold in range(number):
        tell(f"a probe learns from all folds but {fold + 1} of {number}")
        learned, held_out = ((folds != fold).nonzero()[:, 0], (folds == fold).nonzero()[:, 0])
        learned = learned[:: max(1, round(1 / fraction))]
        job = _job(pictures.subset(learned.tolist()), form, epochs)
        for _ in job.learner:
            pass
        said = torch.cat(list(_said(job, pictures.subset(held_out.tolist()), target)))
        logits = logits if len(logits) else torch.zeros(len(pictures), said.shape[1])
        logits[held_out] = said
    return logits


def _length(pictures: InMemory, form: Form, seconds: float) -> tuple[int, float]:
    """The epochs that a fold's network learns within `seconds`, and the fraction of the pictures that it learns from,
    told from a few steps."""
    usual = min(_MOST, max(_FEWEST, round(_SEEN / len(pictures))))
    job = _job(pictures, form, 1)
    began = time.perf_counter()
    for _ in islice(job.learner, _WARMING):
        pass
    began, steps = time.perf_counter(), 0
    for _ in islice(job.learner, _TIMED):
        steps += 1
    of_epoch = (time.perf_counter() - began) / max(1, steps) * len(job.learner.train)
    epochs = min(usual, int(seconds / max(of_epoch, 1e-9)))
    return max(1, epochs), 1.0 if epochs else max(_LEAST_FRACTION, seconds / of_epoch)


def _job(pictures: InMemory, form: Form, epochs: int) -> Assembled:
    (target,) = pictures.targets
    recipe: recipes.Recipe = {
        "data": {"name": "the checked set"}, "split": {"valid": 0.0}, "task": {"name": _TASKS[target]},
        "backbone": {"name": "stack", "layers": _LAYERS}, "loading": {"batch": _BATCH}, "learner": {"epochs": epochs},
        "optimizer": {"name": "muon", "rate": 0.03, "decay": 0.0, "other_rate": 0.015},
        "schedule": {"name": "linear", "warmup": 0.1}, "augment": {},
        # Nothing is timed: the network learns for seconds.
        "plan": {"precision": "float32", "layout": "channels_last", "compiled": False,
                 "threads": torch.get_num_threads()}}
    data = Data({"train": pictures}, form, {"kept": "memory"}, natural=form, pictures=len(pictures))
    return assemble(resolve(recipe, trusted=False, brought=["data"]), data)


def _said(job: Assembled, pictures: InMemory, target: str) -> Iterator[Tensor]:
    """The logits of the pictures, batch by batch: logarithms of the probabilities, or of their odds for tags."""
    for _, predicted, _ in predictions(job.learner.judged, job.task, Loader(pictures, _ASKED), plan=job.plan):
        value = predicted[target]
        assert isinstance(value, Label | Tags) and value.scores is not None
        scores = value.scores.clamp(_SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
        yield scores.log() if isinstance(value, Label) else scores.logit()
