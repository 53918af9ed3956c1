"""A network layer by layer: shapes, parameters, multiply-adds, memory, receptive field and time, up to what fails."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lensmith.base.device import check_memory
from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.study.inspect.calls import Call
from lensmith.study.inspect.evidence import Fault, ForwardPass, at_rest
from lensmith.study.inspect.own_code import CodeLine
from lensmith.study.inspect.trace import Trace
from lensmith.study.inspect.what_is_wrong import faults_of

_TURNS, _SECONDS = 21, 3.0    # the timing ends after so many forward passes or seconds, whichever comes first


@dataclass(frozen=True)
class Row:
    """One call of a layer or of a function for one picture, in the order of the calls."""

    name: str
    kind: str                     # the layer's class, or "function"
    shape: tuple[int, ...]        # of the output, without the batch where it has one; () where there is none
    parameters: int               # its own; 0 where an earlier row has counted them
    multiply_adds: int
    activation_bytes: int         # of the output; 0 where it shares the memory of the input
    receptive_field: int | None   # pixels on the longer side; None where it is the whole picture or not known
    kept_bytes: int | None = None    # that training keeps for the backward pass; None where that was not measured
    share: float | None = None       # of the time of a forward pass; None where it was not measured
    line: str = ""                   # of the user's own file, as my_net.py:14; empty in a library's network
    problem: str = ""                # why it failed; only in the last row


@dataclass(frozen=True)
class Summary:
    """The sums over a network's rows."""

    parameters: int
    multiply_adds: int
    activation_bytes: int
    kept_bytes: int | None = None    # for one picture
    seconds: float | None = None     # of a forward pass of one picture, the median
    problem: str = ""


@dataclass(frozen=True)
class Inspection:
    """A network's rows, their sums, and what is wrong with it, the gravest first."""

    rows: list[Row]
    totals: Summary
    faults: tuple[Fault, ...] = ()


def inspect_network(network: nn.Module, shape: Sequence[int], *, timed: bool = False, checked: bool = True,
                    built: Mapping[nn.Module, CodeLine] | None = None) -> Inspection:
    """What happens to one black picture, or a vector, of this `shape`, on the network's device.

    timed: measure the share of the time.
    checked: look for what does not show in one forward pass in evaluation mode, by others in training mode, with two
        pictures, and with the network on another device than tensors that do not move with it.
    built: the lines on which the modules were built, for layers that no line of the user's own calls.
    """
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    words = " x ".join(f"{edge:,}" for edge in shape)
    numbers = torch.Size(shape).numel()
    check_memory(2 * 4 * numbers, f"a {'picture' if len(shape) == 3 else 'vector'} of {words}",
                 "take a smaller one with pictures.size")
    modules = set(network.modules())
    with at_rest(network), in_evaluation_mode(network):
        main = Trace(network, torch.zeros(1, *shape, device=device), built=built).run()
    evidence = ForwardPass(main, tuple(shape), modules)
    faults, learning = faults_of(evidence, checked=checked)
    rows = [_row(call) for call in main.calls]
    if main.error is not None:
        rows[-1] = replace(rows[-1], problem=faults[0].sentence())
        return Inspection(rows, summary(rows), faults)
    rows = _with_kept_bytes(rows, learning)
    kept = None if learning is None else learning.kept_bytes // learning.shown.shape[0]
    seconds = None
    if timed:
        seconds, shares = _shares_of_time(network, main.shown, len(rows))
        rows = [replace(row, share=share) for row, share in zip(rows, shares, strict=True)]
    rows += _unused(main)
    problem = next((fault.sentence() for fault in faults if fault.grave), "")
    return Inspection(rows, replace(summary(rows), kept_bytes=kept, seconds=seconds, problem=problem), faults)


def inspect_layers(network: nn.Module, channels: int, *, height: int, width: int) -> list[Row]:
    """The layers of `network` for one black picture of this form; see `inspect_network`.

    Where the forward pass fails, the last row is the call that failed, with the arithmetic in `problem`. Otherwise the
    modules with parameters that were never used come last.
    """
    return inspect_network(network, (channels, height, width), checked=False).rows


def summary(rows: list[Row]) -> Summary:
    """The sums over the rows, and the problem of the last one."""
    return Summary(sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows),
                   sum(row.activation_bytes for row in rows), problem=rows[-1].problem if rows else "")


def _row(call: Call) -> Row:
    output = call.outputs[0].shape if call.outputs else ()
    shape = output[1:] if output[:1] == (1,) else output
    return Row(call.name, call.kind, shape, call.parameters, call.multiply_adds, call.activation_bytes,
               call.receptive_field, line=str(call.place) if call.place else "")


def _with_kept_bytes(rows: list[Row], learning: Trace | None) -> list[Row]:
    """The rows with what training keeps, of a network that calls the same layers when it learns."""
    if learning is None or [call.name for call in learning.calls] != [row.name for row in rows]:
        return rows
    pictures = learning.shown.shape[0]
    return [replace(row, kept_bytes=call.kept_bytes // pictures)
            for row, call in zip(rows, learning.calls, strict=True)]


def _shares_of_time(network: nn.Module, shown: Tensor, rows: int) -> tuple[float, list[float]]:
    """The median seconds of a forward pass in evaluation mode, and each call's share of them. -> (seconds, shares)"""
    turns: list[list[float]] = []
    wholes: list[float] = []
    began = time.perf_counter()
    with at_rest(network), in_evaluation_mode(network):
        network(shown)    # the first one reserves memory and chooses algorithms
        while len(wholes) < _TURNS and (len(wholes) < 3 or time.perf_counter() - began < _SECONDS):
            started = time.perf_counter()
            network(shown)
            wholes.append(time.perf_counter() - started)
            trace = Trace(network, shown).run(follow=False)
            if len(trace.calls) == rows:
                turns.append([call.seconds for call in trace.calls])
    medians = [statistics.median(times) for times in zip(*turns, strict=True)] if turns else [0.0] * rows
    total = sum(medians) or 1.0
    return statistics.median(wholes), [seconds / total for seconds in medians]


def _unused(trace: Trace) -> list[Row]:
    """The modules whose parameters have not been used by any call."""
    called = {call.module for call in trace.calls}
    rows = []
    for module, name in trace.names.items():
        if parameters := trace.uncounted(module):
            word = "not used" if module in called or any(True for _ in module.children()) else "not called"
            rows.append(Row(name, f"{type(module).__name__} ({word})", (), parameters, 0, 0, None))
    return rows
