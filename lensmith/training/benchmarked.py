"""How fast a network of anybody's is here, in every runtime and precision, with a step of training beside them."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.device import check_memory, environment, free_memory
from lensmith.base.errors import ModelError, UserError, first_line, no_memory
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.models.network import Network
from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.ship.export.flat_outputs import tensors_in, write_flat_onnx
from lensmith.ship.export.in_graph import judged
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.candidates import (
    FLOAT32,
    Candidate,
    for_files,
    installed_for_files,
    missing,
    precisions_here,
)
from lensmith.ship.runtimes.checked_file import check_any_file
from lensmith.ship.runtimes.file_network import FileTask, network_in
from lensmith.ship.runtimes.latency import drawn_batch, in_turn, latency
from lensmith.ship.runtimes.memory import MemoryPeak
from lensmith.ship.runtimes.torch_plans import open_with_torch
from lensmith.training.from_file import QUANTISED, file_runtimes, run_in_a_file
from lensmith.training.trained import Trained

TRAINING = "training step"
_RATE = 1e-9    # of the timed steps: weights that move by more might reach numbers that take longer
Tell = Callable[[str], object]
Run = Callable[[Tensor], object]
Openers = dict[str, Callable[[], Run]]


@dataclass(frozen=True)
class LatencyRow:
    """One row of the table: something that computes, on batches of a size."""

    what: str       # "torch", "torch:bfloat16", "onnxruntime", "openvino", "training step", ...
    how: str        # the plan of PyTorch; empty of others
    batch: int      # pictures
    p50: float      # seconds of a batch
    p95: float
    cpu: float      # seconds that all its threads computed, the median
    calls: int
    memory: int | None           # bytes beyond those held before it was opened; None where the system does not tell
    difference: float | None     # the largest from PyTorch's output in float32, as a fraction of the largest output

    def as_json(self) -> dict[str, Any]:
        return {"what": self.what, "how": self.how, "batch": self.batch, "p50_ms": round(1000 * self.p50, 4),
                "p95_ms": round(1000 * self.p95, 4), "cpu_ms": round(1000 * self.cpu, 4), "calls": self.calls,
                "pictures_per_second": round(self.batch / self.p50, 2), "memory_bytes": self.memory,
                "difference": self.difference}


@dataclass
class Benchmark:
    """What was measured of a network."""

    name: str
    shape: tuple[int, ...]    # of a picture
    dtype: str
    parameters: int
    threads: int
    rows: list[LatencyRow] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)    # what could not be measured -> why

    def as_json(self) -> dict[str, Any]:
        return {"network": self.name, "shape": list(self.shape), "dtype": self.dtype, "parameters": self.parameters,
                "threads": self.threads, "machine": environment(), "rows": [row.as_json() for row in self.rows],
                "problems": self.problems}


@dataclass(frozen=True)
class Asked:
    """What is to be measured."""

    batches: tuple[int, ...] = (1, 32)
    threads: int = 0          # 0 for as many as PyTorch takes
    seconds: float = 5.0      # that all rows of one batch take turns for
    compiled: bool = False    # whether PyTorch's compiler is measured too, which takes a minute before


def benchmark_network(name: str, network: nn.Module, shape: Sequence[int], asked: Asked, *,
                      trained: Trained | None = None, tell: Tell = lambda text: None) -> Benchmark:
    """The latency and memory of a module in every runtime and precision that is here, and of a step of training.

    name: what it is called.
    network: a `Network` takes bytes, another module floats from 0 to 1.
    shape: of a picture, [channels, height, width], or of a vector.
    trained: where it is that of a run, whose answers are decoded too.
    tell: called with what is being done.

    Raises ModelError for a network that cannot be run on such pictures.
    """
    dtype = trained.form.dtype if trained is not None else torch.uint8 if isinstance(network, Network) else \
        torch.float32
    found = Benchmark(name, tuple(shape), str(dtype).removeprefix("torch."),
                      sum(parameter.numel() for parameter in network.parameters()),
                      asked.threads or torch.get_num_threads())
    pictures = drawn_batch((max(asked.batches), *shape), dtype)
    check_memory(4 * pictures.numel(), f"a batch of {len(pictures)}", "take a smaller one with --batch")
    _try(network, pictures[:1], found)
    with TemporaryDirectory() as folder:
        openers, how = _torch_openers(network, pictures, found.threads, trained, compiled=asked.compiled)
        tell("the network is written as ONNX")
        openers |= _openers_in_files(network, pictures, found, Path(folder), trained)
        openers[TRAINING] = lambda: _training_step(network)
        how[TRAINING] = "float32, SGD"
        _measure(found, openers, how, pictures, asked, tell)
    return found


def benchmark_file(file: Path, asked: Asked, *, size: tuple[int, int] | None = None, channels: int | None = None,
                   tell: Tell = lambda text: None) -> Benchmark:
    """The latency and memory of an ONNX file of anybody's in every runtime and precision that is here.

    size, channels: of the pictures; by themselves what the file decides, else 224 and 3.

    Raises ModelError for a file that cannot be used.
    """
    names = file_runtimes()
    checked = check_any_file(file, names, size=size, channels=channels)
    found = Benchmark(file.name, checked.shape, checked.dtype, checked.parameters,
                      asked.threads or torch.get_num_threads())
    found.problems |= {name: f"it is not installed: {command}" for name, command in missing().items()}
    found.problems |= dict.fromkeys(set(names) - set(checked.runtimes), "it cannot run this file")
    batches = tuple(batch for batch in asked.batches if checked.batch in (None, batch)) or (checked.batch or 1,)
    for batch in set(asked.batches) - set(batches):
        found.problems[f"batch {batch}"] = f"the file takes batches of {checked.batch} alone"
    precision = "int8" if QUANTISED in checked.operators else FLOAT32
    pictures = drawn_batch((max(batches), *checked.shape), getattr(torch, checked.dtype))
    openers = _file_openers(file, checked.runtimes, found.threads, precision)
    _measure(found, openers, {}, pictures, Asked(batches, asked.threads, asked.seconds), tell)
    return found


def _try(network: nn.Module, pictures: Tensor, found: Benchmark) -> None:
    """Raises ModelError where the network cannot be run on such pictures."""
    try:
        with in_evaluation_mode(network):
            network(pictures)
    except Exception as error:    # whatever a network of anybody's may raise
        if no_memory(error):
            raise
        raise _cannot_run(found, first_line(error)[:300]) from error


def _cannot_run(found: Benchmark, problem: str) -> ModelError:
    return ModelError(f"{found.name} cannot be run on pictures of {' x '.join(map(str, found.shape))} ({problem}): "
                      f"`lensmith inspect {found.name}` says where; --size and --channels show it others")


def _torch_openers(network: nn.Module, pictures: Tensor, threads: int, trained: Trained | None, *,
                   compiled: bool) -> tuple[Openers, dict[str, str]]:
    """PyTorch as it is, rewritten for inference, in 16 bits and compiled; and each one's plan in words."""
    plain = make_plan(device="cpu", layout="contiguous", threads=threads)
    folded = make_plan(device="cpu", threads=threads, rewrites=("fold_batch_norm",))
    plans = {"torch": plain, "torch rewritten": folded}
    if "bfloat16" in precisions_here("torch"):
        plans["torch:bfloat16"] = make_plan(device="cpu", precision="bfloat16", threads=threads,
                                            rewrites=("fold_batch_norm",))
    if compiled:
        plans["torch compiled"] = make_plan(device="cpu", threads=threads, rewrites=("fold_batch_norm",),
                                             compiled=True)
    decode = judged(trained.task).decode if trained is not None else lambda output: output

    def opener(plan: Plan) -> Callable[[], Run]:
        def opened() -> Run:
            run = open_with_torch(network, plan, pictures[:2])
            return lambda some: decode(run(some).output)
        return opened

    return {name: opener(plan) for name, plan in plans.items()}, \
        {name: plan.in_words() for name, plan in plans.items()}


