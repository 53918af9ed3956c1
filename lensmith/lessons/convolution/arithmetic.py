"""The convolution of a lesson in plain loops, one output value after another, so that every number can be shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lensmith.models.backbone import map_edge

Plane = Sequence[Sequence[float]]    # [height][width]
Planes = Sequence[Plane]             # [channels][height][width]
Pair = tuple[int, int]               # rows, columns


@dataclass(frozen=True)
class Geometry:
    """How a kernel goes over a picture."""

    kernel: Pair
    padding: Pair = (0, 0)    # zeros on each side
    stride: int = 1
    dilation: int = 1

    @property
    def span(self) -> Pair:
        """Pixels from the kernel's first row and column to its last, both included."""
        rows, columns = self.kernel
        return (rows - 1) * self.dilation + 1, (columns - 1) * self.dilation + 1

    def output_size(self, size: Pair) -> Pair:
        """Rows and columns of the map of a picture with this size; below 1 where nothing is left."""
        rows, columns = (map_edge(edge, span, self.stride, padding)
                         for edge, span, padding in zip(size, self.span, self.padding, strict=True))
        return rows, columns

    def formula(self, size: Pair) -> str:
        """`(32 + 2 * 1 - 3) // 2 + 1 = 16`, of the columns too where these differ."""
        texts = dict.fromkeys(
            f"({edge} + 2 * {padding} - {span}) // {self.stride} + 1 = {map_edge(edge, span, self.stride, padding)}"
            for edge, span, padding in zip(size, self.span, self.padding, strict=True))
        return " and ".join(texts)


@dataclass(frozen=True)
class OutputValue:
    """One value of a map with all that it is made of."""

    row: int                     # of the map
    column: int
    window: Planes               # [channels][rows][columns]: the pixels under the kernel, zeros outside the picture
    products: Planes             # each pixel times its weight
    sums: Sequence[float]        # of the products of each channel
    total: float                 # of these: the value


def output_value(planes: Planes, weight: Planes, geometry: Geometry, row: int, column: int) -> OutputValue:
    """The value of a map at (row, column): window times kernel, element by element, and summed.

    weight: one filter, [channels][rows][columns]. Neither flipped nor with a bias: what deep learning calls a
    convolution is a cross-correlation (Goodfellow et al. 2016, chapter 9.1).
    """
    window = [_window(plane, geometry, row, column) for plane in planes]
    products = [[[pixel * factor for pixel, factor in zip(*rows, strict=True)]
                 for rows in zip(pixels, factors, strict=True)] for pixels, factors in zip(window, weight, strict=True)]
    sums = [sum(sum(line) for line in plane) for plane in products]
    return OutputValue(row, column, window, products, sums, sum(sums))


def output_values(planes: Planes, weight: Planes, geometry: Geometry) -> Iterator[OutputValue]:
    """Every value of the map of one filter, in the order of reading."""
    rows, columns = geometry.output_size((len(planes[0]), len(planes[0][0])))
    for row in range(rows):
        for column in range(columns):
            yield output_value(planes, weight, geometry, row, column)


def convolved(planes: Planes, weights: Sequence[Planes], geometry: Geometry) -> list[list[list[float]]]:
    """The maps [filters][rows][columns] of filters [filters][channels][rows][columns]."""
    _, columns = geometry.output_size((len(planes[0]), len(planes[0][0])))
    maps = []
    for weight in weights:
        values = [value.total for value in output_values(planes, weight, geometry)]
        maps.append([values[start: start + columns] for start in range(0, len(values), columns)])
    return maps


def pooled(plane: Plane, edge: int, kind: Literal["max", "mean"]) -> list[list[float]]:
    """A map of the largest or the mean value of each window of edge x edge; windows lie side by side, and what is left
    at the right and below is dropped."""
    rows, columns = map_edge(len(plane), edge, edge, 0), map_edge(len(plane[0]), edge, edge, 0)
    windows = [[[value for line in plane[row * edge: (row + 1) * edge] for value in line[column * edge:][:edge]]
                for column in range(columns)] for row in range(rows)]
    if kind == "max":
        return [[max(window) for window in line] for line in windows]
    return [[sum(window) / len(window) for window in line] for line in windows]


def _window(plane: Plane, geometry: Geometry, row: int, column: int) -> list[list[float]]:
    (kernel_rows, kernel_columns), (above, left) = geometry.kernel, geometry.padding
    lines = [row * geometry.stride - above + step * geometry.dilation for step in range(kernel_rows)]
    places = [column * geometry.stride - left + step * geometry.dilation for step in range(kernel_columns)]
    return [[plane[y][x] if 0 <= y < len(plane) and 0 <= x < len(plane[0]) else 0.0 for x in places] for y in lines]
