"""What the command line shows: progress, tables, numbers in words."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from lensmith.base.errors import count

if TYPE_CHECKING:
    from lensmith.engine.learner import Report
    from lensmith.session import Session


def teller(quiet: bool) -> Callable[[str], None]:
    """Tells a line on stderr, or nothing."""
    return (lambda text: None) if quiet else (lambda text: print(text, file=sys.stderr, flush=True))

_SHOWN = 3    # of a part's metrics in the line of an epoch


def follow(session: "Session", *, quiet: bool) -> None:
    """Train, showing a bar on a terminal and a line an epoch in a file."""
    bar = None
    if sys.stderr.isatty() and not quiet:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                       TextColumn("{task.fields[loss]}"), TimeRemainingColumn(), console=Console(stderr=True),
                       transient=True)
    if not quiet:
        how = f"{session.job.plan.device}, {session.job.plan.in_words()}; {_picked(session)}"
        print(f"training into {session.run} ({how})", file=sys.stderr, flush=True)
    try:
        number = None
        if bar is not None:
            bar.start()
        for report in session:
            if bar is not None:
                if number is None:
                    number = bar.add_task("", total=report.steps, loss="")
                if report.step % 10 == 0 or report.row:
                    bar.update(number, completed=report.step, description=f"epoch {report.epoch + (not report.row)}",
                               loss=f"loss {report.loss:.4f}")
            lines = [] if report.row is None else [_epoch_line(report, session.job.learner.epochs,
                                                               session.progress.seconds)]
            for line in [] if quiet else lines + [report.note] * bool(report.note):
                bar.console.print(line, markup=False, highlight=False) if bar is not None else \
                    print(line, file=sys.stderr, flush=True)
    finally:
        if bar is not None:
            bar.stop()


def _picked(session: "Session") -> str:
    choice = session.job.choice
    told = {"timed": f"picked in {choice.seconds:.1f} s", "the cache": "picked before", "the run": "the run's own"}
    return told.get(choice.source, choice.source)


def _epoch_line(report: "Report", epochs: int, seconds: float) -> str:
    """`epoch 2/5  train/loss 0.3914  valid/accuracy_top1 0.8743  waited 1%  7.7 s`; history.csv has all columns."""
    row = report.row or {}
    measured = [name for name in row if name.startswith("valid/") and name not in ("valid/accuracy_top5", "valid/loss")]
    named = ["train/loss", *measured[:_SHOWN], "valid/loss"]
    shown = [f"{name} {row[name]:.4f}" for name in named if name in row]
    waited = [] if report.waited is None else [f"waited {report.waited:.0%}"]
    return "  ".join([f"epoch {report.epoch}/{epochs}", *shown, *waited, f"{seconds:.1f} s"])


def headlines(found: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a measurement, without its tables and pictures."""
    return {name: value for name, value in found.items() if name not in ("details", "worst")}


def in_words(found: dict[str, Any]) -> str:
    """`accuracy_top1 0.8925 (0.8863-0.8984)  macro_f1 ...  on 10,000 pictures`"""
    parts = []
    for name, value in found.items():
        if isinstance(value, float) and name != "loss":
            low_high = found.get("intervals", {}).get(name)
            parts.append(f"{name} {value:.4f}" + (f" ({low_high[0]:.4f}-{low_high[1]:.4f})" if low_high else ""))
    return f"{'  '.join(parts)}  on {count(found['count'], 'picture')}"


def cell(value: Any) -> str:
    """A value as a cell of `table`; None, which is no value, as a dash."""
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else \
        f"{value:,}" if isinstance(value, int) else str(value)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Plain columns, wide enough for what they hold, numbers to the right: fit for a terminal and for a file."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    right = [all(line[i][:1] in "0123456789-." for line in lines[1:]) for i in range(len(widths))]
    for line in lines:
        print("  ".join(text.rjust(width) if number else text.ljust(width)
                        for text, width, number in zip(line, widths, right, strict=True)).rstrip())


def wrong_argument(error: Any, given: list[str]) -> str:
    """Click's sentence on a wrong argument, with what came, which it leaves out, and where to look."""
    told = error.format_message().rstrip(".").replace("Input should be", "must be")
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for i, word in enumerate(given):
            if word == option and i + 1 < len(given):
                told += f"; got {given[i + 1]!r}"
            elif word.startswith(f"{option}="):
                told += f"; got {word.partition('=')[2]!r}"
    context = getattr(error, "ctx", None)
    return f"{told}. `{context.command_path if context else 'lensmith'} --help` shows what is accepted"
