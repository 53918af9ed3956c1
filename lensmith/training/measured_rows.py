"""The rows of a compression's table, measured: what each form of a network scores, how fast it is and what it takes."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lensmith.base.errors import ModelError, UserError
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.chosen_split import split_to_score
from lensmith.data.sources.sample import Batch
from lensmith.models.rewrites.exact import fold_batch_norm
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.open_data import Data
from lensmith.ship.compress import costs
from lensmith.ship.compress.channels import read_channels
from lensmith.ship.compress.live_memory import live_bytes
from lensmith.ship.compress.paired import PARTS, PairedScore, difference, paired_score
from lensmith.ship.compress.rows import CompressionRow
from lensmith.ship.export.onnx import write_onnx
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.candidates import FLOAT32, for_files, installed_for_files
from lensmith.ship.runtimes.checked_file import memory_of_file
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.ship.runtimes.file_network import FileTask, network_in
from lensmith.ship.runtimes.latency import Latency, drawn_batch, latencies
from lensmith.tasks.task import Task
from lensmith.training.exported import Exported, facts_of_run
from lensmith.training.quantised import JUDGE
from lensmith.training.trained import Trained

_SECONDS = 6.0     # in which all forms of the network and all runtimes take turns
_AT_ONCE = 32      # pictures of a batch that is looked at by itself
Tell = Callable[[str], object]


@dataclass(frozen=True)
class MeasuredForm:
    """One form of a network, whose score is known."""

    trained: Trained               # on the CPU; of a form in INT8 the one that it was made of
    score: PairedScore
    int8: Exported | None = None   # the file of a form in INT8


@dataclass(frozen=True)
class _File:
    """A form as a file, and what it says of itself."""

    path: Path
    facts: FileFacts
    precision: str = FLOAT32    # of its weights


def scores_of(trained: Trained, data: Data, task: Task, split: str, *, int8: Exported | None = None) -> PairedScore:
    """The score on a split, with what a paired difference needs.

    task: the run's, with what it knows of the training targets.
    int8: the file in INT8 that is measured in the place of the network.
    """
    loader = make_loaders(trained.recipe, data, task)[split]
    batch = max(1, min(loader.batch, len(loader.dataset) // PARTS))
    batches = Loader(loader.dataset, batch, workers=loader.workers, rectangular=loader.rectangular)
    trained.plan.settle()
    network, asked = (trained.network, task) if int8 is None else \
        (network_in(int8.file, int8.facts, JUDGE), FileTask(task, int8.facts))
    return paired_score(network, asked, batches, number=len(batches), plan=trained.plan)


def rows_of(forms: Mapping[str, MeasuredForm], data: Data, *, tell: Tell) -> list[CompressionRow]:
    """A row for each form of a network, by its name; the others are compared with the first.

    Networks are written into a temporary folder as files and timed in every runtime that is here.
    """
    first = next(iter(forms))
    pictures = _pictures(forms[first].trained, data)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: file for name, form in forms.items()
                 if (file := _file(form, Path(folder) / f"{name}.onnx", tell)) is not None}
        timed = _latencies(forms, files)
        memory = {name: _memory(file) for name, file in files.items()}
        whole = len(files) == len(forms)
        sizes = {name: files[name].path.stat().st_size if whole else _bytes(form.trained.network)
                 for name, form in forms.items()}
        whole = whole and bool(installed_for_files())
        answers = {name: _answers(files[name], pictures) if whole else _outputs(form.trained.network, pictures)
                   for name, form in forms.items()}
    rows = []
    for name, form in forms.items():
        trained, score = form.trained, form.score
        ends = (score.metrics.get("intervals") or {}).get(trained.task.score)
        graph = read_channels(trained.network, trained.form)
        rows.append(CompressionRow(
            name, str(form.int8.file if form.int8 else trained.run), score.score,
            (ends[0], ends[1]) if ends and None not in ends else None,
            difference(score, forms[first].score) if name != first else None,
            {runtime: latency for (of, runtime), latency in timed.items() if of == name}, sizes[name],
            sum(parameter.numel() for parameter in trained.network.parameters()),
            round(costs.multiply_adds(trained.network, graph)(graph.lengths)),
            live_bytes(trained.network, pictures[:1]) if form.int8 is None else None, memory.get(name, {}),
            _largest_difference(answers[first], answers[name]) if name != first else None))
    return rows


def some_batches(loader: Loader, most: int) -> list[Batch]:
    """Pictures from all over a split as they are, without augmentation, in batches."""
    whole: Any = loader.dataset
    number = min(most, len(whole))
    rows = [place * len(whole) // number for place in range(number)]
    return list(Loader(whole.subset(rows), _AT_ONCE, workers=0, rectangular=loader.rectangular))


def _pictures(trained: Trained, data: Data) -> Tensor:
    loaders = make_loaders(trained.recipe, data, trained.task)
    loader = loaders[split_to_score(loaders)]
    return some_batches(loader, _AT_ONCE)[0].images


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _file(form: MeasuredForm, path: Path, tell: Tell) -> _File | None:
    """The form as an ONNX file; None, with a line why, where that cannot be."""
    if form.int8 is not None:
        return _File(form.int8.file, form.int8.facts, "int8")
    try:
        facts = write_onnx(form.trained.network, form.trained.task, facts_of_run(form.trained), path)
    except (UserError, ModelError) as error:
        tell(f"not measured as a file: {error}")
        return None
    return _File(path, facts)


def _latencies(forms: Mapping[str, MeasuredForm], files: Mapping[str, _File]) -> dict[tuple[str, str], Latency]:
    """The latency of one picture by form and runtime, all in turn."""
    form = next(iter(forms.values())).trained.form
    picture, threads = drawn_batch((1, form.channels, *form.size), form.dtype), torch.get_num_threads()
    runs: dict[str, Callable[[], object]] = {}
    keys: dict[str, tuple[str, str]] = {}

    def add(name: str, runtime: str, run: Callable[[], object]) -> None:
        keys[f"{name} {runtime}"] = name, runtime
        runs[f"{name} {runtime}"] = run

    with torch.inference_mode():
        for name, measured in forms.items():
            if measured.int8 is None:
                network = measured.trained.network
                add(name, "torch", partial(fold_batch_norm(network, picture) or network, picture))
        for name, file in files.items():
            for candidate in for_files(installed_for_files(), (threads,), of_file=file.precision):
                opener = RUNTIMES[candidate.runtime].open
                assert opener is not None
                add(name, candidate.name, partial(opener(file.path, threads, candidate.precision), picture))
        return {keys[name]: latency for name, latency in latencies(runs, seconds=_SECONDS).items()}


def _memory(file: _File) -> dict[str, int]:
    """The bytes that a file takes for one picture, by runtime, where the system tells."""
    found = {name: memory_of_file(file.path, file.facts, name) for name in installed_for_files()}
    return {name: size for name, size in found.items() if size is not None}


def _answers(file: _File, pictures: Tensor) -> list[Tensor]:
    """How sure the answers of a file are, and numbers themselves."""
    outputs = network_in(file.path, file.facts, installed_for_files()[0])(pictures)
    return [outputs[name] for name in file.facts.scores]


@torch.inference_mode()
def _outputs(network: nn.Module, pictures: Tensor) -> list[Tensor]:
    """The outputs of a network, before anything is decided."""
    return [leaf for leaf in tree_leaves(network(pictures)) if isinstance(leaf, Tensor)]


def _largest_difference(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    return max(float((one.float() - other.float()).abs().max()) for one, other in zip(ones, others, strict=True))
