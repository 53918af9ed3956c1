"""Charts as SVG text: the same numbers give the same bytes, letters stay letters, and ink takes the page's colour."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart by colour-blind people too, on white and on black.
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#e07a00", "#009e73", "#a8649a"
_INK = "#123457"          # written as currentColor, so that a chart follows a dark page
_NUMBERS_UP_TO = 20       # classes of a confusion matrix whose cells still hold a number
_NAMES_UP_TO = 100        # classes whose names still fit beside it
_BARS_UP_TO = 60          # classes whose counts are drawn
_LONGEST = 22             # letters of a name on an axis
_RULES: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "lensmith", "font.family": "sans-serif", "font.size": 9,
    "text.parse_math": False,    # a class may be called $1
    "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _INK, "xtick.color": _INK, "ytick.color": _INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "axes.titlesize": 10,
    "axes.titlelocation": "left", "xtick.major.width": 0.6, "ytick.major.width": 0.6, "legend.frameon": False,
    "lines.linewidth": 1.6, "lines.markersize": 3.5,
}


def curves(rows: Sequence[Mapping[str, float]], *, score: str | None = None, best: int | None = None) -> str:
    """The losses over the epochs, and beside them the score with the epoch `best` marked.

    `rows` are those of history.csv as numbers; `score` is a headline, as `accuracy_top1`. Without rows an empty text.
    """
    if not rows:
        return ""
    column = f"valid/{score}"
    scored = score is not None and any(column in row for row in rows)

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(1, 2 if scored else 1, squeeze=False)[0]
        for name, colour in (("train/loss", BLUE), ("valid/loss", ORANGE)):
            epochs, values = _series(rows, name)
            if epochs:
                axes[0].plot(epochs, values, "o-" if len(epochs) <= 40 else "-", color=colour, label=name.split("/")[0])
        axes[0].set_title("loss")
        axes[0].legend()
        if scored:
            epochs, values = _series(rows, column)
            axes[1].plot(epochs, values, "o-" if len(epochs) <= 40 else "-", color=ORANGE)
            axes[1].set_title(f"{score} (valid)")
            if best in epochs:
                value = values[epochs.index(best)]
                axes[1].plot([best], [value], "o", markersize=9, markerfacecolor="none", markeredgecolor=GREEN)
                axes[1].axvline(best, color=GREEN, linewidth=0.8, linestyle=":")
                axes[1].text(best, 0.03, f" best: epoch {best:g} ", transform=axes[1].get_xaxis_transform(),
                             ha="right" if best > (epochs[0] + epochs[-1]) / 2 else "left", color=GREEN)
        for ax in axes:
            ax.set_xlabel("epoch")
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.grid(axis="y", linewidth=0.4, alpha=0.35)

    return _svg("curves", (8.4, 2.9) if scored else (5.2, 2.9), draw)


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix, rows the truth: the depth of a cell is its share of the row, blue right and orange wrong."""
    counts = np.asarray(matrix, dtype=np.int64)
    classes = len(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    colours = np.empty((classes, classes, 4))
    colours[:] = [0xE0 / 255, 0x7A / 255, 0.0, 0.0]
    colours[np.eye(classes, dtype=bool), :3] = [0.0, 0x72 / 255, 0xB2 / 255]
    # The root shows the few mistakes beside the many hits.
    colours[..., 3] = np.sqrt(share)
    size = float(np.clip(260 / classes, 3.4, 9))
    every = range(classes) if classes <= _NAMES_UP_TO else range(0, classes, -(-classes // 25))
    labels = [_short(names[i]) if classes <= _NAMES_UP_TO else str(i + 1) for i in every]
    beside = max(map(_ems, labels)) * size / 72    # inches
    edge = beside + float(np.clip(0.8 + 0.42 * classes, 2.2, 7.0 if classes <= 40 else 10.0))

    def draw(figure: "Figure") -> None:
        ax = figure.subplots()
        ax.imshow(colours, interpolation="none")
        upright = sum(len(label) for label in labels) <= 40
        ax.set_xticks(list(every), labels, rotation=0 if upright else 90, fontsize=size)
        ax.set_yticks(list(every), labels, fontsize=size)
        ax.tick_params(length=2 if classes <= 40 else 1, pad=2)
        ax.set_xlabel("predicted")
        ax.set_ylabel("truth")
        ax.spines[:].set_visible(True)
        if classes <= _NUMBERS_UP_TO:
            for row, column in np.argwhere(counts > 0).tolist():
                ax.text(column, row, _brief(int(counts[row, column])), ha="center", va="center", fontsize=size * 0.85,
                        color="white" if colours[row, column, 3] > 0.7 else _INK)

    return _svg("confusion", (edge, edge), draw)


def scatter(pairs: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """For each quantity its [truth, prediction] pairs as dots around the line on which both agree; up to 12."""
    shown = [(name, np.asarray(points, dtype=float).reshape(-1, 2)) for name, points in pairs.items()][:12]
    if not shown:
        return ""
    across = min(len(shown), 3)
    down = -(-len(shown) // across)

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(down, across, squeeze=False).flatten()
        for ax, (name, points) in zip(axes, shown, strict=False):
            ax.plot(points[:, 0], points[:, 1], "o", color=BLUE, alpha=0.35, markeredgewidth=0)
            finite = points[np.isfinite(points).all(1)]
            if len(finite):
                ends = [finite.min(), finite.max()]
                ax.plot(ends, ends, color=ORANGE, linewidth=1)
            ax.set_title(_short(name))
            ax.set_xlabel("truth")
            ax.set_ylabel("predicted")
        for ax in axes[len(shown):]:
            ax.set_visible(False)

    return _svg("scatter", (2.9 * across, 2.8 * down), draw)


def counts(splits: Mapping[str, Mapping[str, int]]) -> str:
    """Pictures of each class, a bar for each split; without classes, or with more than 60, an empty text."""
    names = list(dict.fromkeys(name for per_class in splits.values() for name in per_class))
    shown = [split for split in splits if splits[split]]
    if not 1 < len(names) <= _BARS_UP_TO:
        return ""
    thick = 0.8 / len(shown)

    def draw(figure: "Figure") -> None:
        ax = figure.subplots()
        for i, (split, colour) in enumerate(zip(shown, (BLUE, ORANGE, GREEN, PURPLE), strict=False)):
            widths = [splits[split].get(name, 0) for name in names]
            ax.barh(np.arange(len(names)) + (i - (len(shown) - 1) / 2) * thick, widths, thick, color=colour,
                    label=split)
        ax.set_yticks(range(len(names)), [_short(name) for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel("pictures")
        ax.grid(axis="x", linewidth=0.4, alpha=0.35)
        if len(shown) > 1:
            figure.legend(loc="outside upper right", ncols=len(shown))

    return _svg("counts", (7.2, 1.0 + 0.26 * len(names)), draw)


def _svg(name: str, size: tuple[float, float], draw: "Callable[[Figure], None]") -> str:
    """What `draw` puts on a figure of `size` inches, as one <svg> element; its ids begin with `name`."""
    # Not at the top: matplotlib takes a second to import, and only a report needs it.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_RULES}), warnings.catch_warnings():
        # The browser draws the letters; what matplotlib's own font lacks it only measures wrongly.
        warnings.filterwarnings("ignore", message=r".*[Gg]lyph.*")
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        written = StringIO()
        figure.savefig(written, format="svg", transparent=True,
                       metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = written.getvalue()
    text = text[text.index("<svg"):].replace(_INK, "currentColor")
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)


def _series(rows: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    pairs = [(row["epoch"], row[name]) for row in rows if name in row]
    return [epoch for epoch, _ in pairs], [value for _, value in pairs]


def _short(name: str) -> str:
    """At most 22 letters; what cannot be printed, a line break or an escape, shows as �."""
    name = "".join(letter if letter.isprintable() else "�" for letter in name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _ems(text: str) -> float:
    """About how wide a text is, in units of its size; letters beyond Latin, Greek and Cyrillic may be square."""
    return sum(0.65 if letter < "\u0590" else 1.1 for letter in text)


def _brief(number: int) -> str:
    """At most four signs."""
    return str(number) if number < 10_000 else f"{number / 1000:.0f}k" if number < 1_000_000 else f"{number / 1e6:.0f}M"
