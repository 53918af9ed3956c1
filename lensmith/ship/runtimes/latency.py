"""How long answers take: ways to compute them take turns, since a machine is not equally fast from second to second."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.candidates import FLOAT32, for_files, installed_for_files

Name = TypeVar("Name")
_FEWEST, _MOST = 5, 200    # rounds


class Took(NamedTuple):
    """What one call took."""

    seconds: float    # that passed
    cpu: float        # seconds that all threads of this process computed


@dataclass(frozen=True)
class Latency:
    """The time that a batch takes."""

    p50: float    # seconds in which half of the calls had ended
    p95: float    # seconds in which 95 of 100 had ended
    cpu: float    # seconds that all threads computed, the median: steadier where other programs take the cores
    calls: int

    def as_json(self) -> dict[str, float | int]:
        return {"p50": self.p50, "p95": self.p95, "cpu": self.cpu, "calls": self.calls}


def latency_of(network: Path | nn.Module, shape: Sequence[int], *, dtype: torch.dtype = torch.uint8, threads: int = 0,
               of_file: str = FLOAT32, seconds: float = 2.0) -> dict[str, Latency]:
    """The latency of a batch by runtime: of a file in each runtime that is installed and each precision that this
    machine has ("onnxruntime", "openvino", "openvino:bfloat16"), of a module that of "torch".

    shape: of the batch that goes in, [batch, channels, height, width].
    dtype: of the batch.
    threads: that each takes; 0 for as many as PyTorch takes.
    of_file: the precision of the file's weights, as "int8".
    seconds: that all of them together are timed for.

    Raises ModelError for a file that a runtime cannot open or run.
    """
    pictures, threads = drawn_batch(shape, dtype), threads or torch.get_num_threads()
    if isinstance(network, nn.Module):
        former = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with in_evaluation_mode(network):
                return latencies({"torch": lambda: network(pictures)}, seconds=seconds)
        finally:
            torch.set_num_threads(former)
    runs: dict[str, Callable[[], object]] = {}
    for candidate in for_files(installed_for_files(), (threads,), of_file=of_file):
        opener = RUNTIMES[candidate.runtime].open
        assert opener is not None
        opened = opener(network, threads, candidate.precision)
        runs[candidate.name] = lambda opened=opened: opened(pictures)    # type: ignore[misc]
    return latencies(runs, seconds=seconds)


def drawn_batch(shape: Sequence[int], dtype: torch.dtype = torch.uint8) -> Tensor:
    """A batch of chance numbers, the same each time: of bytes all of them, of floats from 0 to 1."""
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point:
        return torch.rand(tuple(shape), generator=generator).to(dtype)
    most = 1 << (8 if dtype == torch.uint8 else 16)
    return torch.randint(0, most, tuple(shape), generator=generator, dtype=torch.int32).to(dtype)


def latencies(runs: Mapping[str, Callable[[], object]], *, seconds: float) -> dict[str, Latency]:
    """The latency of each of the `runs` by its name."""
    return {name: latency(times) for name, times in in_turn(runs, seconds=seconds).items()}


def latency(calls: Sequence[Took]) -> Latency:
    """The latency that measured calls show."""
    seconds, cpu = zip(*calls, strict=True)
    return Latency(quantile(seconds, 0.5), quantile(seconds, 0.95), quantile(cpu, 0.5), len(calls))


def quantile(times: Sequence[float], fraction: float) -> float:
    """The time below which that fraction lies."""
    return float(torch.tensor(times, dtype=torch.float64).quantile(fraction))


def in_turn(runs: Mapping[Name, Callable[[], object]], *, seconds: float) -> dict[Name, list[Took]]:
    """The calls of each of the `runs`, which take turns for about `seconds` altogether, and at least five times. The
    first call of each, which prepares, does not count."""
    calls: dict[Name, list[Took]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    end = time.perf_counter() + seconds
    for number in range(_MOST):
        if number >= _FEWEST and time.perf_counter() > end:
            break
        for name, run in runs.items():
            calls[name].append(timed_call(run))
    return calls


def timed_call(run: Callable[[], object]) -> Took:
    """What one call of `run` takes."""
    began, computed = time.perf_counter(), time.process_time()
    run()
    return Took(time.perf_counter() - began, time.process_time() - computed)
