"""The charts of a report as SVG text: the same numbers give the same bytes, and ink takes the page's colour."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from lensmith.study.report.svg import INK, Scale, axes, bar, document, dots, ems, legend, line, spanning, words

# Okabe and Ito 2008: told apart by colour-blind people too, on white and on black.
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#e07a00", "#009e73", "#a8649a"
_NUMBERS_UP_TO = 20       # classes of a confusion matrix whose cells still hold a number
_NAMES_UP_TO = 100        # classes whose names still fit beside it
_BARS_UP_TO = 60          # classes whose counts are drawn
_DOTS_UP_TO = 40          # epochs that are dots too
_LONGEST = 22             # letters of a name on an axis


def curves(rows: Sequence[Mapping[str, float]], *, score: str | None = None, best: int | None = None) -> str:
    """The losses over the epochs, and beside them the score with the epoch `best` marked.

    `rows` are those of history.csv as numbers; `score` is a headline, as `accuracy_top1`. Without rows an empty text.
    """
    if not rows:
        return ""
    series = {name: _series(rows, name) for name in ("train/loss", "valid/loss", f"valid/{score}")}
    across = [row["epoch"] for row in rows]
    parts = _curves({name.split("/")[0]: series[name] for name in ("train/loss", "valid/loss") if series[name]},
                    (BLUE, ORANGE), spanning(across, 44, 290), title="loss")
    width, scored = 302, series[f"valid/{score}"]
    if score is not None and scored:
        scale = spanning(across, 346, 592)
        parts += _curves({"": scored}, (ORANGE,), scale, title=f"{score} (valid)")
        width, here = 604, [value for epoch, value in scored if epoch == best]
        if best is not None and here:
            x, y = scale(best), spanning([value for _, value in scored], 166, 26)(here[0])
            after = best > sum(across[:: max(1, len(across) - 1)]) / 2
            parts += [line([(x, 26), (x, 166)], colour=GREEN, width=0.8, style=' stroke-dasharray="1 2"'),
                      dots([(x, y)], colour="none", radius=4.5, style=f' style="stroke:{GREEN}"'),
                      words(x + (-5 if after else 5), 160, f"best: epoch {best:g}", colour=GREEN,
                            anchor="end" if after else "start")]
    return document("curves", width, 200, parts)


def _curves(series: Mapping[str, Sequence[tuple[float, float]]], colours: Sequence[str], across: Scale, *,
            title: str) -> list[str]:
    """Lines over the epochs on axes of their own, with a legend where they are named."""
    up = spanning([value for points in series.values() for _, value in points], 166, 26)
    parts = axes(across, up, title=title, below="epoch", whole=True)
    for colour, points in zip(colours, series.values(), strict=False):
        places = [(across(epoch), up(value)) for epoch, value in points]
        parts += [line(places, colour=colour), dots(places, colour=colour) if len(places) <= _DOTS_UP_TO else ""]
    return parts + legend([(name, colour) for name, colour in zip(series, colours, strict=False) if name],
                          across.end, 16)


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix, rows the truth: the depth of a cell is its share of the row, blue right and orange wrong."""
    counts = np.asarray(matrix, dtype=np.int64)
    classes = len(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    colours = np.empty((classes, classes, 4), dtype=np.uint8)
    colours[:] = [0xE0, 0x7A, 0, 0]
    colours[np.eye(classes, dtype=bool), :3] = [0, 0x72, 0xB2]
    # The root shows the few mistakes beside the many hits.
    colours[..., 3] = np.rint(255 * np.sqrt(share))
    size = float(np.clip(260 / classes, 3.4, 9))
    every = range(classes) if classes <= _NAMES_UP_TO else range(0, classes, -(-classes // 25))
    labels = [_short(names[i]) if classes <= _NAMES_UP_TO else str(i + 1) for i in every]
    longest = max(map(ems, labels)) * size
    edge = float(np.clip(30 * classes, 140, 430 if classes <= _DOTS_UP_TO else 640))
    left, cell = 30 + longest, edge / classes
    upright = longest <= 0.9 * cell
    bottom = edge + 6
    parts = [f'<image x="{left:.2f}" y="6" width="{edge:.2f}" height="{edge:.2f}" preserveAspectRatio="none" '
             f'style="image-rendering:pixelated" href="{picture_address(colours)}"/>',
             line([(left, 6), (left + edge, 6), (left + edge, bottom), (left, bottom), (left, 6)], width=0.6)]
    for i, label in zip(every, labels, strict=True):
        middle = (i + 0.5) * cell
        parts.append(words(left - 4, 6 + middle, label, anchor="end", size=size))
        parts.append(words(left + middle, bottom + 4 + (size / 2 if upright else 0), label, size=size,
                           anchor="middle" if upright else "end", turned=not upright))
    if classes <= _NUMBERS_UP_TO:
        for row, column in np.argwhere(counts > 0).tolist():
            parts.append(words(left + (column + 0.5) * cell, 6 + (row + 0.5) * cell, _brief(int(counts[row, column])),
                               anchor="middle", size=min(size, cell / 3),
                               colour="white" if colours[row, column, 3] > 0.7 * 255 else INK))
    below = bottom + (size if upright else longest) + 16
    parts += [words(left + edge / 2, below, "predicted", anchor="middle"),
              words(10, 6 + edge / 2, "truth", anchor="middle", turned=True)]
    return document("confusion", left + edge + 6, below + 10, parts)


def picture_address(colours: np.ndarray) -> str:
    """uint8 [height, width, 4] as the address of a PNG."""
    written = BytesIO()
    Image.fromarray(colours).save(written, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"


def scatter(pairs: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """For each quantity its [truth, prediction] pairs as dots around the line on which both agree; up to 12."""
    shown = list(pairs.items())[:12]
    if not shown:
        return ""
    parts: list[str] = []
    for number, (name, points) in enumerate(shown):
        left, top = 52 + 209 * (number % 3), 24 + 200 * (number // 3)
        finite = [(truth, said) for truth, said in points if np.isfinite([truth, said]).all()]
        across = spanning([truth for truth, _ in finite], left, left + 148)
        up = spanning([said for _, said in finite], top + 142, top)
        parts += axes(across, up, title=_short(name), below="truth", beside="predicted")
        parts.append(dots([(across(truth), up(said)) for truth, said in finite], colour=BLUE,
                          style=' fill-opacity=".35"'))
        # Both agree where the numbers of the two axes meet.
        low, high = max(across.low, up.low), min(across.high, up.high)
        if low < high:
            parts.append(line([(across(low), up(low)), (across(high), up(high))], colour=ORANGE, width=1))
    return document("scatter", 209 * min(len(shown), 3), 200 * -(-len(shown) // 3), parts)


def counts(splits: Mapping[str, Mapping[str, int]]) -> str:
    """Pictures of each class, a bar for each split; without classes, or with more than 60, an empty text."""
    names = list(dict.fromkeys(name for per_class in splits.values() for name in per_class))
    shown = [split for split in splits if splits[split]]
    if not 1 < len(names) <= _BARS_UP_TO:
        return ""
    colours = (BLUE, ORANGE, GREEN, PURPLE)
    labels = [_short(name) for name in names]
    left, top = max(map(ems, labels)) * 9 + 14, 24 if len(shown) > 1 else 8
    bottom, thick = top + 19 * len(names), 15 / len(shown)
    across = Scale(0, 1.05 * max(1, *(max(per_class.values(), default=0) for per_class in splits.values())), left, 500)
    parts = [line([(left, top), (left, bottom), (across.end, bottom)], width=0.6),
             words((left + across.end) / 2, bottom + 22, "pictures", anchor="middle"),
             *(legend(list(zip(shown, colours, strict=False)), across.end, 10) if len(shown) > 1 else ())]
    for value in across.ticks(whole=True):
        parts += [line([(across(value), top), (across(value), bottom + 3)], width=0.4, style=' stroke-opacity=".35"'),
                  words(across(value), bottom + 10, f"{value:.6g}", anchor="middle")]
    for row, (name, label) in enumerate(zip(names, labels, strict=True)):
        parts.append(words(left - 4, top + 19 * (row + 0.5), label, anchor="end"))
        parts += [bar(left, top + 19 * row + 2 + i * thick, across(splits[split].get(name, 0)) - left, thick, colour)
                  for i, (split, colour) in enumerate(zip(shown, colours, strict=False))]
    return document("counts", 518, bottom + 32, parts)


def _series(rows: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[name]) for row in rows if name in row]


def _short(name: str) -> str:
    """At most 22 letters; what cannot be printed, a line break or an escape, shows as �."""
    name = "".join(letter if letter.isprintable() else "�" for letter in name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _brief(number: int) -> str:
    """At most four signs."""
    return str(number) if number < 10_000 else f"{number / 1000:.0f}k" if number < 1_000_000 else f"{number / 1e6:.0f}M"
