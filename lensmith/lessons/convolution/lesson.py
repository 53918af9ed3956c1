"""The lesson as a whole: a layer at work on a picture, in lines, as JSON and for the page."""

from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import count
from lensmith.lessons.convolution.arithmetic import OutputValue, Pair, Plane, convolved, output_values
from lensmith.lessons.convolution.layer import ConvolutionLayer, check_fits
from lensmith.lessons.convolution.picture import LessonPicture, as_numbers, busiest_patch
from lensmith.lessons.lesson import Lesson

_PATCH = 8       # pixels: the edge of the part of the picture whose numbers are shown, or the kernel's span
_SPELLED = 2     # output values that the terminal shows with all their numbers
_NAMES = {1: ("gray",), 3: ("red", "green", "blue")}


def convolution_lesson(picture: LessonPicture, layer: ConvolutionLayer) -> Lesson:
    """The lesson on a picture. Raises UserError for a picture that is smaller than the kernel."""
    check_fits(layer, picture.size, picture.name)
    planes = picture.planes(layer.channels)
    corner, size = _patch(picture, layer)
    patch = [[line[corner[1]: corner[1] + size[1]] for line in plane[corner[0]: corner[0] + size[0]]]
             for plane in as_numbers(planes)]
    values = list(output_values(patch, layer.weights[0], layer.geometry))
    facts = {**_facts(picture, layer), "patch": {"row": corner[0], "column": corner[1], "pixels": patch,
                                                 "maps": convolved(patch, layer.weights, layer.geometry)}}
    lines = [*_size_lines(facts), "", *_patch_lines(facts, values[:_SPELLED])]
    return Lesson("convolution", lines, facts, {"facts": facts, "lines": lines})


def _patch(picture: LessonPicture, layer: ConvolutionLayer) -> tuple[Pair, Pair]:
    """The (corner, size) of the part of the picture whose numbers are shown."""
    rows, columns = (min(edge, max(_PATCH, span)) for edge, span in zip(picture.size, layer.geometry.span, strict=True))
    return busiest_patch(picture.gray[0], (rows, columns)), (rows, columns)


def _facts(picture: LessonPicture, layer: ConvolutionLayer) -> dict[str, Any]:
    geometry, filters = layer.geometry, len(layer.kernels)
    output = geometry.output_size(picture.size)
    return {
        "picture": {"name": picture.name, "own_size": list(picture.own_size), "size": list(picture.size),
                    "channels": layer.channels},
        "kernels": [{"name": kernel.name, "rows": [list(row) for row in kernel.rows], "words": kernel.words}
                    for kernel in layer.kernels],
        "padding": list(geometry.padding), "stride": geometry.stride, "dilation": geometry.dilation,
        "span": list(geometry.span), "formula": geometry.formula(picture.size),
        "input_shape": [layer.channels, *picture.size], "output_shape": [filters, *output],
        "weight_shape": [filters, layer.channels, *geometry.kernel],
        "weights": filters * layer.channels * geometry.kernel[0] * geometry.kernel[1],
    }


def _size_lines(facts: Mapping[str, Any]) -> list[str]:
    """How large everything is."""
    (channels, *size), (filters, *output) = facts["input_shape"], facts["output_shape"]
    names = " and ".join(dict.fromkeys(kernel["name"] for kernel in facts["kernels"]))
    return [
        f"{facts['picture']['name']}: {_product(size)} pixels x {count(channels, 'channel')}",
        f"kernels: {names}; padding {facts['padding'][0]}, stride {facts['stride']}, dilation {facts['dilation']}",
        f"size of a map: (size + 2 * padding - span) // stride + 1: {facts['formula']}",
        f"{count(channels, 'channel')} and {count(filters, 'filter')} give {count(filters, 'map')} of "
        f"{_product(output)}, by a weight of {_product(facts['weight_shape'])} = {count(facts['weights'], 'number')}"]


def _patch_lines(facts: Mapping[str, Any], values: list[OutputValue]) -> list[str]:
    """The first values with all their numbers, and the map of the patch."""
    patch, names = facts["patch"], _NAMES[facts["picture"]["channels"]]
    lines = [f"the pixels from row {patch['row']} and column {patch['column']} on, and the first filter, "
             f"{facts['kernels'][0]['name']}:"]
    for value in values:
        lines += ["", f"output ({value.row}, {value.column})"]
        for name, window, products, total in zip(names, value.window, value.products, value.sums, strict=True):
            lines += _side_by_side(name, [window, facts["kernels"][0]["rows"], products], total)
        if len(names) > 1:
            lines.append(f"{' + '.join(shown(each) for each in value.sums)} = {shown(value.total)}")
    lines += ["", f"all {count(sum(map(len, patch['maps'][0])), 'value')} of its map on this patch:"]
    return lines + _grid(patch["maps"][0])


def _side_by_side(name: str, blocks: list[Plane], total: float) -> list[str]:
    """window * kernel = products -> their sum, the signs in the middle line."""
    grids = [_grid(block) for block in blocks]
    middle = (len(grids[0]) - 1) // 2
    lines = []
    for number, parts in enumerate(zip(*grids, strict=True)):
        signs = (" * ", " = ", f"  sum {shown(total)}") if number == middle else ("   ", "   ", "")
        label = name if number == middle else ""
        lines.append("".join([f"{label:<7}", *(part + sign for part, sign in zip(parts, signs, strict=True))]).rstrip())
    return lines


def _grid(plane: Plane) -> list[str]:
    """Right-aligned columns."""
    words = [[shown(value) for value in row] for row in plane]
    width = max(len(word) for row in words for word in row)
    return ["  ".join(word.rjust(width) for word in row) for row in words]


def shown(value: float) -> str:
    """A whole number as it is, others with up to three digits behind the point."""
    return f"{value:.3f}".rstrip("0").rstrip(".").replace("-0", "0") if abs(value) < 5e-4 else \
        f"{value:.3f}".rstrip("0").rstrip(".")


def _product(sizes: list[int]) -> str:
    """`2 x 3 x 3 x 3`"""
    return " x ".join(str(size) for size in sizes)
