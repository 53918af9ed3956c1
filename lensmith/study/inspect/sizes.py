"""How a map came to its size, in words, and what would bring it to another one."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch

from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.study.inspect.calls import Call
from lensmith.study.inspect.evidence import ForwardPass, at_rest, times
from lensmith.study.inspect.trace import Trace

_MOST_HALVINGS = 10
_MOST = 2048           # pixels: the largest picture that is proposed
_MARGIN = 16           # pixels that unpadded convolutions may take beyond what the areas of the maps say
_OFTEN = {0: "nowhere", 1: "once", 2: "twice"}
Size = tuple[int, int]


@dataclass(frozen=True)
class History:
    """The sizes of the maps from the picture to one of them."""

    steps: tuple[tuple[str, Size], ...]    # (the call that gave another size, that size), the picture first
    strides: tuple[int, ...]               # of those steps whose layers say so

    @property
    def halvings(self) -> int | None:
        """How many times the size was halved, rounded either way; None where it was changed otherwise too."""
        sizes = [size for _, size in self.steps]
        halved = all(all(after in (before // 2, -(-before // 2)) for before, after in zip(*pair, strict=True))
                     for pair in pairwise(sizes))
        return len(sizes) - 1 if halved and all(stride == 2 for stride in self.strides) else None

    def in_words(self) -> str:
        """`28 is halved once`, or `28 -> 24 (conv1) -> 12 (pool)`."""
        first, number = shown_size(self.steps[0][1]), self.halvings
        if number is not None:
            return f"{first} is halved {often(number)}"
        return " -> ".join([first, *(f"{shown_size(size)} ({name})" for name, size in self.steps[1:])])

    def halvings_to(self, cells: int) -> int | None:
        """How many halvings of the picture leave a map of so many `cells`; None where none do, and where this map was
        made otherwise."""
        if self.halvings is None:
            return None
        for number in range(_MOST_HALVINGS):
            height, width = (edge >> number for edge in self.steps[0][1])
            if height * width == cells:
                return number if number != self.halvings else None
        return None


def often(number: int) -> str:
    """`once`, `twice`, `3 times`"""
    return _OFTEN.get(number, f"{number} times")


def shown_size(size: Size) -> str:
    """`28`, or `28 x 32`."""
    return str(size[0]) if size[0] == size[1] else times(size)


def history_to(evidence: ForwardPass, source: int | None) -> History | None:
    """The sizes up to the map that the call `source` gave; None of what is no map, or is not the picture's."""
    if len(evidence.shape) != 3:
        return None
    steps: list[tuple[str, Size]] = [("", (evidence.shape[1], evidence.shape[2]))]
    strides: list[int] = []
    for call in reversed(evidence.chain(source)):
        if call.outputs and len(call.outputs[0].shape) == 4:
            height, width = call.outputs[0].shape[2:]
            if (height, width) != steps[-1][1]:
                steps.append((call.name, (height, width)))
                stride = getattr(call.module, "stride", ())
                strides += [stride] if isinstance(stride, int) else stride
    return History(tuple(steps), tuple(strides))


def flattened(evidence: ForwardPass, source: int | None) -> tuple[Call, tuple[int, ...]] | None:
    """The call that made a vector of a map, and the shape of that map for one picture; None where none has, and where
    something else than activations stands between it and the output of the call `source`."""
    for call in evidence.chain(source):
        if not call.outputs:
            return None
        after = call.outputs[0].shape
        before = next((fact.shape for fact in call.inputs if fact.source is not None), ())
        if len(before) == 4 and len(after) == 2 and before[0] == after[0] and math.prod(before) == math.prod(after):
            return call, tuple(before[1:])
        if before != after:
            return None
    return None


def edge_with(evidence: ForwardPass, call: Call, features: int) -> int | None:
    """The edge of a square picture of which this `call` gets so many `features`, by trying; None where there is none.
    """
    if len(evidence.shape) != 3:
        return None
    edge, got = max(evidence.shape[1:]), math.prod(call.inputs[0].shape)
    low, high = 1, min(_MOST, round(1.25 * edge * math.sqrt(features / got)) + _MARGIN)
    while low < high:
        middle = (low + high) // 2
        if _features_at(evidence, middle, call) < features:
            low = middle + 1
        else:
            high = middle
    return low if _features_at(evidence, low, call) == features else None


def least_edge_past(evidence: ForwardPass) -> int | None:
    """The edge of the smallest square picture that gets past the failing call, by trying; None where none does."""
    if len(evidence.shape) != 3:
        return None
    low = high = max(evidence.shape[1:])
    while not gets_past(evidence, high):
        low, high = high + 1, 2 * high
        if high > _MOST:
            return None
    while low < high:
        middle = (low + high) // 2
        if gets_past(evidence, middle):
            high = middle
        else:
            low = middle + 1
    return low


def _features_at(evidence: ForwardPass, edge: int, call: Call) -> int:
    """What a call gets of one picture with this edge: 0 where these do not come so far."""
    same = next((other for other in _at(evidence, edge).calls if (other.name, other.place) == (call.name, call.place)),
                None)
    return math.prod(same.inputs[0].shape) if same is not None and same.inputs else 0


def gets_past(evidence: ForwardPass, edge: int) -> bool:
    """Whether a square picture with this edge gets past the call that failed."""
    trace = _at(evidence, edge)
    return trace.error is None or len(trace.calls) > len(evidence.calls)


def _at(evidence: ForwardPass, edge: int) -> Trace:
    network, shown = evidence.trace.network, evidence.trace.shown
    with at_rest(network), in_evaluation_mode(network):
        return Trace(network, torch.zeros(1, evidence.shape[0], edge, edge, device=shown.device)).run(follow=False)
