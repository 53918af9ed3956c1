"""How many channels each group gives: by what leaving them out costs on pictures, for each unit of what it saves."""

import heapq
import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lensmith.models.widths import tensor_named
from lensmith.ship.compress.channels import ChannelGraph, Unit, left
from lensmith.ship.compress.costs import Cost

FRACTIONS = (0.25, 0.5, 0.75, 0.9375)    # of a group's channels whose loss is measured
# The largest fraction that a group may lose: the first of these with which the target is reached. What is measured for
# one group alone and without learning says little of a group that loses nearly everything.
CAPS = (0.5, 0.75, 0.875, 0.9375)
_LEAST = 1e-6    # of the loss, and of the whole cost: so that steps that add nothing are ordered by what they save
# (channels of a group from which it keeps a multiple, that multiple): kernels compute eight or sixteen at once.
_MULTIPLES = ((64, 8), (32, 4), (0, 1))
_STEPS = 16    # of a wide group, at most


@dataclass(frozen=True)
class Curve:
    """What a group loses: the loss that is added when a fraction of its channels, the least important, is left out."""

    added: tuple[float, ...]    # at 0 and at each of FRACTIONS

    def at(self, fraction: float) -> float:
        points = (0.0, *FRACTIONS)
        number = min(bisect_right(points, fraction), len(points) - 1)
        low, high = points[number - 1], points[number]
        return self.added[number - 1] + (self.added[number] - self.added[number - 1]) * (fraction - low) / (high - low)


def sensitivity(network: nn.Module, graph: ChannelGraph, importances: Sequence[Tensor],
                loss: Callable[[], float]) -> list[Curve]:
    """The curve of each group, measured with the group's least important channels masked and all others as they are.

    loss: of the network as it is at that moment, on pictures that it did not learn from.
    """
    whole = loss()
    curves = []
    for group, scores in zip(graph.groups, importances, strict=True):
        order = scores.argsort().tolist()
        added = [0.0]
        for fraction in FRACTIONS:
            units = [group.units[number] for number in order[: round(fraction * len(order))]]
            with masked(network, graph, units):
                added.append(max(added[-1], loss() - whole))    # more channels cannot be worth less than fewer
        curves.append(Curve(tuple(added)))
    return curves


@contextmanager
def masked(network: nn.Module, graph: ChannelGraph, units: Sequence[Unit]) -> Iterator[None]:
    """Within it nothing reads these channels: the weights that take them in are zero."""
    consumers = [(name, dimension) for name, dimension in dict.fromkeys(axis for unit in units for axis in unit)
                 if name in graph.calls and dimension == graph.calls[name].taking]
    before = {name: tensor_named(network, name).detach().clone() for name, _ in consumers}
    with torch.no_grad():
        for unit in units:
            for axis in unit:
                if axis in consumers:
                    tensor_named(network, axis[0]).index_fill_(axis[1], unit[axis], 0.0)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in before.items():
                tensor_named(network, name).copy_(weight)


def shares(graph: ChannelGraph, curves: Sequence[Curve], cost: Cost, wanted: float) -> tuple[list[int], float]:
    """How many units each group gives so that the network costs at most the fraction `wanted` of what it costs now,
    and the fraction that is reached, which is larger where that cannot be.

    Greedy: of all groups the next step is taken of the one that adds the least loss for what it saves.
    """
    removed, reached = [0] * len(graph.groups), 1.0
    for cap in CAPS:
        removed, reached = _greedy(graph, curves, cost, wanted, cap)
        if reached <= wanted:
            break
    return removed, reached


def _greedy(graph: ChannelGraph, curves: Sequence[Curve], cost: Cost, wanted: float,
            cap: float) -> tuple[list[int], float]:
    removed, full = [0] * len(graph.groups), cost(graph.lengths)
    now = full

    def step(number: int) -> tuple[float, int, int, float] | None:
        """(loss for what is saved, group, units that it then has given, cost then) of the next step of a group."""
        units = len(graph.groups[number].units)
        further = _next(removed[number], units, cap)
        if further is None:
            return None
        then = cost(left(graph, [*removed[:number], further, *removed[number + 1:]]))
        added = curves[number].at(further / units) - curves[number].at(removed[number] / units)
        return (added + _LEAST) / max(now - then, _LEAST * full), number, further, then

    steps = [found for number in range(len(removed)) if (found := step(number)) is not None]
    heapq.heapify(steps)
    while steps and now > wanted * full:
        number = heapq.heappop(steps)[1]
        fresh = step(number)    # what a step saves gets less with every other step
        assert fresh is not None
        if steps and fresh[0] > steps[0][0]:
            heapq.heappush(steps, fresh)
            continue
        removed[number], now = fresh[2], fresh[3]
        following = step(number)
        if following is not None:
            heapq.heappush(steps, following)
    return removed, now / full


def _next(removed: int, units: int, cap: float) -> int | None:
    """The number of units after the next step; None where the group may give no more."""
    multiple = next(multiple for least, multiple in _MULTIPLES if units >= least)
    step = max(multiple, units // _STEPS // multiple * multiple)
    further = units - (units - removed - 1) // step * step    # the next smaller multiple stays
    return further if further <= min(units - 1, int(cap * units)) else None


def chosen_units(graph: ChannelGraph, importances: Sequence[Tensor], removed: Sequence[int]) -> list[Unit]:
    """The least important units of each group, as many as it gives."""
    return list(itertools.chain.from_iterable(
        [group.units[number] for number in scores.argsort().tolist()[:count]]
        for group, scores, count in zip(graph.groups, importances, removed, strict=True)))
