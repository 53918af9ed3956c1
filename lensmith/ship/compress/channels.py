"""The channels of a network that can be left out, in the groups that have to be left out together, and cutting them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError, described
from lensmith.base.pictures import Form
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode
from lensmith.models.widths import Axis, put_tensors, tensor_named
from lensmith.ship.compress.numbered import FIXED
from lensmith.ship.compress.operators import follow_operator
from lensmith.ship.compress.recording import LayerCall, Recorder, fix_outputs, modules_noted

Unit = Mapping[Axis, Tensor]    # of each dimension the places that are left out together, int64


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of the same layers, of which any number may be left out.

    Invariant: every unit has as many places of each dimension as the others.
    """

    name: str                      # the layer that makes them; the first of several
    units: tuple[Unit, ...]
    places: Mapping[Axis, int]     # places of each dimension that one unit takes


@dataclass(frozen=True)
class ChannelGraph:
    """What a network consists of, as far as leaving channels out goes."""

    groups: tuple[ChannelGroup, ...]
    lengths: Mapping[Axis, int]        # of all dimensions that are channels
    calls: Mapping[str, LayerCall]          # what was computed, by the name of the weight
    obstacles: tuple[str, ...]         # layers whose operators keep channels, and why


def read_channels(network: nn.Module, form: Form) -> ChannelGraph:
    """The channels of a network in evaluation mode, on the CPU, read from one forward pass on a black picture.

    Channels of the output are never among them. Raises ModelError, with the layer, where the network cannot be run or
    no channel can be left out.
    """
    recorder = Recorder(network, follow_operator)
    picture = torch.zeros((1, form.channels, *form.size), dtype=form.dtype)
    try:
        with in_evaluation_mode(network), modules_noted(network, recorder.here), recorder:
            fix_outputs(recorder, network(picture))
    except REFUSALS as error:
        layer = recorder.here[-1] if recorder.here else "the network"
        raise ModelError(f"the channels of {layer} cannot be read ({described(error)}): this network cannot be "
                         "compressed") from error
    groups = _groups(recorder)
    obstacles = tuple(recorder.obstacles)
    if not groups:
        why = f": {obstacles[0]} needs them" if obstacles else ""
        raise ModelError(f"no channel of this network can be left out{why}")
    return ChannelGraph(groups, {axis: len(numbers) for axis, numbers in recorder.axes.items()}, recorder.calls,
                        obstacles)


def _groups(recorder: Recorder) -> tuple[ChannelGroup, ...]:
    """The sets of tied numbers, those with places in the same dimensions together."""
    members: dict[int, dict[Axis, list[int]]] = defaultdict(lambda: defaultdict(list))
    for axis, numbers in recorder.axes.items():
        for place, number in enumerate(numbers.tolist()):
            root = recorder.numbers.find(number)
            if root != FIXED:
                members[root][axis].append(place)
    alike: dict[tuple[tuple[Axis, int], ...], list[Unit]] = defaultdict(list)
    for unit in members.values():
        key = tuple(sorted((axis, len(places)) for axis, places in unit.items()))
        alike[key].append({axis: torch.tensor(places) for axis, places in unit.items()})
    order = {weight: number for number, weight in enumerate(recorder.calls)}
    groups = []
    for key, units in alike.items():
        if len(units) < 2 or not any(axis[0] in recorder.calls for axis, _ in key):
            continue
        first = min((axis for axis, _ in key if axis[0] in order), key=lambda axis: (order[axis[0]], axis[1]))
        groups.append(ChannelGroup(recorder.calls[first[0]].layer, tuple(units), dict(key)))
    return tuple(sorted(groups, key=lambda group: min(order.get(axis[0], len(order)) for axis in group.places)))


def cut(network: nn.Module, units: Sequence[Unit]) -> nn.Module:
    """A copy of the network without these units."""
    gone: dict[Axis, list[Tensor]] = defaultdict(list)
    for unit in units:
        for axis, places in unit.items():
            gone[axis].append(places)
    tensors: dict[str, Tensor] = {}
    for (name, dimension), several in gone.items():
        tensor = tensors.get(name, tensor_named(network, name).detach())
        stays = torch.ones(tensor.shape[dimension], dtype=torch.bool)
        stays[torch.cat(several)] = False
        tensors[name] = tensor.index_select(dimension, stays.nonzero()[:, 0])
    smaller = deepcopy(network)
    put_tensors(smaller, tensors)
    return smaller


def check_runs(smaller: nn.Module, form: Form) -> None:
    """Raises ModelError, with the layer, where a network that was cut cannot be run: numbers of channels may be written
    into its code."""
    here: list[str] = []
    try:
        with in_evaluation_mode(smaller), modules_noted(smaller, here):
            smaller(torch.zeros((1, form.channels, *form.size), dtype=form.dtype))
    except REFUSALS as error:
        raise ModelError(f"{here[-1] if here else 'the network'} cannot be run with fewer channels "
                         f"({described(error)}): numbers of channels are written into its code; take them from the "
                         "shapes of its tensors, as maps.flatten(1) does") from error


def left(graph: ChannelGraph, removed: Mapping[str, int] | Sequence[int]) -> dict[Axis, int]:
    """How long each dimension is once so many units of each group are left out."""
    numbers = list(removed.values()) if isinstance(removed, Mapping) else list(removed)
    lengths = Counter(dict(graph.lengths))
    for group, number in zip(graph.groups, numbers, strict=True):
        for axis, places in group.places.items():
            lengths[axis] -= number * places
    return dict(lengths)
