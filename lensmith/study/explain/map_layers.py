"""The layers whose maps stand for what a network saw: found by itself, or named."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lensmith.base.errors import UserError, nearest
from lensmith.models.network import Network
from lensmith.study.explain.hooked import hooked, outputs_by_module

_NAMED = 8    # layers that a refusal lists


@torch.no_grad()
def map_layers(network: Network, picture: Tensor, *, several: bool) -> tuple[str, ...]:
    """The names of the modules that give the maps which explanations are made of, in the order in which they run.

    They are those of the backbone's maps that have more than one cell: the last one for what is said of a whole
    picture, all of them where `several`, as for objects of all sizes. Where the backbone gives none, as a network of
    the user's own that ends in scores, it is the last module that gives maps. Empty where the network has none.
    """
    given: list[Any] = []
    with hooked(network, ["backbone"], lambda _, output: given.append(output)):
        seen = _maps_by_module(network, picture)
    in_backbone = {name: found for name, found in seen.items() if name.startswith("backbone.")}
    of_maps = [_module_of(one, in_backbone) for one in _with_cells(given[-1])]
    chosen = list(dict.fromkeys(filter(None, of_maps))) or list(seen)[-1:]
    return tuple(chosen if several else chosen[-1:])


def named_layers(network: Network, picture: Tensor, names: Sequence[str]) -> tuple[str, ...]:
    """The same names, or with the "backbone." or "head." that was left out. Raises UserError for a module that there is
    not, or that gives no maps."""
    seen = _maps_by_module(network, picture)
    found = []
    for name in names:
        whole = layer_named(network, name)
        if whole not in seen:
            some = ", ".join(list(seen)[-_NAMED:])
            raise UserError(f"layer {name!r} gives no maps with more than one cell, which explanations are made of; "
                            f"the last ones that do: {some or 'none'}")
        found.append(whole)
    return tuple(found)


def layer_named(network: Network, name: str) -> str:
    """The same name, or with the beginning that was left out, as "backbone.", where only one module ends so. Raises
    UserError for a module that there is not."""
    modules = [one for one, _ in network.named_modules() if one]
    for whole in (name, f"backbone.{name}", f"head.{name}"):
        if whole in modules:
            return whole
    ending = [one for one in modules if one.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise UserError(f"several layers of the network are called {name!r}: {', '.join(ending[:_NAMED])}")
    near = nearest(name, [*modules, *(one.split(".", 1)[1] for one in modules if "." in one)])
    raise UserError(f"the network has no layer {name!r}.{near} `lensmith inspect` lists its layers")


def _maps_by_module(network: Network, picture: Tensor) -> dict[str, Tensor]:
    """What each module gives that is maps with more than one cell, by its name, in the order in which they end."""
    return outputs_by_module(network, picture, lambda output: output if _has_cells(output) else None)


def _has_cells(output: Any) -> bool:
    """Whether it is maps with more than one cell."""
    return isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1


def _with_cells(maps: Any) -> list[Tensor]:
    """Those of a backbone's maps that have more than one cell."""
    return [one for one in (maps if isinstance(maps, list | tuple) else [maps]) if _has_cells(one)]


def _module_of(wanted: Tensor, seen: Mapping[str, Tensor]) -> str:
    """The module that gives a map, of nested ones the outermost; where the map was changed behind all modules, as by a
    function, the last one that gives as many channels and cells. Empty where there is none."""
    alike = [name for name, found in seen.items() if found.shape == wanted.shape]
    equal = [name for name in alike if torch.equal(seen[name], wanted)]
    return (equal or alike or [""])[-1]
