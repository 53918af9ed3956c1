"""How an exported file that fits pictures itself compares with the run, whose pictures the canonical decode makes."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lensmith.base.pictures import Place
from lensmith.data.sources.fitting import in_files, trimmed
from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import evaluate
from lensmith.ship.export.any_size import FITTED, fitting_model, trims
from lensmith.ship.export.in_graph import judged
from lensmith.ship.export.parity import Parity, parities
from lensmith.ship.predict.own_size import at_own_size
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.ship.runtimes.file_network import FileNetwork, FileTask, network_in
from lensmith.training.trained import Trained

WITHIN = 0.999    # the fraction of pixels from which the file fits pictures as training does


@dataclass
class FittingParity:
    """How far apart the pictures are, counted over their numbers."""

    numbers: int = 0
    within_one: int = 0    # those at most one grey level apart
    largest: int = 0       # grey levels
    total: int = 0
    score_name: str | None = None
    score_of_run: float | None = None     # where the pictures differ, on the same ones
    score_of_file: float | None = None

    @property
    def agreement(self) -> float:
        return self.within_one / max(1, self.numbers)

    def add(self, expected: Tensor, found: Tensor) -> None:
        """Count two pictures [1, channels, height, width]. Those of two sizes have no pixel in common."""
        self.numbers += expected.numel()
        if expected.shape == found.shape:
            apart = (expected.int() - found.int()).abs()
            self.within_one += int((apart <= 1).sum())
            self.largest, self.total = max(self.largest, int(apart.amax())), self.total + int(apart.sum())

    def as_json(self) -> dict[str, Any]:
        return {"within_one_level": self.agreement, "largest_difference": self.largest,
                "mean_difference": self.total / max(1, self.numbers), "score_name": self.score_name,
                "score_of_run": self.score_of_run, "score_of_file": self.score_of_file}


def compare_fitting(trained: Trained, facts: FileFacts, file: Path, runtimes: Sequence[str],
                    batches: Sequence[Batch], root: Path | None) -> dict[str, tuple[dict[str, Parity], FittingParity]]:
    """How the file answers in each runtime: beside the run's answers to the very pictures that the file makes, by
    target and in the files' pixels; and how these pictures compare with those of the canonical decode, with the scores
    of both where they differ. `batches` and `root` as of `at_own_size`."""
    with tempfile.TemporaryDirectory() as folder:
        fitting = Path(folder) / "fitting.onnx"
        fitting.write_bytes(fitting_model(facts).SerializeToString())
        inner = replace(facts, fits_inside=False, any_size=True)
        return {name: _compare(trained, facts, network_in(file, facts, name), network_in(fitting, inner, name), batches,
                               list(at_own_size(batches, facts.form, root))) for name in runtimes}


@torch.inference_mode()
def _compare(trained: Trained, facts: FileFacts, network: FileNetwork, fit: FileNetwork, batches: Sequence[Batch],
             own: Sequence[Batch]) -> tuple[dict[str, Parity], FittingParity]:
    task = FileTask(trained.task, facts)
    ours, of_answers, of_pictures = judged(trained.task), parities(facts.targets), FittingParity()
    shown = task.with_thresholds(0.0, None)
    for canonical, single in zip(_singles(batches), own, strict=True):
        size = (single.images.shape[2], single.images.shape[3])
        place = Place("", size)    # of what was not read again from its file
        if len(canonical.places) and canonical.places[0].size == size:
            place = canonical.places[0]
        canonical = replace(canonical, places=[place], targets={})
        canonical = trimmed(canonical) if trims(facts) else canonical
        brought = fit(single.images)[FITTED]
        of_pictures.add(canonical.images, brought)
        expected = in_files(ours.decode(trained.network(brought)), canonical.places)
        answers = shown.decode(network(single.images))
        for name, parity in of_answers.items():
            value = expected[name].to("cpu")
            parity.add(type(value).stack([value[0].in_file(canonical.places[0], facts.form.size)]), answers[name])
    if of_pictures.agreement < WITHIN and batches[0].targets:
        of_pictures.score_name = trained.task.score
        of_pictures.score_of_run, of_pictures.score_of_file = (
            evaluate(some, its_task, pictures, plan=trained.plan).get(trained.task.score) for some, its_task, pictures
            in ((trained.network, trained.task, batches), (network, task, own)))
    return of_answers, of_pictures


def _singles(batches: Sequence[Batch]) -> list[Batch]:
    return [batch.take(torch.tensor([row])) for batch in batches for row in range(len(batch))]
