"""What the page of the lesson shows, for its template and for its script."""

import json
from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import count, escaped
from lensmith.lessons.convolution.kernels import KERNELS, MOST_EDGE, PlaneKernel
from lensmith.lessons.convolution.network_to_beat import SHIFTS, SideBySide
from lensmith.lessons.convolution.own_network import FirstConvolution
from lensmith.lessons.convolution.taught import Taught
from lensmith.lessons.convolution.two_halves import TwoHalves, heavy_in_words
from lensmith.lessons.convolution.words import product_of
from lensmith.lessons.page_pictures import byte_data, image_data

_SLICES = {1: "orange above 0 and blue below", 3: "its three slices as red, green and blue, and gray at 0"}
_FURTHEST = 3    # where a slider ends, unless the lesson was asked for more


def page_contents(taught: Taught, command: str) -> dict[str, Any]:
    """What templates/convolution.html.jinja needs. `command` is how the lesson was asked for."""
    layer, geometry, picture = taught.layer, taught.layer.geometry, taught.picture
    names = [kernel.name for kernel in layer.kernels]
    return {
        "page": _for_script(taught), "command": command, "picture_name": escaped(picture.name),
        "rows": picture.size[0], "columns": picture.size[1],
        "patch_row": taught.corner[0], "patch_column": taught.corner[1],
        "most_padding": max(_FURTHEST, *geometry.padding), "most_stride": max(_FURTHEST, geometry.stride),
        "most_dilation": max(_FURTHEST, geometry.dilation), "first_kernel": names[0],
        "channels": layer.channels, "filters": len(names), "kernel_edge": min(max(geometry.kernel) | 1, MOST_EDGE),
        "layer_words": f"This layer has {count(len(names), 'filter')} of {count(layer.channels, 'channel')}: its "
                       f"weight has the shape {product_of(layer.weight_shape)}, "
                       f"{count(layer.weights_number, 'number')}.",
        "heavy_words": heavy_in_words(), "halves": _halves(taught.halves), "recipe": _recipe(layer.kernels[0]),
        "trained": _trained(taught.trained) if taught.trained else None,
        "own": _own(taught.own) if taught.own else None}


def _for_script(taught: Taught) -> dict[str, Any]:
    """LESSON of templates/convolution_page.js."""
    layer, geometry = taught.layer, taught.layer.geometry
    return {
        "size": list(taught.picture.size), "colours": byte_data(taught.picture.colours),
        "gray": byte_data(taught.picture.gray), "channels": layer.channels,
        "kernels": [_kernel(kernel) for kernel in layer.kernels],
        "known": {name: _kernel(kernel) for name, kernel in KERNELS.items()},
        "padding": list(geometry.padding), "stride": geometry.stride, "dilation": geometry.dilation,
        "patch": {"row": taught.corner[0], "column": taught.corner[1], "rows": len(taught.patch[0]),
                  "columns": len(taught.patch[0][0])}}


def _kernel(kernel: PlaneKernel) -> dict[str, Any]:
    return {"name": kernel.name, "rows": [list(row) for row in kernel.rows], "words": kernel.words}


def _halves(halves: TwoHalves) -> dict[str, Any]:
    parts = []
    for name, rows in (("features", halves.features), ("classifier", halves.classifier)):
        shown = [{"name": row.name.rpartition(".")[2], "kind": row.kind, "shape": product_of(row.shape),
                  "parameters": f"{row.parameters:,}"} for row in rows]
        parts.append({"words": f"{name}: {halves.parameters(rows):,} weights", "rows": shown})
    return {"size": halves.size, "channels": halves.channels, "parts": parts, "words": halves.in_words()}


def _trained(compared: SideBySide) -> dict[str, Any]:
    rows = [{"words": one.words, "parameters": f"{one.parameters:,}", "accuracy": one.accuracy,
             "shown": f"{100 * one.accuracy:.1f} %",
             "shifted": [f"{100 * one.shifted[shift]:.1f} %" for shift in SHIFTS]} for one in compared.contenders]
    return {"words": compared.in_words(), "rows": rows, "shifts": SHIFTS, "verdict": compared.verdict()}


def _own(own: FirstConvolution) -> dict[str, Any]:
    filters, slices = own.weight.shape[:2]
    kernels, maps = own.kernel_pictures(), own.map_pictures()
    more = f" The first {len(maps)} are shown." if filters > len(maps) else ""
    return {
        "run": escaped(own.run), "picture": image_data(own.seen_picture()),
        "form": product_of(own.picture.shape),
        "words": f"The layer {own.layer} has the weight {product_of(own.weight.shape)}: training has found these "
                 f"numbers, nobody typed them. Of {product_of(own.inputs.shape)} values it makes "
                 f"{product_of(own.maps.shape)}.{more} Under each map stands its kernel, "
                 f"{_SLICES.get(slices, 'the slice of its first channel')}.",
        "filters": [{"kernel": image_data(kernel), "map": image_data(map_)}
                    for kernel, map_ in zip(kernels, maps, strict=True)]}


def _recipe(kernel: PlaneKernel) -> str:
    """A recipe with this kernel, where it is square, else with sobel."""
    rows = kernel.rows if kernel.size[0] == kernel.size[1] else KERNELS["sobel"].rows
    numbers: list[list[float]] = [[int(value) if value == int(value) else value for value in row] for row in rows]
    settings: Mapping[str, str] = {"data": 'name = "fashion-mnist"', "backbone": 'name = "stack"'}
    lines = [line for section, text in settings.items() for line in (f"[{section}]", text, "")][:-1]
    layers = ["layers = [", f"  {{conv = 1, weights = {json.dumps(numbers)}}},",
              '  "relu", {maxpool = 2}, {dense = 120}, "relu",', "]"]
    return "\n".join(["# typed.toml", *lines, *layers])
