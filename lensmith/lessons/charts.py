"""Charts of lessons as SVG text: lines over a number, and bars of several parts."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from lensmith.base.svg import (
    BLUE,
    GREEN,
    INK,
    LETTERS,
    ORANGE,
    PURPLE,
    AxisScale,
    axes,
    bar,
    document,
    dots,
    ems,
    line,
    spanning,
    words,
)

# Those of the report first; the further ones differ from them in lightness too.
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#c9a800", "#56b4e9", "#7a7a7a", "#8b3a1a", "#5ad1ab", "#4b3b8f", "#f2b48a",
           "#2f5d3a")
# Lines that lie on each other are told apart by the gaps in the upper one.
_DASHES = ("", "7 4", "2 3", "9 3 2 3")
_DOTS_UP_TO = 12    # points up to which each of a line has a dot
_HEIGHT, _WIDTH = 232, 300
Points = Sequence[tuple[float, float]]


def line_chart(name: str, series: Mapping[str, Points], *, title: str, below: str, marked: Points = (),
               whole: bool = False) -> str:
    """A line for each of the `series`, named below the axis, and a ring at each of the `marked` points.

    With `whole` the ticks across are whole numbers.
    """
    across = spanning([x for points in series.values() for x, _ in points], 52, _WIDTH - 8)
    up = spanning([y for points in series.values() for _, y in points], _HEIGHT - 64, 28)
    parts = axes(across, up, title=title, below=below, whole=whole)
    for colour, dashes, points in zip(cycle(COLOURS), cycle(_DASHES), series.values(), strict=False):
        drawn = [(across(x), up(y)) for x, y in points]
        style = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts += [line(drawn, colour=colour, style=style),
                  dots(drawn, colour=colour) if len(points) <= _DOTS_UP_TO else ""]
    parts.append(dots([(across(x), up(y)) for x, y in marked], colour="none", radius=5,
                      style=f' style="stroke:{INK};stroke-width:1.4"'))
    rows = _legend_rows([(label, colour) for label, colour in zip(series, cycle(COLOURS), strict=False) if label])
    for number, row in enumerate(rows):
        parts += _legend(row, 12, _HEIGHT - 26 + 14 * number)
    return document(name, _WIDTH, _HEIGHT - 30 + 14 * max(1, len(rows)), parts)


def part_bars(name: str, bars: Mapping[str, Mapping[str, float]], *, below: str) -> str:
    """A bar for each entry, made of its parts one behind the other, with a legend of the parts."""
    left, right, thick = max(ems(label) for label in bars) * 9 + 8, 560, 24
    most = max(1e-12, *(sum(parts.values()) for parts in bars.values()))
    across, bottom = AxisScale(0, 1.05 * most, left, right), 8 + 34 * len(bars)
    names = list(dict.fromkeys(part for parts in bars.values() for part in parts))
    colour_of = dict(zip(names, cycle(COLOURS), strict=False))
    drawn = [line([(left, 4), (left, bottom), (right, bottom)], width=0.6),
             words((left + right) / 2, bottom + 24, below, anchor="middle")]
    for value in across.ticks():
        drawn += [line([(across(value), 4), (across(value), bottom + 3)], width=0.4, style=' stroke-opacity=".35"'),
                  words(across(value), bottom + 11, f"{value:.6g}", anchor="middle")]
    for row, (label, parts) in enumerate(bars.items()):
        top, begin = 10 + 34 * row, 0.0
        drawn.append(words(left - 5, top + thick / 2, label, anchor="end"))
        for part, length in parts.items():
            drawn.append(bar(across(begin), top, across(begin + length) - across(begin), thick, colour_of[part]))
            begin += length
    rows = _legend_rows(list(colour_of.items()) if len(names) > 1 else [], right - left)
    for number, entries in enumerate(rows):
        drawn += _legend(entries, left, bottom + 42 + 14 * number)
    return document(name, right + 8, bottom + 40 + 14 * len(rows), drawn)


def _legend(entries: Sequence[tuple[str, str]], left: float, y: float) -> list[str]:
    """(name, colour) pairs in a row that begins at `left`."""
    parts: list[str] = []
    for name, colour in entries:
        parts += [bar(left, y - 1.5, 10, 3, colour), words(left + 13, y, name)]
        left += _entry_width(name)
    return parts


def _entry_width(name: str) -> float:
    """Of an entry of a legend; most letters are narrower than the estimate of `ems`."""
    return 0.9 * ems(name) * LETTERS + 26


def _legend_rows(entries: Sequence[tuple[str, str]], width: float = _WIDTH - 12.0) -> list[list[tuple[str, str]]]:
    """The entries in rows that fit the width."""
    rows: list[list[tuple[str, str]]] = [[]]
    used = 0.0
    for name, colour in entries:
        needed = _entry_width(name)
        if rows[-1] and used + needed > width:
            rows.append([])
            used = 0.0
        rows[-1].append((name, colour))
        used += needed
    return rows
