"""The parts of a chart as SVG text: scales, axes, lines, dots, words.

All lengths are points; y grows downwards. Ink takes the page's colour, and letters are text, not outlines.
"""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lensmith.base.html_page import image_address

INK = "currentColor"
# Okabe and Ito 2008: colour-blind people can tell these apart, on white and on black.
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#e07a00", "#009e73", "#a8649a"
LETTERS = 9.0         # points, the height of words
_MOST_TICKS = 7


@dataclass(frozen=True)
class AxisScale:
    """Maps the numbers from `low` to `high` evenly to the positions from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, *, whole: bool = False) -> list[float]:
        """Round numbers on the scale, at most 7: multiples of 1, 2 or 5 times a power of ten.

        With `whole` they are whole numbers.
        """
        rough = (self.high - self.low) / _MOST_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= rough)
        step = max(1.0, step) if whole else step
        return [number * step for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def spanning(values: Iterable[float], start: float, end: float) -> AxisScale:
    """A scale for all finite `values`, with a twentieth of room on both sides."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = 0.05 * (high - low)
    if room <= 1e-9 * max(abs(low), abs(high)):    # one value, or several that are equal up to rounding
        room = 0.05 * abs(high) or 0.5
    return AxisScale(low - room, high + room, start, end)


def words(x: float, y: float, text: str, *, anchor: str = "start", size: float = LETTERS, colour: str = INK,
          turned: bool = False) -> str:
    """Text whose middle line is at `y`; `turned` text reads upwards from (x, y)."""
    turn = f' transform="rotate(-90 {x:.2f} {y:.2f})"' if turned else ""
    return (f'<text x="{x:.2f}" y="{y:.2f}" dy=".35em" text-anchor="{anchor}" font-size="{size:.1f}" stroke="none" '
            f'fill="{colour}"{turn}>{html.escape(text)}</text>')


def line(points: Sequence[tuple[float, float]], *, colour: str = INK, width: float = 1.6, style: str = "") -> str:
    """A line through the points; a point that is not finite interrupts it."""
    steps, connected = [], False
    for x, y in points:
        finite = math.isfinite(x) and math.isfinite(y)
        if finite:
            steps.append(f"{'L' if connected else 'M'}{x:.2f} {y:.2f}")
        connected = finite
    return f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="{width}"{style}/>' if steps else ""


def dots(points: Sequence[tuple[float, float]], *, colour: str, radius: float = 1.75, style: str = "") -> str:
    """A dot for each finite point."""
    circles = [f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius}"/>' for x, y in points
               if math.isfinite(x) and math.isfinite(y)]
    return f'<g fill="{colour}" stroke="none"{style}>{"".join(circles)}</g>' if circles else ""


def bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle, its upper left corner at (x, y)."""
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{colour}" stroke="none"/>'


def picture_address(colours: np.ndarray) -> str:
    """The data URI of a PNG of `colours`, uint8 [height, width, 4]."""
    return image_address(Image.fromarray(colours), "png")


def axes(across: AxisScale, up: AxisScale, *, title: str = "", below: str = "", beside: str = "",
         whole: bool = False) -> list[str]:
    """Two axes with ticks and words, and faint lines at the ticks of the upright axis.

    With `whole` the ticks across are whole numbers.
    """
    left, right, bottom, top = across.start, across.end, up.start, up.end
    parts = [line([(left, top), (left, bottom), (right, bottom)], width=0.6)]
    for value in across.ticks(whole=whole):
        parts += [line([(across(value), bottom), (across(value), bottom + 3)], width=0.6),
                  words(across(value), bottom + 10, f"{value:.6g}", anchor="middle")]
    for value in up.ticks():
        parts += [line([(left, up(value)), (right, up(value))], width=0.4, style=' stroke-opacity=".35"'),
                  words(left - 4, up(value), f"{value:.6g}", anchor="end")]
    if title:
        parts.append(words(left, top - 10, title, size=10))
    if below:
        parts.append(words((left + right) / 2, bottom + 22, below, anchor="middle"))
    if beside:
        parts.append(words(left - 36, (top + bottom) / 2, beside, anchor="middle", turned=True))
    return parts


def legend(entries: Sequence[tuple[str, str]], right: float, y: float) -> list[str]:
    """(name, colour) pairs in a row that ends at `right`."""
    parts: list[str] = []
    for name, colour in reversed(entries):
        parts.append(words(right, y, name, anchor="end"))
        right -= ems(name) * LETTERS + 5
        parts.append(bar(right - 10, y - 1.5, 10, 3, colour))
        right -= 22
    return parts


def document(name: str, width: float, height: float, parts: Iterable[str]) -> str:
    """The parts as one <svg> element with the id `name`."""
    return (f'<svg id="{name}-chart" xmlns="http://www.w3.org/2000/svg" width="{width:.0f}pt" height="{height:.0f}pt" '
            f'viewBox="0 0 {width:.2f} {height:.2f}" font-family="sans-serif" role="img">\n'
            + "\n".join(part for part in parts if part) + "\n</svg>")


def ems(text: str) -> float:
    """The estimated width of a text in units of its size; letters beyond Latin, Greek and Cyrillic may be square."""
    return sum(0.65 if letter < "\u0590" else 1.1 for letter in text)
