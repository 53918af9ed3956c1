"""A network in a file in the place of one of PyTorch: its output is named tensors, and its task reads them."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.device import free_memory
from lensmith.base.errors import ModelError, UserError
from lensmith.base.pictures import PADDING, fit_of
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.candidates import FLOAT32, Candidate
from lensmith.ship.runtimes.checked_file import CheckedFile
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.ship.runtimes.foreign_file import ForeignFile
from lensmith.ship.runtimes.named_tensors import value_in
from lensmith.ship.runtimes.runtime import OpenFile
from lensmith.ship.runtimes.torch_plans import OfTorch
from lensmith.tasks.nms import SHOWN
from lensmith.tasks.task import Metrics, Task
from lensmith.values.value import Value

_SIZE = "height and width"    # in the outputs, of the pictures that went in; no target has such a name


class FileNetwork(nn.Module):
    """Pictures as they are -> the outputs of the file by name, or those of PyTorch where `run` has chosen it."""

    def __init__(self, run: Callable[[Tensor], Any], facts: FileFacts | None, *,
                 account: Callable[[], list[dict[str, Any]]] = list):
        """
        run: from pictures to an output.
        facts: those of the file, to whose size smaller pictures are padded; None where `run` does that.
        account: says as JSON by which runtimes, precisions and threads it computes.
        """
        super().__init__()
        self.run, self.facts, self.account = run, facts, account

    def forward(self, pictures: Tensor) -> Any:
        if self.facts is None:
            return self.run(pictures)
        if self.facts.fits_inside:    # one at a time
            size = torch.tensor([pictures.shape[2:]])
            return _stacked([self.run(picture) | {_SIZE: size} for picture in pictures.split(1)])
        return self.run(as_the_file_takes(pictures, self.facts))


def _stacked(outputs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The outputs [1, ...] of several pictures as those of a batch; masks of objects, of which each picture has its own
    number, are filled up with empty ones."""
    most = {name: max(output[name].shape[1] for output in outputs) for name in outputs[0] if outputs[0][name].ndim > 1}
    return {name: torch.cat([F.pad(output[name], (0, 0) * (output[name].ndim - 2) + (0, most[name] -
                             output[name].shape[1])) if name in most else output[name] for output in outputs])
            for name in outputs[0]}


