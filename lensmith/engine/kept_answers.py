"""The answers of a run: of each held-out picture its name and what is kept by its kind, in one file of the run folder,
so that runs are compared on the very same pictures without their networks."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import ModelError
from lensmith.data.sources.fitting import in_files
from lensmith.data.sources.sample import Batch
from lensmith.engine.run_folder import ANSWERS_FILE, Run
from lensmith.tasks.metrics.by_picture import BY_PICTURE
from lensmith.tasks.metrics.by_picture.picture_counts import CLASSES, PICTURES, PictureCounts
from lensmith.values.value import Value

_AGAIN = "`lensmith compare --measure` with its run writes it again"


@dataclass(frozen=True)
class TargetAnswers:
    """What is kept of one target."""

    kind: str
    names: tuple[str, ...]              # of its classes, tags or quantities
    columns: Mapping[str, np.ndarray]

    @property
    def counts(self) -> PictureCounts:
        return BY_PICTURE[self.kind]


@dataclass(frozen=True)
class SplitAnswers:
    """What is kept of the pictures of a split, in the order in which they were measured."""

    files: tuple[str, ...]    # where each picture came from; two of the same name are told by their order
    targets: Mapping[str, TargetAnswers]


class KeptAnswers:
    """Sees each batch of an evaluation with its predictions, and keeps what the table BY_PICTURE says of its kind; a
    target of a kind that has no entry there is left out."""

    def __init__(self, needs: Sequence[str], classes: Mapping[str, Sequence[str]]):
        """`classes`: target -> the names of its classes."""
        self.needs, self.classes = needs, classes
        self.files: list[str] = []
        self.kinds: dict[str, str] = {}
        self.columns: dict[str, dict[str, list[np.ndarray]]] = {}    # target -> column -> its batches

    def update(self, batch: Batch, predictions: dict[str, Value]) -> None:
        """Keep what is to be kept of one batch."""
        truths, answers = in_files(batch.targets, batch.places), in_files(predictions, batch.places)
        for target in self.needs:
            truth, answer = truths.get(target), answers.get(target)
            counts = BY_PICTURE.get(truth.kind) if truth is not None else None
            if truth is None or answer is None or counts is None or answer.kind != truth.kind:
                continue
            self.kinds[target] = truth.kind
            columns = counts.keep(truth.to("cpu"), answer.to("cpu"), len(batch), len(self.classes[target]))
            kept = self.columns.setdefault(target, {name: [] for name in columns})
            for name, column in columns.items():
                of_pictures = counts.columns[name].below == PICTURES
                kept[name].append(column + np.asarray(len(self.files), column.dtype) if of_pictures else column)
        self.files += [place.file for place in batch.places] or \
            [f"picture {len(self.files) + row}" for row in range(len(batch))]

    def split(self) -> SplitAnswers:
        """All that was kept."""
        return SplitAnswers(tuple(self.files), {
            target: TargetAnswers(self.kinds[target], tuple(self.classes[target]),
                                  {name: np.concatenate(batches) for name, batches in columns.items()})
            for target, columns in self.columns.items()})


def write_answers(run: Run, splits: Mapping[str, SplitAnswers]) -> None:
    """Write the answers by split into the run folder. Raises Stopped where the disk is full."""
    run.write_state(ANSWERS_FILE, {"splits": {split: _as_state(answers) for split, answers in splits.items()}})


def read_answers(run: Run) -> dict[str, SplitAnswers]:
    """The answers of a run by split; none where it has no such file, as one of an earlier version. Raises ModelError
    where the file is damaged."""
    if not os.path.lexists(run.folder / ANSWERS_FILE):
        return {}
    try:
        state = run.read_state(ANSWERS_FILE)
    except ModelError as error:
        raise ModelError(f"{error}. {_AGAIN}") from error
    splits = {}
    for split, kept in state["splits"].items():
        try:
            splits[split] = _from_state(kept)
        except ValueError as error:
            raise ModelError(f"{run.folder / ANSWERS_FILE} is damaged ({split}: {error}): {_AGAIN}") from error
    return splits


def _as_state(answers: SplitAnswers) -> dict[str, Any]:
    folder = _common_beginning(answers.files)    # written once
    names = "\0".join(name[len(folder):] for name in answers.files).encode("utf-8", "surrogatepass")
    return {"count": len(answers.files), "folder": folder,
            "files": torch.from_numpy(np.frombuffer(names, np.uint8).copy()),
            "targets": {target: {"kind": kept.kind, "names": list(kept.names), "columns": {
                name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in kept.columns.items()}}
                for target, kept in answers.targets.items()}}


def _common_beginning(names: Sequence[str]) -> str:
    """The letters that all names begin with: those that the first and the last by the alphabet have in common."""
    first, last = min(names, default=""), max(names, default="")
    return first[:next((place for place, letters in enumerate(zip(first, last, strict=False)) if len(set(letters)) > 1),
                       len(first))]


def _from_state(state: Mapping[str, Any]) -> SplitAnswers:
    """Raises ValueError with what is wrong."""
    files = state["files"]
    if not isinstance(files, Tensor) or files.dtype != torch.uint8 or files.ndim != 1:
        raise ValueError("files must be a row of bytes")
    names = files.numpy().tobytes().decode("utf-8", "surrogatepass").split("\0") if state["count"] else []
    if len(names) != state["count"]:
        raise ValueError(f"it has {len(names):,} files, and {state['count']:,} are expected")
    targets = {}
    for target, kept in state["targets"].items():
        if kept["kind"] in BY_PICTURE:    # a later version may keep further kinds
            targets[target] = TargetAnswers(kept["kind"], tuple(kept["names"]), _checked(target, kept, len(names)))
    return SplitAnswers(tuple(state["folder"] + name for name in names), targets)


def _checked(target: str, kept: Mapping[str, Any], pictures: int) -> dict[str, np.ndarray]:
    if not kept["names"]:
        raise ValueError(f"{target} has no names")
    lengths = {PICTURES: pictures, CLASSES: len(kept["names"])}
    columns = {}
    for name, column in BY_PICTURE[kept["kind"]].columns.items():
        tensor = kept["columns"].get(name)
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{target}.{name} is missing")
        if tensor.dtype == torch.bfloat16:
            raise ValueError(f"{target}.{name} is bfloat16, and must be {column.dtype}")
        columns[name] = tensor.numpy()
        problem = column.problem(columns[name], lengths)
        if problem:
            raise ValueError(f"{target}.{name} {problem}")
    return columns
