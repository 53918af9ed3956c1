"""The layer that a lesson shows: its kernels and how they go over a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lensmith.base.errors import UserError, in_short
from lensmith.lessons.convolution.arithmetic import Geometry, Pair, Plane
from lensmith.lessons.convolution.kernels import KERNELS, PlaneKernel, geometry_of, read_kernel

CHANNELS = (1, 3)
MOST_FILTERS = 8
MOST_STEP = 8            # of stride and dilation


@dataclass(frozen=True)
class ConvolutionLayer:
    """Kernels, one a filter, and how they go over the picture."""

    kernels: Sequence[PlaneKernel]
    geometry: Geometry
    channels: int

    @property
    def weights(self) -> list[list[Plane]]:
        """[filters][channels][rows][columns]: each filter has its kernel once for each channel."""
        return [[kernel.rows] * self.channels for kernel in self.kernels]

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Filters, channels, rows, columns."""
        return len(self.kernels), self.channels, *self.geometry.kernel

    @property
    def weights_number(self) -> int:
        return math.prod(self.weight_shape)


def read_layer(kernels: Sequence[str], *, padding: str, stride: int, dilation: int, channels: int,
               filters: int | None) -> ConvolutionLayer:
    """The options of the command, checked. Raises UserError, in one line.

    `filters` is how many kernels there are: by itself as many as are given; more are taken from the table in order.
    """
    if channels not in CHANNELS:
        raise UserError(f"--channels {channels}: accepted are 1, which is gray, and 3, which is red, green and blue")
    for option, step in (("--stride", stride), ("--dilation", dilation)):
        if not 1 <= step <= MOST_STEP:
            raise UserError(f"{option} {step}: accepted are numbers from 1 to {MOST_STEP}")
    known = [read_kernel(text) for text in kernels]
    wanted = len(known) if filters is None else filters
    if not len(known) <= wanted <= MOST_FILTERS:
        raise UserError(f"--filters {wanted}: accepted are numbers from {len(known)}, the kernels that are given, to "
                        f"{MOST_FILTERS}")
    size = known[0].size
    odd = next((kernel for kernel in known if kernel.size != size), None)
    if odd is not None:
        raise UserError(f"--kernel: all kernels of a layer have the same size, and {in_short(odd.name)} has "
                        f"{odd.size[0]} x {odd.size[1]} values where the first has {size[0]} x {size[1]}")
    geometry = geometry_of(known[0], padding=padding, stride=stride, dilation=dilation)
    return ConvolutionLayer([*known, *_further(known, wanted)], geometry, channels)


def check_fits(layer: ConvolutionLayer, size: Pair, name: str) -> None:
    """Raise UserError where a picture of this size is smaller than the kernel, with the arithmetic."""
    if min(layer.geometry.output_size(size)) < 1:
        (rows, columns), (above, left) = layer.geometry.span, layer.geometry.padding
        zeros = f" and padding {max(above, left)}" if max(above, left) else ""
        raise UserError(f"{name} has {size[0]} x {size[1]} pixels{zeros}, and the kernel spans {rows} x {columns}: "
                        "take a larger picture, a smaller kernel or dilation, or more --padding")


def _further(known: Sequence[PlaneKernel], wanted: int) -> list[PlaneKernel]:
    """So many more kernels: those of the table that are not there yet, with zeros around them in a larger one."""
    size, names = known[0].size, {kernel.name for kernel in known}
    others = [kernel for kernel in KERNELS.values() if kernel.name not in names][: wanted - len(known)]
    if others and min(size) < max(others[0].size):
        raise UserError(f"--filters {wanted}: the kernels that have a name are larger than {size[0]} x {size[1]}: give "
                        f"--kernel {wanted} times")
    return [replace(kernel, rows=_framed(kernel.rows, size)) for kernel in others]


def _framed(rows: Plane, size: Pair) -> list[list[float]]:
    """The kernel in the middle of a larger one."""
    above, left = ((edge - own) // 2 for edge, own in zip(size, (len(rows), len(rows[0])), strict=True))
    return [[rows[y][x] if 0 <= y < len(rows) and 0 <= x < len(rows[0]) else 0.0
             for x in range(-left, size[1] - left)] for y in range(-above, size[0] - above)]
