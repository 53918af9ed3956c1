"""The lesson as a whole: a layer at work on a picture, in lines, as JSON and for the page."""

import shlex
from collections.abc import Sequence
from typing import Any

from lensmith.base.errors import count, escaped
from lensmith.lessons.convolution.animation import animation
from lensmith.lessons.convolution.arithmetic import OutputValue, Plane, convolved, output_values, pooled
from lensmith.lessons.convolution.page import page_contents
from lensmith.lessons.convolution.taught import Taught
from lensmith.lessons.convolution.two_halves import dense_weights, heavy_in_words
from lensmith.lessons.convolution.words import bytes_in_words, number_grid, plain_number, product_of, spelled_sum
from lensmith.lessons.lesson import Lesson

ANIMATION = "convolution.gif"
_SPELLED = 2     # output values that the terminal shows with all their numbers
_NAMES = {1: ("gray",), 3: ("red", "green", "blue")}


def convolution_lesson(taught: Taught) -> Lesson:
    """The lesson, computed."""
    facts = _facts(taught)
    lines = [*_size_lines(taught), "", *_patch_lines(taught), "", *_further_lines(taught)]
    gif = animation(taught.patch, taught.layer)
    return Lesson("convolution", lines, facts, page_contents(taught, shlex.join(taught.command)), {ANIMATION: gif})


def _facts(taught: Taught) -> dict[str, Any]:
    picture, layer, geometry = taught.picture, taught.layer, taught.layer.geometry
    maps = convolved(taught.patch, layer.weights, geometry)
    facts: dict[str, Any] = {
        "picture": {"name": picture.name, "own_size": list(picture.own_size), "size": list(picture.size)},
        "kernels": [{"name": kernel.name, "rows": [list(row) for row in kernel.rows]} for kernel in layer.kernels],
        "padding": list(geometry.padding), "stride": geometry.stride, "dilation": geometry.dilation,
        "span": list(geometry.span), "formula": geometry.formula(picture.size),
        "input_shape": [layer.channels, *picture.size], "weight_shape": list(layer.weight_shape),
        "output_shape": [len(layer.kernels), *taught.output_size],
        "patch": {"row": taught.corner[0], "column": taught.corner[1], "pixels": taught.patch, "maps": maps,
                  "pooled": {kind: pooled(maps[0], 2, kind) for kind in ("max", "mean")}},
        "dense_layer": {"inputs": dense_weights(3, 1000, 1000, 1), "bytes": {
            str(units): 4 * dense_weights(3, 1000, 1000, units) for units in (256, 1000)}},
        "lenet": {"features": taught.halves.parameters(taught.halves.features),
                  "classifier": taught.halves.parameters(taught.halves.classifier)}}
    if taught.trained is not None:
        compared = taught.trained
        facts["network_to_beat"] = {"data": compared.data, "learned_from": compared.learned_from,
                                    "tested": compared.tested, "epochs": compared.epochs, "networks": {
            one.name: {"parameters": one.parameters, "accuracy": one.accuracy, "seconds": round(one.seconds, 2),
                       "moved": {str(shift): score for shift, score in one.shifted.items()}}
            for one in compared.contenders}}
    if taught.own is not None:
        value = taught.own.by_hand()
        facts["run"] = {"layer": taught.own.layer, "weight_shape": list(taught.own.weight.shape),
                        "output_shape": list(taught.own.maps.shape), "place": [0, value.row, value.column],
                        "by_hand": value.total + float(taught.own.bias[0]),
                        "by_network": float(taught.own.maps[0, value.row, value.column])}
    return facts


def _size_lines(taught: Taught) -> list[str]:
    """How large everything is."""
    layer, geometry = taught.layer, taught.layer.geometry
    names = " and ".join(dict.fromkeys(kernel.name for kernel in layer.kernels))
    channels, filters = layer.channels, len(layer.kernels)
    padding = " and ".join(str(zeros) for zeros in dict.fromkeys(geometry.padding))
    return [
        f"{taught.picture.name}: {product_of(taught.picture.size)} pixels, {count(channels, 'channel')}",
        f"kernels: {names}; padding {padding}, stride {geometry.stride}, dilation {geometry.dilation}; span "
        f"{product_of(geometry.span)} pixels",
        f"size of a map: (size + 2 * padding - span) // stride + 1: {geometry.formula(taught.picture.size)}",
        f"{count(channels, 'channel')} and {count(filters, 'filter')} give {count(filters, 'map')} of "
        f"{product_of(taught.output_size)}, by a weight of {product_of(layer.weight_shape)} = "
        f"{count(layer.weights_number, 'number')}"]


def _patch_lines(taught: Taught) -> list[str]:
    """The first values with all their numbers, and the map of the patch."""
    layer, names, kernel = taught.layer, _NAMES[taught.layer.channels], taught.layer.kernels[0]
    lines = [f"the pixels from row {taught.corner[0]} and column {taught.corner[1]} on, and the first filter, "
             f"{kernel.name}:"]
    for number, value in enumerate(output_values(taught.patch, layer.weights[0], layer.geometry)):
        if number == _SPELLED:
            break
        lines += ["", f"output ({value.row}, {value.column}): window * kernel = products",
                  *_spelled(value, names, kernel.rows)]
    values = convolved(taught.patch, layer.weights[:1], layer.geometry)[0]
    return [*lines, "", f"all {count(sum(map(len, values)), 'value')} of its map on this patch:", *number_grid(values)]


def _spelled(value: OutputValue, names: Sequence[str], kernel: Plane) -> list[str]:
    """A line for each row of the kernel, channel after channel, and the sum of the channels."""
    lines = []
    for name, window, products, total in zip(names, value.window, value.products, value.sums, strict=True):
        grids = [number_grid(block) for block in (window, kernel, products)]
        middle = (len(kernel) - 1) // 2
        for number, parts in enumerate(zip(*grids, strict=True)):
            signs = (" * ", " = ", f"  sum {plain_number(total)}") if number == middle else ("   ", "   ", "")
            label = name if number == middle else ""
            joined = "".join(part + sign for part, sign in zip(parts, signs, strict=True))
            lines.append(f"{label:<7}{joined}".rstrip())
    if len(names) > 1:
        lines.append(f"{spelled_sum(value.sums)} = {plain_number(value.total)}")
    return lines


def _further_lines(taught: Taught) -> list[str]:
    """What follows from it: any size of picture, the two halves, the network to beat."""
    weights = taught.layer.weights_number
    lines = [f"a picture of any other size takes the same {count(weights, 'number')}, "
             f"{bytes_in_words(4 * weights)}. {heavy_in_words()}", taught.halves.in_words()]
    if taught.trained is not None:
        lines += [taught.trained.in_words(), taught.trained.verdict()]
    return lines if taught.own is None else [*lines, "", *map(escaped, taught.own.lines())]
