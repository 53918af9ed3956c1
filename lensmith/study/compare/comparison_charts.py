"""The charts of a comparison: curves aligned by step, time and pictures seen, and the score beside a cost."""

from collections.abc import Sequence

from lensmith.base.svg import BLUE, GREEN, ORANGE, PURPLE, axes, document, dots, line, spanning, words
from lensmith.study.compare.costs import CostRow
from lensmith.study.compare.entry import Entry

MOST_CURVES = 8
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
_DASHES = ("", ' stroke-dasharray="5 3"')    # of the first four curves, and of the next
_LONGEST = 44       # letters of a run's name
_DOTS_UP_TO = 40    # points of a curve up to which each has a dot
_WIDTH, _LEFT, _TOP, _BOTTOM = 302.0, 44.0, 26.0, 166.0


def aligned_curves(runs: Sequence[Entry], names: Sequence[str], metric: str) -> str:
    """The score on the valid split by step, by time and by pictures seen, of up to eight runs; by the training loss
    where a run has no such score, and an empty text where none has a history."""
    runs, names = runs[:MOST_CURVES], names[:MOST_CURVES]
    column = f"valid/{metric}" if all(any(f"valid/{metric}" in row for row in run.history) for run in runs) \
        else "train/loss"
    panels = {"step": [[(row.get("step"), row.get(column)) for row in run.history] for run in runs],
              "seconds": [[(row.get("time"), row.get(column)) for row in run.history] for run in runs],
              "pictures seen": [[(None if run.learned_from is None else row["epoch"] * run.learned_from,
                                  row.get(column)) for row in run.history] for run in runs]}
    charts = [chart for below, curves in panels.items() if (chart := _panel(curves, below, column))]
    if not charts:
        return ""
    parts: list[str] = []
    for number, name in enumerate(names):
        y = 10 + 13 * number
        parts += [line([(0, y), (18, y)], colour=_COLOURS[number % len(_COLOURS)],
                       style=_DASHES[number // len(_COLOURS)]), words(24, y, _short(name))]
    return "".join([*charts, document("curves-legend", _WIDTH, 16 + 13 * len(names), parts)])


def _panel(curves: Sequence[Sequence[tuple[float | None, float | None]]], below: str, column: str) -> str:
    """One chart with a curve a run; an empty text where none has a point."""
    shown = [[(x, y) for x, y in curve if x is not None and y is not None] for curve in curves]
    if not any(shown):
        return ""
    across = spanning([x for curve in shown for x, _ in curve], _LEFT, _WIDTH - 12)
    up = spanning([y for curve in shown for _, y in curve], _BOTTOM, _TOP)
    parts = axes(across, up, title=column, below=below)
    for number, points in enumerate(shown):
        drawn, colour = [(across(x), up(y)) for x, y in points], _COLOURS[number % len(_COLOURS)]
        parts += [line(drawn, colour=colour, style=_DASHES[number // len(_COLOURS)]),
                  dots(drawn, colour=colour) if len(drawn) <= _DOTS_UP_TO else ""]
    return document(f"curves-{below.split()[0]}", _WIDTH, _BOTTOM + 34, parts)


def cost_chart(rows: Sequence[CostRow], cost: str, metric: str) -> str:
    """The score beside a cost, the runs on the front joined; an empty text where fewer than two runs have the cost."""
    shown = [row for row in rows if cost in row.costs]
    if len(shown) < 2:
        return ""
    across = spanning([row.costs[cost] for row in shown], _LEFT, _WIDTH - 12)
    up = spanning([row.score for row in shown], _BOTTOM, _TOP)
    front = sorted((row.costs[cost], row.score) for row in shown if cost in row.on_front)
    parts = axes(across, up, title=metric, below=cost)
    parts += [line([(across(x), up(y)) for x, y in front], colour=ORANGE, width=1.0),
              dots([(across(row.costs[cost]), up(row.score)) for row in shown], colour=BLUE, radius=2.5),
              dots([(across(x), up(y)) for x, y in front], colour=ORANGE, radius=2.5)]
    return document(f"cost-{cost.split()[0]}", _WIDTH, _BOTTOM + 34, parts)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST:]}"
