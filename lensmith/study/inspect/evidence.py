"""What is known when a network is judged: the calls of a forward pass, where each tensor comes from, how it ended."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lensmith.study.inspect.calls import PICTURE, Call, TensorFacts
from lensmith.study.inspect.own_code import CodeLine
from lensmith.study.inspect.trace import Trace


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a network, in numbers, with the mend."""

    words: str                    # whole sentences, the last one without its full stop
    place: CodeLine | None = None    # the line of the user's own file
    grave: bool = True            # False: a note, of what may be meant so
    name: str = ""                # of its cause in the table

    def sentence(self) -> str:
        return f"{self.place}: {self.words}." if self.place is not None else f"{self.words}."


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass, and what the network was before it."""

    trace: Trace
    shape: tuple[int, ...]      # of one picture or vector
    modules: set[nn.Module]     # that the network had before its first forward pass

    @property
    def calls(self) -> list[Call]:
        return self.trace.calls

    @property
    def failing(self) -> Call:
        """The call that ended the forward pass."""
        return self.trace.calls[-1]

    @property
    def batch(self) -> int:
        return int(self.trace.shown.shape[0])

    def chain(self, source: int | None) -> list[Call]:
        """The calls that led to the output of the call `source`, that one first."""
        calls: list[Call] = []
        while source is not None and source != PICTURE and len(calls) <= len(self.calls):
            call = self.calls[source]
            calls.append(call)
            source = main_input(call).source if call.inputs else None
        return calls

    def where(self, call: Call) -> str:
        """`conv1 (my_net.py:12)`: a call that another sentence speaks of."""
        return f"{call.name} ({call.place})" if call.place is not None else call.name


Cause = Callable[[ForwardPass], Fault | None]


def main_input(call: Call) -> TensorFacts:
    """The input of a call that comes from the picture; of several the first. A call has to have some input."""
    return next((fact for fact in call.inputs if fact.source is not None), call.inputs[0])


def times(edges: Sequence[int]) -> str:
    """`32 x 14 x 14`"""
    return " x ".join(str(edge) for edge in edges)


@contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Afterwards the buffers of the network, as running statistics, and the random numbers are as they were."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers() if not is_lazy(buffer)]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


@contextmanager
def in_training_mode(network: nn.Module) -> Iterator[None]:
    """Training mode with gradients; afterwards every module is in the mode in which it was."""
    modes = [(module, module.training) for module in network.modules()]
    network.train()
    try:
        with torch.enable_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
