"""The view `filters`: the weights of a layer as pictures."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.study.explain.map_layers import layer_named
from lensmith.study.explain.views.sheet import (
    Key,
    in_rows,
    key_for,
    number_in_words,
    resized_to,
    sheet,
    tile,
    wrapped_words,
)
from lensmith.study.explain.views.view import Panel, ViewSubject, whole

_NAMED = 8       # layers that a refusal lists
_COLUMNS = 8     # filters that are drawn side by side
_CHANNELS = 12   # channels of a filter that are drawn side by side
_EDGE = 72       # pixels of a filter
_CELL = 44       # pixels of one channel of a filter
_WIDEST = 640    # pixels of the weights of a dense layer


@dataclass(frozen=True)
class LayerFilters:
    """The weights of one layer."""

    layer: str
    kind: str          # convolution, transposed convolution, dense layer
    weights: Tensor    # float, a copy: [filters, channels, height, width], of a dense layer [outputs, inputs]


@dataclass(frozen=True)
class Filters:
    """The weights of layers, each a filter an output channel."""

    layers: list[LayerFilters]
    drawn: int         # filters of a layer that are drawn, the first ones
    colours: bool      # whether the pictures of the run have three channels, which are colours

    def as_json(self) -> dict[str, Any]:
        return {"layers": [{"layer": one.layer, "kind": one.kind, "shape": list(one.weights.shape),
                            "least": float(one.weights.min()), "most": float(one.weights.max())}
                           for one in self.layers]}

    def in_words(self) -> list[str]:
        return [f"{one.layer}: {len(one.weights):,} filters, weights {_shape(one.weights)}" for one in self.layers]


def filters(subject: ViewSubject, *, filters: int = 64) -> Filters:
    """The weights of the layers that are named, or of the first convolution.

    A dense layer that takes as many numbers as a picture has values takes the picture flattened: its weights come as
    pictures [outputs, channels, height, width].

    filters: how many of a layer are drawn.
    """
    drawn = whole("filters", "filters", filters, most=4096)
    having = {name: module for name, module in subject.network.named_modules()
              if isinstance(getattr(module, "weight", None), Tensor) and module.weight.ndim in (2, 4)}
    names = [layer_named(subject.network, name) for name in subject.layers] or _first(having)
    found = []
    for name in names:
        if name not in having:
            some = ", ".join(list(having)[:_NAMED])
            raise UserError(f"layer {name!r} has no filters, which convolutions and dense layers have; the first that "
                            f"do: {some or 'none'}")
        weights = having[name].weight.detach().float().cpu().contiguous().clone()
        picture = subject.form.channels, *subject.form.size
        if weights.ndim == 2 and weights.shape[1] == torch.Size(picture).numel():
            weights = weights.view(-1, *picture)
        elif isinstance(having[name], nn.ConvTranspose2d):    # whose weights have the input's channels first
            weights = weights.transpose(0, 1).contiguous()
        found.append(LayerFilters(name, _kind(having[name]), weights))
    return Filters(found, drawn, subject.form.channels == 3)


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.ConvTranspose2d):
        return "transposed convolution"
    return "convolution" if isinstance(module.weight, Tensor) and module.weight.ndim == 4 else "dense layer"


def _first(having: dict[str, nn.Module]) -> list[str]:
    """The first convolution, or, where there is none, the first dense layer."""
    first = next((name for name, module in having.items() if module.weight.ndim == 4), next(iter(having), None))
    if first is None:
        raise UserError("the network has no layer with filters, which convolutions and dense layers have")
    return [first]


def draw_filters(found: Filters) -> list[Panel]:
    """A sheet for each layer."""
    return [_panel(one, found.drawn, found.colours) for one in found.layers]


def _panel(one: LayerFilters, most: int, colours: bool) -> Panel:
    weights = one.weights[:most]
    key = key_for(one.weights, "weight")
    key = Key(min(key.low, -key.high), max(key.high, -key.low), "weight")    # 0 is in the middle, whatever the signs
    shown = f"; the first {most} filters are shown" if len(one.weights) > most else ""
    lines = [f"A {one.kind}, weights {_shape(one.weights)}{shown}."]
    if weights.ndim == 2:
        lines.append("Each row is an output, each column an input.")
        image = _matrix(weights, key)
    elif weights.shape[1] == 3 and colours:
        edge = float(key.high)
        tiles = [resized_to(in_colours(each, edge), _EDGE) for each in weights] if edge else []
        lines.append(f"A filter is shown in the colours that it looks for: mid-gray is 0, full colour is "
                     f"+{number_in_words(edge)}, none of it -{number_in_words(edge)}. The number beneath is the "
                     "filter's, from 0.")
        image = _wrapped(tiles, None)
    elif weights.shape[1] == 1:
        lines.append("The number beneath is the filter's, from 0.")
        image = _wrapped([tile(each[0], key, _EDGE) for each in weights], key)
    elif weights.shape[2:] == (1, 1):
        lines.append("Each row is a filter, each column a channel of what it takes.")
        image = _matrix(weights[:, :, 0, 0], key)
    else:
        channels = min(weights.shape[1], _CHANNELS)
        shown = f"; the first {channels} of {weights.shape[1]} are shown" if channels < weights.shape[1] else ""
        lines.append(f"Each row is a filter, each column a channel of what the layer takes{shown}.")
        image = sheet([[tile(part, key, _CELL) for part in each[:channels]] for each in weights],
                      rows=[str(number) for number in range(len(weights))], columns=[str(i) for i in range(channels)],
                      across="channel", down="filter", key=key)
    return Panel(f"filters-{one.layer}", image, one.layer, tuple(lines))


def in_colours(kernel: Tensor, most: float) -> Image.Image:
    """A filter [3, rows, columns] as a picture of a pixel a number: mid-gray at 0, full colour at `most`."""
    shades = (127.5 + 127.5 * kernel / most).round().clamp(0, 255).byte()
    return Image.fromarray(shades.permute(1, 2, 0).contiguous().numpy())


def _shape(weights: Tensor) -> str:
    return " x ".join(map(str, weights.shape))


def _wrapped(tiles: list[Image.Image], key: Key | None) -> Image.Image:
    labels = [str(number) for number in range(len(tiles))]
    return sheet(in_rows(tiles, columns=_COLUMNS), under=wrapped_words(labels, columns=_COLUMNS), key=key)


def _matrix(weights: Tensor, key: Key) -> Image.Image:
    """A dense layer's weights, each a square of at most ten pixels."""
    size = max(1, min(10, _WIDEST // max(weights.shape)))
    drawn = tile(weights, key, size * max(weights.shape)) if max(weights.shape) <= _WIDEST else \
        tile(weights, key, _WIDEST)
    return sheet([[drawn]], across=f"inputs 0 to {weights.shape[1] - 1}", down=f"outputs 0 to {weights.shape[0] - 1}",
                 key=key)
