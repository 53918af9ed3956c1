"""The layers that a view is made of, and what they give for pictures: maps, and one number a channel."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.models.network import Network
from lensmith.study.explain.map_layers import layer_named
from lensmith.study.explain.views.view import ViewSubject

LAST_MAP = "backbone"    # the module whose output ends in the backbone's last map
_NAMED = 8               # layers that a refusal lists


@torch.no_grad()
def outputs_by_layer(network: Network, picture: Tensor) -> dict[str, Tensor]:
    """What each module gives for a picture [channels, height, width], where that is a tensor [1, channels] or
    [1, channels, rows, columns]; by its name, in the order in which they end."""
    outputs: dict[str, Tensor] = {}

    def look(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim in (2, 4) and len(output) == 1:
            outputs.pop(name, None)    # a module that runs twice stands where it ran last
            outputs[name] = output.clone()    # the next layer may work in place

    hooks = [module.register_forward_hook(lambda _, __, output, name=name: look(name, output))
             for name, module in network.named_modules() if name]
    try:
        network(picture[None])
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


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
    kept: list[Any] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        while not isinstance(output, Tensor):    # of several maps the last one
            output = (list(output.values()) if isinstance(output, dict) else output)[-1]
        kept[:] = [output.clone()]    # the next layer may work in place

    hook = subject.network.get_submodule(layer).register_forward_hook(keep)
    try:
        answer = subject.network(pictures)
    finally:
        hook.remove()
    found: Tensor = kept[0]
    return answer, found if found.ndim == 4 else found[:, :, None, None]


def layer_in_words(layer: str) -> str:
    """`the backbone's last map`, or `layer backbone.layer3`"""
    return "the backbone's last map" if layer == LAST_MAP else f"layer {layer}"


def channel_of(number: Any, channels: int, layer: str) -> int:
    """A channel by its number from 0. Raises UserError for one that there is not."""
    if number != int(number) or not 0 <= number < channels:
        raise UserError(f"channel={number} cannot be: {layer_in_words(layer)} has the channels 0 to {channels - 1}")
    return int(number)
