"""The charts of a detector's report as SVG text: its curves, and the statistics of the boxes in the data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lensmith.base.svg import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    AxisScale,
    axes,
    bar,
    document,
    dots,
    line,
    picture_address,
    words,
)

_TOP, _BOTTOM = 26, 166    # of every panel, points
_CLASS = ' stroke-opacity=".3"'


def detection_curves(curves: Mapping[str, Any], *, threshold: float | None = None) -> str:
    """Precision over recall, and F1 over the score from which boxes are shown, the best `threshold` marked.

    `curves` are those of `BoxMetrics`. The classes are thin lines, their mean a thick one. Without curves an empty
    text.
    """
    if not curves:
        return ""
    parts: list[str] = []
    panels = (("recall", "precision", "precision at IoU 0.5", 44, "recall"),
              ("score", "f1", "F1 at IoU 0.5", 346, "score from which boxes are shown"))
    for across_name, up_name, title, left, below in panels:
        across, up = AxisScale(0, 1, left, left + 246), AxisScale(0, 1, _BOTTOM, _TOP)
        parts += axes(across, up, title=title, below=below)
        for values in curves[f"{up_name}_of"].values():
            parts.append(line(_points(across, up, curves[across_name], values), colour=INK, width=0.8, style=_CLASS))
        parts.append(line(_points(across, up, curves[across_name], curves[up_name]), colour=BLUE, width=2))
        if up_name == "f1" and threshold is not None:
            best = float(np.interp(threshold, curves["score"], curves["f1"]))
            x, y, late = across(threshold), up(best), threshold > 0.5
            parts += [line([(x, _TOP), (x, _BOTTOM)], colour=GREEN, width=0.8, style=' stroke-dasharray="1 2"'),
                      dots([(x, y)], colour="none", radius=4.5, style=f' style="stroke:{GREEN}"'),
                      words(x + (-5 if late else 5), _BOTTOM - 8, f"best: {best:.2f} at {threshold:.2f}", colour=GREEN,
                            anchor="end" if late else "start")]
    return document("detection", 604, 200, parts)


def _points(across: AxisScale, up: AxisScale, x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    return [(across(x_value), up(y_value)) for x_value, y_value in zip(x, y, strict=True)]


def box_charts(statistics: Mapping[str, Any]) -> str:
    """Histograms of widths, heights, areas and boxes in a picture, and a map of the centres, from `box_statistics`.

    Without a box an empty text.
    """
    if not statistics.get("boxes"):
        return ""
    parts = _bars(statistics["width"], 44, "width", colour=BLUE)
    parts += _bars(statistics["height"], 196, "height", colour=BLUE)
    parts += _bars(statistics["area"], 348, "area", colour=ORANGE, whole=True,
                   tick_text=lambda power: f"{100 * 10**power:.6g} %")
    parts += _bars({"low": -0.5, "high": len(statistics["per_picture"]) - 0.5, "counts": statistics["per_picture"]},
                   500, "boxes in a picture", colour=GREEN, whole=True)
    centres = np.asarray(statistics["centres"], dtype=np.float64)
    colours = np.zeros((*centres.shape, 4), dtype=np.uint8)
    colours[...] = (0, 0x72, 0xB2, 0)
    colours[..., 3] = np.rint(255 * centres / max(1.0, centres.max()))
    left, edge = 652, _BOTTOM - _TOP
    parts += [words(left, _TOP - 10, "centres", size=10),
              f'<image x="{left}" y="{_TOP}" width="{edge}" height="{edge}" preserveAspectRatio="none" '
              f'style="image-rendering:pixelated" href="{picture_address(colours)}"/>',
              line([(left, _TOP), (left + edge, _TOP), (left + edge, _BOTTOM), (left, _BOTTOM), (left, _TOP)],
                   width=0.6)]
    return document("boxes", left + edge + 8, 200, parts)


def _bars(histogram: Mapping[str, Any], left: float, title: str, *, colour: str,
          whole: bool = False, tick_text: Callable[[float], str] = "{:.6g}".format) -> list[str]:
    """A histogram in a panel of its own; with `whole` its ticks are whole numbers, `tick_text` says them."""
    counts = histogram["counts"]
    across = AxisScale(histogram["low"], histogram["high"], left, left + 106)
    up = AxisScale(0, 1.05 * max(1, *counts), _BOTTOM, _TOP)
    parts = [line([(left, _TOP), (left, _BOTTOM), (across.end, _BOTTOM)], width=0.6),
             words(left, _TOP - 10, title, size=10)]
    width = (across.end - left) / len(counts)
    parts += [bar(left + i * width + 0.4, up(number), max(0.4, width - 0.8), _BOTTOM - up(number), colour)
              for i, number in enumerate(counts) if number]
    parts += [words(left - 4, up(value), f"{value:.6g}", anchor="end") for value in up.ticks(whole=True)[::2]]
    for value in across.ticks(whole=whole)[::2]:
        parts += [line([(across(value), _BOTTOM), (across(value), _BOTTOM + 3)], width=0.6),
                  words(across(value), _BOTTOM + 10, tick_text(value), anchor="middle")]
    return parts
