"""The view `feature_maps`: what the layers give for a picture, map by map."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lensmith.base.errors import UserError, escaped
from lensmith.base.viewing import viewable
from lensmith.study.explain.map_layers import layer_named
from lensmith.study.explain.views.layers import outputs_by_layer, stages
from lensmith.study.explain.views.sheet import in_rows, key_for, resized_to, sheet, tile, wrapped_words
from lensmith.study.explain.views.view import Panel, ViewSubject, whole

_COLUMNS = 8
_EDGE = 72        # pixels of a map
_PICTURE = 224    # pixels of the picture
_NAMED = 8        # layers that a refusal lists


@dataclass(frozen=True)
class LayerMaps:
    """What one layer gives."""

    layer: str
    maps: Tensor    # float32 [channels, rows, columns]


@dataclass(frozen=True)
class PictureMaps:
    """What the layers give for one picture."""

    file: str
    image: Tensor    # float [channels, height, width], as the network takes it
    layers: list[LayerMaps]


@dataclass(frozen=True)
class FeatureMaps:
    """The maps of pictures, layer by layer."""

    pictures: list[PictureMaps]
    drawn: int    # maps of a layer that are drawn

    def as_json(self) -> dict[str, Any]:
        return {"pictures": [{"file": one.file, "layers": [
            {"layer": each.layer, "shape": list(each.maps.shape), "least": float(each.maps.min()),
             "most": float(each.maps.max())} for each in one.layers]} for one in self.pictures]}

    def in_words(self) -> list[str]:
        return [f"{escaped(one.file)}: {each.layer} gives {each.maps.shape[0]} maps of {each.maps.shape[1]} x "
                f"{each.maps.shape[2]}" for one in self.pictures for each in one.layers]


def feature_maps(subject: ViewSubject, *, channels: int = 16) -> FeatureMaps:
    """The maps of the layers that are named, or of the last block before each change of the maps' size.

    channels: how many maps of a layer are drawn, those that vary most from cell to cell first.
    """
    drawn = whole("feature_maps", "channels", channels, most=4096)
    names = [layer_named(subject.network, name) for name in subject.layers]
    found = []
    for picture, place in subject.given():
        outputs = outputs_by_layer(subject.network, picture)
        for name in names:
            if name not in outputs or outputs[name].ndim != 4:
                some = ", ".join([one for one, output in outputs.items() if output.ndim == 4][-_NAMED:])
                raise UserError(f"layer {name!r} gives no maps; the last ones that do: {some or 'none'}")
        layers = [LayerMaps(name, outputs[name][0].float().cpu()) for name in names or stages(outputs)]
        if not layers:
            raise UserError("no layer of this network gives maps with more than one cell: take filters")
        found.append(PictureMaps(place.file, picture.cpu(), layers))
    return FeatureMaps(found, drawn)


def draw_feature_maps(found: FeatureMaps) -> list[Panel]:
    """The picture, then a sheet for each layer."""
    panels = []
    for number, one in enumerate(found.pictures):
        whole_picture = resized_to(viewable(seen_values(one.image), least=1, most=4096), _PICTURE)
        panels.append(Panel(f"feature_maps-{number:03d}", sheet([[whole_picture]]), escaped(one.file),
                            (f"The picture as the network takes it, {one.image.shape[1]} x {one.image.shape[2]}.",)))
        panels += [_panel(each, f"feature_maps-{number:03d}-{each.layer}", found.drawn) for each in one.layers]
    return panels


def _panel(one: LayerMaps, name: str, most: int) -> Panel:
    channels, rows, columns = one.maps.shape
    order = one.maps.flatten(1).std(1, correction=0).argsort(descending=True, stable=True)[:most].tolist()
    key = key_for(one.maps[order], "activation")
    tiles = [tile(one.maps[channel], key, _EDGE) for channel in order]
    image = sheet(in_rows(tiles, columns=_COLUMNS), key=key,
                  under=wrapped_words([str(channel) for channel in order], columns=_COLUMNS))
    which = f"the {len(order)} that vary most are shown, those first" if len(order) < channels else \
        "those that vary most first"
    return Panel(name, image, one.layer, (f"{channels} maps of {rows} x {columns}; {which}. The number beneath is the "
                                          "channel's, from 0; all maps of a layer have one scale.",))


def seen_values(picture: Tensor) -> Tensor:
    """uint8 or uint16 of a picture in its own units, which is to be looked at."""
    return picture.round().to(torch.uint8 if float(picture.max()) <= 255 else torch.uint16)
