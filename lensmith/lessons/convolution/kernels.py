"""Kernels that have a name, and kernels that are typed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lensmith.base.errors import UserError, in_short, nearest
from lensmith.lessons.convolution.arithmetic import Geometry, Pair

MOST_EDGE = 11        # rows or columns of a kernel: AlexNet's first layer has the largest in common use
MOST_VALUE = 1000.0   # of a kernel's values, either sign: products stay readable


@dataclass(frozen=True)
class PlaneKernel:
    """A kernel of one channel."""

    name: str
    rows: Sequence[Sequence[float]]
    words: str    # what it does to a picture

    @property
    def size(self) -> Pair:
        return len(self.rows), len(self.rows[0])


def _named(name: str, text: str, words: str, *, over: int = 1) -> PlaneKernel:
    """A kernel whose values are those of `text` divided by `over`."""
    rows = tuple(tuple(float(value) / over for value in line.split()) for line in text.split(";"))
    return PlaneKernel(name, rows, words)


KERNELS: dict[str, PlaneKernel] = {kernel.name: kernel for kernel in (
    _named("sobel", "1 0 -1; 2 0 -2; 1 0 -1", "finds vertical edges: light on the left gives positive values"),
    _named("sobel_y", "1 2 1; 0 0 0; -1 -2 -1", "finds horizontal edges: light above gives positive values"),
    _named("laplacian", "0 1 0; 1 -4 1; 0 1 0", "finds edges and dots of any direction, nothing in even areas"),
    _named("blur", "1 1 1; 1 1 1; 1 1 1", "takes the mean of nine pixels", over=9),
    _named("gaussian", "1 2 1; 2 4 2; 1 2 1", "takes a mean in which near pixels count more", over=16),
    _named("sharpen", "0 -1 0; -1 5 -1; 0 -1 0", "adds to each pixel how it differs from its neighbours"),
    _named("emboss", "-2 -1 0; -1 1 1; 0 1 2", "shows slopes as if light came from the upper left"),
    _named("identity", "0 0 0; 0 1 0; 0 0 0", "leaves the picture as it is"),
)}


def read_kernel(text: str) -> PlaneKernel:
    """A kernel by its name in KERNELS, or by its values: `1 0 -1; 2 0 -2; 1 0 -1`, rows behind a semicolon, fractions
    such as 1/9 too. Raises UserError, in one line, for a name that is none, and for rows that are no kernel."""
    if text.strip() in KERNELS:
        return KERNELS[text.strip()]
    if re.fullmatch(r"[A-Za-z_][\w-]*", text.strip()):
        raise UserError(f"--kernel {text.strip()!r} is no kernel that has a name.{nearest(text.strip(), KERNELS)} "
                        f"Known: {', '.join(KERNELS)}; or type its values, as --kernel \"1 0 -1; 2 0 -2; 1 0 -1\"")
    rows = [line.replace(",", " ").split() for line in text.strip().strip(";").split(";")]
    values = tuple(tuple(_value(word, text) for word in row) for row in rows)
    lengths = [len(row) for row in values]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise UserError(f"--kernel {in_short(text)} is not rectangular: its rows have {_in_words(lengths)} values, and "
                        "all need as many")
    if max(len(values), lengths[0]) > MOST_EDGE:
        raise UserError(f"--kernel has {len(values)} x {lengths[0]} values; at most {MOST_EDGE} x {MOST_EDGE} can be "
                        "shown")
    return PlaneKernel("typed", values, "typed by hand")


def geometry_of(kernel: PlaneKernel, *, padding: str, stride: int, dilation: int) -> Geometry:
    """How a kernel goes over a picture. `padding` is a number of zeros, "valid" for none or "same" for as many as
    leave the size as it is. Raises UserError."""
    rows, columns = kernel.size
    if padding == "same":
        if rows % 2 == 0 or columns % 2 == 0:
            raise UserError(f"--padding same needs a kernel with a middle, and this one has {rows} x {columns} values: "
                            "take odd numbers of rows and columns, or give the zeros on each side, as --padding 1")
        if stride != 1:
            raise UserError(f"--padding same leaves the size as it is, and --stride {stride} does not: give the zeros "
                            f"on each side, as --padding {dilation * (max(rows, columns) - 1) // 2}")
        return Geometry((rows, columns), (dilation * (rows - 1) // 2, dilation * (columns - 1) // 2), stride, dilation)
    if padding != "valid" and not re.fullmatch(r"\d{1,2}", padding):
        raise UserError(f"--padding {in_short(padding)}: accepted are same, valid, and numbers from 0 to 99")
    zeros = 0 if padding == "valid" else int(padding)
    return Geometry((rows, columns), (zeros, zeros), stride, dilation)


def _value(word: str, text: str) -> float:
    try:
        value = float(Fraction(word))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise UserError(f"--kernel {in_short(text)}: {in_short(word)} is no number; rows stand behind a semicolon and "
                        f"values behind a space, as \"1 0 -1; 2 0 -2; 1 0 -1\", or a name: {', '.join(KERNELS)}"
                        ) from None
    if abs(value) > MOST_VALUE:
        raise UserError(f"--kernel {in_short(text)}: {in_short(word)} is too large; accepted are values from "
                        f"-{MOST_VALUE:g} to {MOST_VALUE:g}")
    return value


def _in_words(lengths: Sequence[int]) -> str:
    """`3, 2 and 3`"""
    words = [str(length) for length in lengths[:MOST_EDGE]]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
