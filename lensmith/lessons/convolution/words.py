"""Numbers of a lesson in words: in columns, in sums, with their units."""

from collections.abc import Sequence

from lensmith.lessons.convolution.arithmetic import Plane

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def plain_number(value: float, *, digits: int = 3) -> str:
    """A whole number as it is, others with up to so many digits behind the point."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"
    return "0" if text in ("-0", "") else text


def spelled_sum(values: Sequence[float]) -> str:
    """`3 + 4 - 5`"""
    words = [plain_number(value) for value in values]
    return " + ".join(words).replace("+ -", "- ")


def number_grid(plane: Plane) -> list[str]:
    """Right-aligned columns."""
    words = [[plain_number(value) for value in row] for row in plane]
    width = max(len(word) for row in words for word in row)
    return ["  ".join(word.rjust(width) for word in row) for row in words]


def product_of(sizes: Sequence[int]) -> str:
    """`2 x 3 x 3 x 3`"""
    return " x ".join(str(size) for size in sizes)


def bytes_in_words(number: int) -> str:
    """`12 GB`, `3.07 GB`, `432 bytes`: three figures, units of 1000."""
    size, unit = next(((size, unit) for size, unit in _UNITS if number >= size), (1, "bytes"))
    return f"{float(f'{number / size:.3g}'):g} {unit}"
