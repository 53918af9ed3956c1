"""The charts of a report as SVG text: the same numbers give the same bytes, and ink takes the page's colour."""

from collections.abc import Mapping, Sequence

import numpy as np

from lensmith.base.svg import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    AxisScale,
    axes,
    bar,
    document,
    dots,
    ems,
    legend,
    line,
    picture_address,
    spanning,
    words,
)

_NUMBERS_UP_TO = 20       # classes up to which the cells of a confusion matrix hold a number
_NAMES_UP_TO = 100        # classes up to which their names fit beside a confusion matrix
_BARS_UP_TO = 60          # classes up to which their counts are drawn
_DOTS_UP_TO = 40          # epochs up to which a curve has a dot for each
_LONGEST = 22             # letters of a name on an axis


def curves(rows: Sequence[Mapping[str, float]], *, score: str | None = None, best: int | None = None) -> str:
    """The losses over the epochs, and beside them the score with the epoch `best` marked; an empty text without rows.

    `rows` are those of history.csv as numbers; `score` is a headline, as `accuracy_top1`.
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
        width, best_scores = 604, [value for epoch, value in scored if epoch == best]
        if best is not None and best_scores:
            x, y = scale(best), spanning([value for _, value in scored], 166, 26)(best_scores[0])
            late = best > sum(across[:: max(1, len(across) - 1)]) / 2    # its words then stand to the left of it
            parts += [line([(x, 26), (x, 166)], colour=GREEN, width=0.8, style=' stroke-dasharray="1 2"'),
                      dots([(x, y)], colour="none", radius=4.5, style=f' style="stroke:{GREEN}"'),
                      words(x + (-5 if late else 5), 160, f"best: epoch {best:g}", colour=GREEN,
                            anchor="end" if late else "start")]
    return document("curves", width, 200, parts)


# The charts of a run that plays, in pairs: a title, and the column of the history of each line by its name.
_OF_PLAY = ((("return", {"measured": "valid/return", "while learning": "train/return"}),
             ("steps of an episode", {"measured": "valid/length", "while learning": "train/length"})),
            (("discounted return", {"expected": "value/expected", "real": "value/returned"}),
             ("exploration", {"": "exploration"})))


def play_curves(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """What the history of a run that plays tells beside its losses, two charts in a text; none of another run."""
    drawn = []
    across = [row["epoch"] for row in rows if "value/returned" in row or "train/episodes" in row]
    for pair in _OF_PLAY if across else ():
        parts: list[str] = []
        for (title, names), (left, right) in zip(pair, ((44, 290), (346, 592)), strict=True):
            series = {name: points for name, column in names.items() if (points := _series(rows, column))}
            if series:
                parts += _curves(series, (ORANGE, BLUE), spanning(across, left, right), title=title)
        drawn += [document("curves", 604, 200, parts)] if parts else []
    return drawn


def _curves(series: Mapping[str, Sequence[tuple[float, float]]], colours: Sequence[str], across: AxisScale, *,
            title: str) -> list[str]:
    """Lines over the epochs on axes of their own, with a legend where they are named."""
    up = spanning([value for points in series.values() for _, value in points], 166, 26)
    parts = axes(across, up, title=title, below="epoch", whole=True)
    for colour, points in zip(colours, series.values(), strict=False):
        drawn = [(across(epoch), up(value)) for epoch, value in points]
        parts += [line(drawn, colour=colour), dots(drawn, colour=colour) if len(drawn) <= _DOTS_UP_TO else ""]
    return parts + legend([(name, colour) for name, colour in zip(series, colours, strict=False) if name],
                          across.end, 16)


def confusion_chart(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix, rows the truth: a cell is the deeper, the larger its fraction of the row.

    Right predictions are blue, wrong ones orange.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    classes = len(counts)
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    colours = np.empty((classes, classes, 4), dtype=np.uint8)
    colours[:] = [0xE0, 0x7A, 0, 0]
    colours[np.eye(classes, dtype=bool), :3] = [0, 0x72, 0xB2]
    # The square root makes the few mistakes visible beside the many hits.
    colours[..., 3] = np.rint(255 * np.sqrt(fractions))
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


def scatter(pairs: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """For each of up to 12 quantities its [truth, prediction] pairs as dots around the line on which both agree."""
    shown = list(pairs.items())[:12]
    if not shown:
        return ""
    parts: list[str] = []
    for number, (name, points) in enumerate(shown):
        left, top = 52 + 209 * (number % 3), 24 + 200 * (number // 3)
        finite = [(truth, predicted) for truth, predicted in points    # in JSON None is what was not finite
                  if None not in (truth, predicted) and np.isfinite([truth, predicted]).all()]
        across = spanning([truth for truth, _ in finite], left, left + 148)
        up = spanning([predicted for _, predicted in finite], top + 142, top)
        parts += axes(across, up, title=_short(name), below="truth", beside="predicted")
        parts.append(dots([(across(truth), up(predicted)) for truth, predicted in finite], colour=BLUE,
                          style=' fill-opacity=".35"'))
        # Truth and prediction agree on the diagonal of what both axes show.
        low, high = max(across.low, up.low), min(across.high, up.high)
        if low < high:
            parts.append(line([(across(low), up(low)), (across(high), up(high))], colour=ORANGE, width=1))
    return document("scatter", 209 * min(len(shown), 3), 200 * -(-len(shown) // 3), parts)


def counts(splits: Mapping[str, Mapping[str, int]]) -> str:
    """The pictures of each class, a bar for each split; an empty text without classes or with more than 60."""
    names = list(dict.fromkeys(name for per_class in splits.values() for name in per_class))
    shown = [split for split in splits if splits[split]]
    if not 1 < len(names) <= _BARS_UP_TO:
        return ""
    colours = (BLUE, ORANGE, GREEN, PURPLE)
    labels = [_short(name) for name in names]
    left, top = max(map(ems, labels)) * 9 + 14, 24 if len(shown) > 1 else 8
    bottom, thick = top + 19 * len(names), 15 / len(shown)
    most = max(1, *(max(per_class.values(), default=0) for per_class in splits.values()))
    across = AxisScale(0, 1.05 * most, left, 500)
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
    """The name, cut short to 22 letters; a letter that cannot be printed, as a line break, shows as �."""
    name = "".join(letter if letter.isprintable() else "�" for letter in name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _brief(number: int) -> str:
    """The number in at most four characters, thousands as k and millions as M."""
    return str(number) if number < 10_000 else f"{number / 1000:.0f}k" if number < 1_000_000 else f"{number / 1e6:.0f}M"
