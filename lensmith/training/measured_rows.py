"""The rows of a compression's table, measured: what each form of a network scores, how fast it is and what it takes."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lensmith.base.errors import ModelError, UserError
from lensmith.data.batches.loader import Loader
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
from lensmith.ship.runtimes.latency import Latency, drawn_batch, latencies
from lensmith.tasks.task import Task
from lensmith.training.exported import facts_of_run
from lensmith.training.trained import Trained

_SECONDS = 6.0     # in which all forms of the network and all runtimes take turns
_AT_ONCE = 32      # pictures of a batch that is looked at by itself
Tell = Callable[[str], object]


def scores_of(trained: Trained, data: Data, task: Task, split: str) -> PairedScore:
    """The score on a split, with what a paired difference needs. `task` has what it knows of the training targets."""
    loader = make_loaders(trained.recipe, data, task)[split]
    batch = max(1, min(loader.batch, len(loader.dataset) // PARTS))
    batches = Loader(loader.dataset, batch, workers=loader.workers, rectangular=loader.rectangular)
    trained.plan.settle()
    return paired_score(trained.network, task, batches, number=len(batches), plan=trained.plan)


def rows_of(forms: Mapping[str, Trained], scores: Mapping[str, PairedScore], data: Data, *,
            tell: Tell) -> list[CompressionRow]:
    """A row for each form of a network, by its name, on the CPU; the others are compared with the first.

    Files are written into a temporary folder and timed in every runtime that is here.
    """
    first = next(iter(forms))
    pictures = _pictures(forms[first], data)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: file for name, trained in forms.items()
                 if (file := _file(trained, Path(folder) / f"{name}.onnx", tell)) is not None}
        timed = _latencies(forms, files)
        sizes = {name: files[name].stat().st_size for name in files} if len(files) == len(forms) else \
            {name: _bytes(trained.network) for name, trained in forms.items()}
    rows = []
    for name, trained in forms.items():
        score = scores[name]
        ends = (score.metrics.get("intervals") or {}).get(trained.task.score)
        graph = read_channels(trained.network, trained.form)
        rows.append(CompressionRow(
            name, str(trained.run), score.score, (ends[0], ends[1]) if ends and None not in ends else None,
            difference(score, scores[first]) if name != first else None,
            {runtime: latency for (of, runtime), latency in timed.items() if of == name}, sizes[name],
            sum(parameter.numel() for parameter in trained.network.parameters()),
            round(costs.multiply_adds(trained.network, graph)(graph.lengths)),
            live_bytes(trained.network, pictures[:1]),
            _largest_difference(forms[first].network, trained.network, pictures) if name != first else None))
    return rows


def some_batches(loader: Loader, most: int) -> list[Batch]:
    """Pictures from all over a split as they are, without augmentation, in batches."""
    whole: Any = loader.dataset
    number = min(most, len(whole))
    rows = [place * len(whole) // number for place in range(number)]
    return list(Loader(whole.subset(rows), _AT_ONCE, workers=0, rectangular=loader.rectangular))


def _pictures(trained: Trained, data: Data) -> Tensor:
    loaders = make_loaders(trained.recipe, data, trained.task)
    loader = next(loaders[name] for name in ("test", "valid", "train") if name in loaders)
    return some_batches(loader, _AT_ONCE)[0].images


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _file(trained: Trained, path: Path, tell: Tell) -> Path | None:
    """The network as an ONNX file; None, with a line why, where that cannot be."""
    try:
        write_onnx(trained.network, trained.task, facts_of_run(trained), path)
    except (UserError, ModelError) as error:
        tell(f"not measured as a file: {error}")
        return None
    return path


def _latencies(forms: Mapping[str, Trained], files: Mapping[str, Path]) -> dict[tuple[str, str], Latency]:
    """The latency of one picture by form and runtime, all in turn."""
    form = next(iter(forms.values())).form
    picture, threads = drawn_batch((1, form.channels, *form.size), form.dtype), torch.get_num_threads()
    runs: dict[str, Callable[[], object]] = {}
    keys: dict[str, tuple[str, str]] = {}

    def add(name: str, runtime: str, run: Callable[[], object]) -> None:
        keys[f"{name} {runtime}"] = name, runtime
        runs[f"{name} {runtime}"] = run

    with torch.inference_mode():
        for name, trained in forms.items():
            folded = fold_batch_norm(trained.network, picture) or trained.network
            add(name, "torch", partial(folded, picture))
        for candidate in for_files(installed_for_files(), (threads,), of_file=FLOAT32) if files else ():
            opener = RUNTIMES[candidate.runtime].open
            assert opener is not None
            for name, file in files.items():
                add(name, candidate.name, partial(opener(file, threads, candidate.precision), picture))
        return {keys[name]: latency for name, latency in latencies(runs, seconds=_SECONDS).items()}


@torch.inference_mode()
def _largest_difference(first: nn.Module, other: nn.Module, pictures: Tensor) -> float:
    """The largest difference of two outputs, before anything is decided."""
    outputs: Sequence[list[Tensor]] = [[leaf for leaf in tree_leaves(network(pictures)) if isinstance(leaf, Tensor)]
                                       for network in (first, other)]
    return max(float((one.float() - two.float()).abs().max()) for one, two in zip(*outputs, strict=True))
