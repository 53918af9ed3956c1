"""What the command line shows: progress, tables, numbers in words."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lensmith.base.errors import UserError, count, escaped, nearest
from lensmith.base.progress import duration
from lensmith.cli.options import options_of, with_flags
from lensmith.data.sources.findings import findings

if TYPE_CHECKING:
    from lensmith.engine.forecast import Forecast
    from lensmith.engine.learner import Report
    from lensmith.training.session import Session


_NAMED = 10      # files of each thing that was left out or changed, where not all are asked for
_SHOWN = 3       # metrics of the valid split in the line of an epoch
_SHORT = 10.0    # seconds: what takes less is not forecast


def teller(quiet: bool) -> Callable[[str], None]:
    """A function that prints a line on stderr, or does nothing where `quiet`."""
    return (lambda text: None) if quiet else \
        (lambda text: print(escaped(with_flags(text)), file=sys.stderr, flush=True))


def tell_error(text: str) -> None:
    """Print what went wrong, in one line on stderr."""
    print(f"lensmith: {escaped(text)}", file=sys.stderr)


def show(text: object, *, at_once: bool = False) -> None:
    """Print a line of results on stdout, `at_once` or when there are more. A name in it may be a stranger's, and cannot
    command the terminal."""
    print(escaped(str(text)), flush=at_once)


def show_training(session: "Session", *, quiet: bool) -> None:
    """Train, showing a bar where stderr is a terminal, a line an epoch, and once how long it will take."""
    tell = teller(quiet)
    tell(f"training into {session.run} ({session.job.plan.device}, {session.job.plan.in_words()}; {_picked(session)})")
    bar, told = None, False
    if sys.stderr.isatty() and not quiet:
        bar = _Bar()
        tell = bar.tell
    try:
        for report in session:
            if bar is not None:
                bar.show(report, session.forecast)
            if report.row is not None:
                tell(_epoch_line(report, session.job.epochs, session.progress.seconds))
            if report.note:
                tell(report.note)
            if not told and session.forecast is not None and session.forecast.is_sure:
                told = True
                if line := _how_long(session, session.forecast.left() or 0.0, epochs_done=report.epoch):
                    tell(line)
    except KeyboardInterrupt as error:    # a second one, between two steps
        raise _interrupted(session) from error
    finally:
        if bar is not None:
            bar.stop()
    if session.stopped_early:
        tell(f"stopped early after epoch {session.progress.epochs} of {session.job.epochs}: "
             f"{session.stopped_early}")


def _interrupted(session: "Session") -> UserError:
    from lensmith.engine.run_loop import Interrupted

    return Interrupted(f"interrupted before all was saved; the last state saved is whole. Go on with: lensmith train "
                       f"--resume {session.run}")


class _Bar:
    """The bar of a training on a terminal, with lines above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                            TextColumn("{task.fields[loss]}"), TextColumn("{task.fields[left]}"),
                            console=Console(stderr=True), transient=True)
        self.bar.start()
        self.number = self.bar.add_task("", total=None, loss="", left="")

    def show(self, report: "Report", forecast: "Forecast | None") -> None:
        if report.step % 10 and not report.row:
            return
        left = forecast.left() if forecast is not None else None
        over = report.step == report.steps and report.row is not None
        self.bar.update(self.number, completed=report.step, total=report.steps, loss=f"loss {report.loss:.4f}",
                        description="testing" if over else f"epoch {report.epoch + (not report.row)}",
                        left="" if left is None else f"{duration(left)} left")

    def tell(self, text: str) -> None:
        self.bar.console.print(escaped(with_flags(text)), markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        self.bar.stop()


def _how_long(session: "Session", left: float, *, epochs_done: int) -> str:
    """`about 2 min 10 s for 10 epochs; stop with Ctrl-C, go on with lensmith train --resume runs/pets-1`; empty where
    it is hardly worth a line."""
    if left < _SHORT:
        return ""
    settings = session.job.recipe["learner"]
    epochs = count(session.job.epochs - epochs_done, "more epoch" if epochs_done else "epoch")
    return f"{'at most' if settings['patience'] else 'about'} {duration(left)} for {epochs}; stop with Ctrl-C, go on " \
        f"with lensmith train --resume {session.run}"


def _picked(session: "Session") -> str:
    choice = session.job.choice
    words = {"timed": f"picked in {choice.seconds:.1f} s", "the cache": "picked before", "the run": "the run's own"}
    return words.get(choice.source, choice.source)


def _epoch_line(report: "Report", epochs: int, seconds: float) -> str:
    """`epoch 2/5  train/loss 0.3914  valid/accuracy_top1 0.8743  waited 1%  7.7 s`; history.csv has all columns."""
    from lensmith.tasks.metrics import metric_named

    row = report.row or {}
    measured = [name for name in row
                if name.startswith("valid/") and name != "valid/loss" and metric_named(name).every_epoch]
    if "valid/joined" in row:    # of several tasks the first number of each
        first = {name.rpartition("/")[0]: name for name in reversed(measured)}
        measured = [name for name in measured if name in first.values()]
    else:
        measured = measured[:_SHOWN]
    named = ["train/loss", *measured, "valid/loss"]
    shown = [f"{name} {row[name]:.4f}" for name in named if name in row]
    waited = [] if report.waited is None else [f"waited {report.waited:.0%}"]
    return "  ".join([f"epoch {report.epoch}/{epochs}", *shown, *waited, f"{seconds:.1f} s"])


def baseline_line(scores: dict[str, Any]) -> str:
    """`always naming 'cat' would score 0.3333`, of several tasks each one's; empty where nothing natural is known."""
    found = scores.get("baselines", {})
    return ", ".join(f"{baseline['answer']} would score {baseline['score']:.4f}" + (f" in {name}" * (len(found) > 1))
                     for name, baseline in found.items())


def headline_numbers(scores: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a measurement, without its tables and pictures."""
    return {name: value for name, value in scores.items() if name not in ("details", "worst")}


def in_one_line(scores: dict[str, Any]) -> str:
    """`accuracy_top1 0.8925 (0.8863-0.8984)  macro_f1 ...  on 10,000 pictures`; of several tasks each one's score."""
    parts = scores.get("details", {}).get("parts")
    shown = None if parts is None else ["joined", *(f"{name}/{part['score']}" for name, part in parts.items())]
    words = []
    for name, value in scores.items():
        if isinstance(value, float) and name not in ("loss", "best_known") and (shown is None or name in shown):
            interval = scores.get("intervals", {}).get(name)
            words.append(f"{name} {value:.4f}" + (f" ({interval[0]:.4f}-{interval[1]:.4f})" if interval else ""))
    return f"{'  '.join(words)}  on {count(scores['count'], scores.get('counted', 'picture'))}"


def show_comparison(comparison: Any) -> None:
    """The tables of a comparison, each under its title, what is said of them, and what has to be known."""
    for number, table in enumerate(comparison.tables):
        if number:
            show("")
        show(table.title)
        print_table(table.columns, table.rows)
    several = len(comparison.verdicts) > 1
    said = [f"{verdict.part}: {sentence}" if several else sentence
            for verdict in comparison.verdicts for sentence in verdict.sentences]
    for note in (*said, *comparison.notes):
        show("")
        show(note)


def show_classes(scores: dict[str, Any]) -> None:
    """The table of the classes that were measured; of several tasks one for each, under its numbers."""
    details = scores["details"]
    for name, part in details.get("parts", {"": details}).items():
        if name:
            numbers = [f"{key.removeprefix(f'{name}/')} {value:.4f}" for key, value in scores.items()
                       if key.startswith(f"{name}/")]
            show("")
            show(f"{name}: {'  '.join(numbers)}")
        rows = part.get("per_class")
        if rows:
            print_table(list(rows[0]), [[cell(value) for value in row.values()] for row in rows])


def cell(value: Any) -> str:
    """A value as a cell of `print_table`; None, which is no value, as a dash."""
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else \
        f"{value:,}" if isinstance(value, int) else str(value)


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Plain columns, wide enough for what they hold, numbers to the right: fit for a terminal and for a file."""
    lines = [[escaped(text) for text in line] for line in (columns, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    numeric = [all(line[i][:1] in "0123456789-." for line in lines[1:]) for i in range(len(widths))]
    for line in lines:
        show("  ".join(text.rjust(width) if number else text.ljust(width)
                       for text, width, number in zip(line, widths, numeric, strict=True)).rstrip())


def show_account(account: dict[str, Any], *, every_file: bool) -> None:
    """What data.json keeps of a data set, as text; of what was left out or changed the first files, or `every_file`."""
    form = account["form"]
    show(f"{account['name']}: {form['channels']} x {form['height']} x {form['width']}, {form['bits']} bits")
    splits = account["splits"]
    for target, names in account["classes"].items():
        show(f"{target}: {', '.join(names)}")
    classes = next(iter(splits.values())).get("per_class")
    if classes:
        rows = [[name, *(str(split["per_class"].get(name, 0)) for split in splits.values())] for name in classes]
        print_table(["class", *splits], [*rows, ["all", *(str(split["count"]) for split in splits.values())]])
    else:
        print_table(["split", "count"], [[name, str(split["count"])] for name, split in splits.items()])
    if "boxes" in account:
        _show_boxes(account["boxes"])
    for note in account["notes"]:
        show(note)
    shown = None if every_file else _NAMED
    for finding in findings(account):
        show(f"{'left out' if finding.lost else 'note'}: {finding.sentence()}")
        for name in finding.names[:shown]:
            show(f"  {name}")
        # Of boxes and annotations the names are those of their pictures, which are fewer.
        names = finding.number if finding.noun in ("picture", "file") else len(finding.names)
        if more := names - len(finding.names[:shown]):
            show(f"  and {more:,} more" + ("" if every_file else " (--all lists them)"))


def show_findings(findings: Sequence[Any], *, pictures: int, command: str, every_file: bool) -> None:
    """The findings of a check of a data set, a line each, and the pictures of each where `every_file` is asked for;
    `command` is how to ask."""
    counts = {severity: sum(finding.severity == severity for finding in findings)
              for severity in ("error", "warning", "note")}
    in_words = ", ".join(count(number, severity) for severity, number in counts.items() if number)
    show(f"{count(pictures, 'picture')} looked at: {in_words or 'nothing was found'}")
    if not findings:
        return
    kinds = max(len(finding.kind) for finding in findings)
    for finding in findings:
        show(f"{finding.severity:<7}  {finding.kind:<{kinds}}  {finding.sentence}")
    if not every_file:
        show(f"every picture of each: {command}")
    for finding in findings if every_file else ():
        show("")
        show(f"{finding.kind}: {finding.sentence}")
        for group in finding.groups:
            captions = [f"({caption})" for caption in group.captions] + [""] * len(group.pictures)
            words = [" ".join(filter(None, (picture.split, picture.path, caption))) for picture, caption in
                     zip(group.pictures, captions, strict=False)]
            show("  " + " = ".join(words) + ("" if group.score is None else f" {group.score:.3f}"))


def _show_boxes(statistics: dict[str, Any]) -> None:
    """The statistics of `data.box_statistics`, of the training pictures."""
    print_table(["class", "boxes"], [[name, f"{boxes:,}"] for name, boxes in statistics["per_class"].items()])
    sizes = ", ".join(f"{number:,} {name}" for name, number in statistics["sizes"].items())
    show(f"train: {count(statistics['boxes'], 'box')} in {count(statistics['pictures'], 'picture')} "
          f"({statistics['background']:,} without any), {statistics['crowd']:,} crowds; {sizes} (below 32 and from 96 "
          "pixels squared, as COCO divides them)")


def wrong_argument(error: Any, words: list[str]) -> str:
    """Click's sentence on a wrong argument, with what came, which it leaves out, and where to look."""
    sentence = error.format_message().rstrip(".").replace("Input should be", "must be")
    context = getattr(error, "ctx", None)
    wrong = getattr(error, "option_name", None)
    if wrong is not None and context is not None and sentence.startswith("No such option"):
        # Click names whatever is spelled a little alike: --teacher for --epoch.
        near = nearest(wrong, [option for option in options_of(context.command) if option.startswith("--")], least=0.75)
        sentence = f"No such option: {wrong}.{near}".rstrip(".?") + ("?" if near else "")
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for i, word in enumerate(words):
            if word == option and i + 1 < len(words):
                sentence += f"; got {words[i + 1]!r}"
            elif word.startswith(f"{option}="):
                sentence += f"; got {word.partition('=')[2]!r}"
    end = " " if sentence.endswith("?") else ". "
    return f"{sentence}{end}`{context.command_path if context else 'lensmith'} --help` shows what is accepted"