def _openers_in_files(network: nn.Module, pictures: Tensor, found: Benchmark, folder: Path,
                      trained: Trained | None) -> Openers:
    """The runtimes for files, for the network written as one; why there are none goes to the problems of `found`."""
    found.problems |= {name: f"it is not installed: {command}" for name, command in missing().items()}
    names = installed_for_files()
    try:
        if not names:
            return {}
        if trained is not None:
            return _openers_of_run(trained, names, found)
        file = folder / "network.onnx"
        write_flat_onnx(network, pictures, file)
    except UserError as error:
        found.problems |= dict.fromkeys(names, str(error))
        return {}
    return _file_openers(file, names, found.threads, FLOAT32)


def _openers_of_run(trained: Trained, names: Sequence[str], found: Benchmark) -> Openers:
    file, checked = run_in_a_file(trained, names)
    found.problems |= dict.fromkeys(set(names) - set(checked.runtimes), "it cannot run the network's file")
    facts, task, threads = checked.facts, FileTask(trained.task, checked.facts), found.threads

    def opener(candidate: Candidate) -> Callable[[], Run]:
        def opened() -> Run:
            network = network_in(file, facts, candidate.runtime, threads=threads, precision=candidate.precision)
            return lambda some: task.decode(network(some))
        return opened

    return {one.name: opener(one) for one in for_files(checked.runtimes, (threads,))}


