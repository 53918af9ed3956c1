"""The layers that a view is made of, and what they give for pictures: maps, and one number a channel."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.models.network import Network
from lensmith.study.explain.hooked import hooked, last_map, outputs_by_module
from lensmith.study.explain.map_layers import layer_named
from lensmith.study.explain.views.view import ViewSubject

LAST_MAP = "backbone"    # the module whose output ends in the backbone's last map
_NAMED = 8               # layers that a refusal lists


def outputs_by_layer(network: Network, picture: Tensor) -> dict[str, Tensor]:
    """What each module gives for a picture [channels, height, width], where that is a tensor [1, channels] or
    [1, channels, rows, columns]; by its name, in the order in which they end."""
    # A copy, since the next layer may work in place.
    return outputs_by_module(network, picture, lambda output: output.clone() if output.ndim in (2, 4) and
                             len(output) == 1 else None)


def stages(outputs: Mapping[str, Tensor]) -> list[str]:
    """The layers that show how a picture goes through a network: wherever the size of the maps changes the last block
    that gives the old one, a module that holds others, or the last layer where there is none. Maps of one cell do not
    count."""
    holding = {name.rpartition(".")[0] for name in outputs}
    of_maps = [(name, tuple(output.shape[2:])) for name, output in outputs.items()
               if output.ndim == 4 and output.shape[2] * output.shape[3] > 1]
    chosen = []
    for _, alike in groupby(of_maps, key=lambda pair: pair[1]):
        names = [name for name, _ in alike]
        chosen.append(([name for name in names if name in holding] or names)[-1])
    return chosen


def one_layer(subject: ViewSubject) -> str:
    """The layer that is named, else the module of the backbone's last map. Raises UserError for one that gives neither
    maps nor one number a channel."""
    if not subject.layers:
        return LAST_MAP
    layer = layer_named(subject.network, subject.layers[0])
    outputs = outputs_by_layer(subject.network, subject.blank())
    if layer not in outputs and layer != LAST_MAP:
        raise _gives_none(subject.layers[0], outputs)
    return layer


def _gives_none(layer: str, outputs: Mapping[str, Tensor]) -> UserError:
    some = ", ".join(list(outputs)[-_NAMED:])
    return UserError(f"layer {layer!r} gives neither maps nor a number a channel; the last ones that do: {some}")


def map_of(subject: ViewSubject, layer: str, pictures: Tensor) -> tuple[Any, Tensor]:
    """What the network gives for pictures, and the map of a layer, float [batch, channels, rows, columns]; a layer that
    gives one number a channel has one cell."""
    kept: list[Tensor] = []

    def keep(_: str, output: Any) -> None:
        kept[:] = [last_map(output).clone()]    # the next layer may work in place

    with hooked(subject.network, [layer], keep):
        answer = subject.network(pictures)
    return answer, kept[0] if kept[0].ndim == 4 else kept[0][:, :, None, None]


def layer_in_words(layer: str) -> str:
    """`the backbone's last map`, or `layer backbone.layer3`"""
    return "the backbone's last map" if layer == LAST_MAP else f"layer {layer}"


def channel_of(number: Any, channels: int, layer: str) -> int:
    """A channel by its number from 0. Raises UserError for one that there is not."""
    if number != int(number) or not 0 <= number < channels:
        raise UserError(f"channel={number} cannot be: {layer_in_words(layer)} has the channels 0 to {channels - 1}")
    return int(number)