def network_in(file: Path, facts: FileFacts, runtime: str, *, threads: int = 0, precision: str = FLOAT32,
               checked: CheckedFile | None = None) -> FileNetwork:
    """The network that a file holds, computed by a runtime for files; with 0 threads on as many as PyTorch takes.

    checked: of a file that anybody may have written, what was found in it: what comes in and out is brought to what
        the file takes, and only as many pictures go in at once as half of the memory that is free holds.
    """
    opener, threads = RUNTIMES[runtime].open, threads or torch.get_num_threads()
    assert opener is not None
    run = opener(file, threads, precision)
    if checked is not None:
        run = run if checked.signature is None else ForeignFile(run, checked.signature, *facts.targets)
        run = _in_parts(run, max(1, free_memory() // 2 // max(1, checked.memory)))
    return FileNetwork(run, facts, account=lambda: [asdict(Candidate(runtime, precision, threads))]).eval()


def _in_parts(run: OpenFile, most: int) -> OpenFile:
    """The same, given at most so many pictures at once."""
    def in_parts(pictures: Tensor) -> dict[str, Tensor]:
        outputs = [run(part) for part in pictures.split(most)]
        return outputs[0] if len(outputs) == 1 else \
            {name: torch.cat([output[name] for output in outputs]) for name in outputs[0]}

    return in_parts


def takes(facts: FileFacts, size: tuple[int, int]) -> bool:
    """Whether the file takes pictures of (height, width)."""
    return facts.any_size or facts.fits_inside or (size[0] <= facts.form.height and size[1] <= facts.form.width)


def as_the_file_takes(pictures: Tensor, facts: FileFacts) -> Tensor:
    """The pictures; where the file takes one size alone, smaller ones padded on the right and below, where no pixel
    moves. Raises ModelError for larger ones."""
    form, (height, width) = facts.form, pictures.shape[2:]
    if facts.any_size or (height, width) == form.size:
        return pictures
    if not takes(facts, (height, width)):
        raise ModelError(f"the file takes pictures of {form.height} x {form.width} pixels alone; these have {height} x "
                         f"{width}: predict without predict.tiles, or with the run")
    padded = torch.full((len(pictures), form.channels, *form.size), form.level(PADDING), dtype=pictures.dtype)
    padded[:, :, :height, :width] = pictures
    return padded


class FileTask:
    """The task of a run for the outputs of its file: what it measures and what its answers are called is the run's."""

    of_kinds: Mapping[str, type[Task]] | None = None
    on_last_map = False
    window: list[int] | None = None

    def __init__(self, task: Task, facts: FileFacts):
        self.task, self.facts, self.needs, self.score = task, facts, tuple(facts.targets), task.score
        self.own = task                        # what decodes outputs of PyTorch, by the same thresholds
        self.threshold: float | None = None    # of objects; None: all that the file has
        self.for_files = False                 # whether what brings an answer to the size of its file is kept

    @property
    def objects(self) -> tuple[str, ...]:
        return self.task.objects

    @property
    def overlap(self) -> float | None:
        return self.task.overlap

    @property
    def kept_per_pixel(self) -> int:
        return self.task.with_thresholds(None, None).kept_per_pixel if self.for_files else 0

    def head(self, backbone: Any) -> nn.Module:
        raise ModelError("a network in a file cannot be trained: train the run that it was exported from")

    def loss(self, output: Any, targets: dict[str, Value]) -> dict[str, Tensor]:
        """No loss: a file has answers alone."""
        return {}

    def decode(self, output: Mapping[str, Tensor] | OfTorch) -> dict[str, Value]:
        if isinstance(output, OfTorch):
            return self.own.decode(output.output)
        values = {name: value_in(output, name, target, threshold=self.threshold, for_files=self.for_files,
                                 fits_inside=self.facts.fits_inside) for name, target in self.facts.targets.items()}
        if not self.facts.fits_inside or self.for_files:
            return values
        # What is measured is in the pixels of the form, as the targets are.
        form = self.facts.form
        matrix = torch.tensor([[[across, 0.0, left], [0.0, down, top]] for across, down, left, top in (
            fit_of((height, width), form) for height, width in output[_SIZE].tolist())])
        return {name: value.warp(matrix, form.size) for name, value in values.items()}

    def evidence(self, output: Mapping[str, Tensor] | OfTorch, index: int,
                 of: Mapping[str, Value] | None = None) -> Tensor:
        if isinstance(output, OfTorch):
            return self.own.evidence(output.output, index, of)
        return output[next(iter(of)) if of else self.needs[0]][:, index]

    def class_logits(self, output: Any) -> dict[str, Tensor]:
        """No logits: a file has answers alone."""
        return {}

    def metrics(self) -> Metrics:
        return self.task.metrics()

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        """As of a run's task. Raises UserError for another overlap: the file has left boxes out by its own."""
        decided = {target.overlap for target in self.facts.targets.values() if target.overlap is not None}
        if overlap is not None and decided - {overlap}:
            own = ", ".join(f"{number:g}" for number in sorted(decided))
            raise UserError(f"predict.overlap={overlap:g} cannot be asked of a file, which has left boxes out by {own} "
                            "already: predict with the run")
        chosen = copy(self)
        chosen.own = self.own.with_thresholds(threshold, None)
        chosen.threshold, chosen.for_files = SHOWN if threshold is None else threshold, True
        return chosen

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return []

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Any) -> Any:
        raise AssertionError("a file is not trained")

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        """A file forbids nothing: it is not trained."""