def _file_openers(file: Path, runtimes: Sequence[str], threads: int, precision: str) -> Openers:
    def opener(candidate: Candidate) -> Callable[[], Run]:
        entry = RUNTIMES[candidate.runtime].open
        assert entry is not None
        return lambda: entry(file, threads, candidate.precision)

    return {one.name: opener(one) for one in for_files(runtimes, (threads,), of_file=precision)}


def _training_step(network: nn.Module) -> Run:
    """A step of plain training of a copy: forward, backward, and SGD. The loss is the mean square of the outputs, since
    a network of anybody's has none of its own."""
    learner = deepcopy(network).train().requires_grad_(True)
    optimizer = torch.optim.SGD(learner.parameters(), lr=_RATE)

    def step(pictures: Tensor) -> None:
        with torch.inference_mode(False), torch.enable_grad():
            optimizer.zero_grad()
            outputs = [tensor for tensor in tensors_in(learner(pictures)) if tensor.requires_grad]
            torch.stack([tensor.float().square().mean() for tensor in outputs]).sum().backward()
            optimizer.step()

    return step


def _measure(found: Benchmark, openers: Openers, how: Mapping[str, str], pictures: Tensor, asked: Asked,
             tell: Tell) -> None:
    """Fill the rows of `found`: memory of each alone, then the times of all in turn."""
    torch.set_num_threads(found.threads)
    memory: dict[tuple[str, int], int | None] = {}
    outputs: dict[tuple[str, int], list[Tensor]] = {}
    for name, opener in openers.items():
        tell(f"{name} is opened")
        try:
            peak, run = MemoryPeak(), opener()
            for batch in sorted(asked.batches):
                outputs[name, batch] = [] if name == TRAINING else tensors_in(run(pictures[:batch]))
                if name == TRAINING:
                    run(pictures[:batch])
                memory[name, batch] = peak.so_far()
            del run
        except Exception as error:    # whatever a network of anybody's may raise
            if no_memory(error):
                raise
            found.problems[name] = str(error) if isinstance(error, UserError) else first_line(error)[:300]
    if not memory.keys() - {(TRAINING, batch) for batch in asked.batches}:
        raise _cannot_run(found, found.problems[next(iter(openers))])
    for batch in asked.batches:
        names = [name for name in openers if (name, batch) in memory]
        for some in _together(names, {name: memory[name, batch] for name in names}):
            tell(f"{', '.join(some)}: batches of {batch} take turns")
            runs = {name: openers[name]() for name in some}
            times = in_turn({name: lambda run=run: run(pictures[:batch])    # type: ignore[misc]  # noqa: B023
                             for name, run in runs.items()}, seconds=asked.seconds * len(some) / len(names))
            for name, calls in times.items():
                took = latency(calls)
                found.rows.append(LatencyRow(name, how.get(name, ""), batch, took.p50, took.p95, took.cpu, took.calls,
                                           memory[name, batch], _difference(outputs, name, batch)))


def _together(names: Sequence[str], memory: Mapping[str, int | None]) -> list[list[str]]:
    """Those that are open at the same time: all, or each alone where the memory is not enough for all."""
    return [list(names)] if sum(size or 0 for size in memory.values()) < free_memory() // 2 else \
        [[name] for name in names]


def _difference(outputs: Mapping[tuple[str, int], list[Tensor]], name: str, batch: int) -> float | None:
    """How far the outputs are from those of PyTorch, or of the first runtime for a file; None where they have other
    shapes, as values have."""
    first = next(iter(outputs))[0]
    ours, theirs = outputs.get((first, batch), []), outputs.get((name, batch), [])
    if name == first or not ours or [tensor.shape for tensor in ours] != [tensor.shape for tensor in theirs]:
        return None
    largest = max((float(tensor.double().abs().amax()) for tensor in ours if tensor.numel()), default=0.0)
    apart = max((float((one.double() - other.double()).abs().amax())
                 for one, other in zip(ours, theirs, strict=True) if one.numel()), default=0.0)
    return apart / largest if largest else apart
