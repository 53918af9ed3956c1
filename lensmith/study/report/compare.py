"""Compares runs: their scores and times, and what several tasks gained or lost by sharing one network."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from lensmith.base.atomic_files import write_text
from lensmith.base.errors import DataError, UserError, count
from lensmith.base.html_page import render_page
from lensmith.engine.run_folder import Run
from lensmith.recipe.schema import read_recipe
from lensmith.recipe.sections import learned_targets, named_entry
from lensmith.study.report.metric_words import metric_text, own_metrics
from lensmith.study.report.picture_sets import PictureSet
from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.metric import Metric

_TEMPLATE = Path(__file__).parent / "templates" / "compare.html.jinja"
_SPLITS = ("test", "valid")    # the first of these splits that a run was measured on is compared
_ELSEWHERE = "choose another file with compare.out"
_OTHER = ("loss", "joined")    # numbers of a whole run, which belong to no part


@dataclass(frozen=True)
class Entry:
    """What a run folder tells about its run."""

    run: str                      # its folder
    data: str                     # the name of its data set
    backbone: str
    epochs: int
    seconds: float                # of training
    split: str                    # the split that the run was measured on
    scores: dict[str, str]        # the metric that ranks each part
    kinds: dict[str, str]         # the kind of each part: label, tags, numbers, boxes, mask or masks
    metrics: dict[str, float]     # "part/metric" -> value
    measured: PictureSet          # the pictures of that split
    pictures: PictureSet          # the pictures of all splits
    user_metrics: dict[str, Metric]    # how the user's own metrics are shown, by name without the part


@dataclass(frozen=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    runs: tuple[Entry, ...]
    tables: tuple[Table, ...]
    shared: tuple[dict[str, Any], ...]    # what sharing gained, for each part of a joint run and each run of it alone
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The runs with their metrics, what sharing gained, and the notes, as plain data."""
        left_out = ("measured", "pictures", "user_metrics")
        runs = [{name: value for name, value in asdict(run).items() if name not in left_out} for run in self.runs]
        return {"runs": runs, "shared": list(self.shared), "notes": list(self.notes)}


def compared(folders: Sequence[Path]) -> Comparison:
    """Two or more runs side by side. A run of several parts is also compared with runs that learn one of them alone.

    gain = metric of the joint run - metric of the run alone

    Raises UserError for fewer than two runs, for a run that is named twice and for runs on other data, and DataError
    for a run that was not measured.
    """
    if len(folders) < 2:
        raise UserError("a comparison takes two runs or more: lensmith compare RUN RUN ...")
    repeated = [folder for number, folder in enumerate(folders) if folder.resolve() in
                [earlier.resolve() for earlier in folders[:number]]]
    if repeated:
        raise UserError(f"{repeated[0]} is named twice: name each run once")
    runs = tuple(_entry(folder) for folder in folders)
    first = runs[0]
    for run in runs[1:]:
        if not len(run.pictures & first.pictures):
            raise UserError(f"{run.run} is on other pictures ({run.data}) than {first.run} ({first.data}): compare "
                            "runs on the same data")
    shared = _shared(runs)
    user_metrics = _user_metrics(runs)
    gained = [Table("What sharing one network gained (joint minus alone)",
                    ("part", "metric", "joint", "alone", "joint - alone", "run alone"),
                    tuple((row["part"], row["metric"], metric_text(row["metric"], row["joint"], user_metrics),
                           metric_text(row["metric"], row["alone"], user_metrics), f"{row['gained']:+.4f}",
                           row["run_alone"])
                          for row in shared))] if shared else []
    tables = [_overview(runs), *gained, *_numbers(runs)]
    return Comparison(runs, tuple(tables), tuple(shared), tuple(_notes(runs)))


def _entry(folder: Path) -> Entry:
    run = Run.open(folder)
    metrics = run.facts("metrics.json")
    split = next((name for name in _SPLITS if metrics.get(name)), None)
    if split is None and run.read_json("run.json").get("status") == "converted":
        raise DataError(f"{folder} was converted from elsewhere and has measured nothing: lensmith val {folder} --data "
                        "DATA measures it; leave it out here")
    if split is None:
        raise DataError(f"{folder} has no metrics.json with a test or valid split: train it to its end with lensmith "
                        f"train --resume {folder}, or leave it out")
    recipe = read_recipe(folder / "recipe.toml")
    facts, data, measured = run.read_json("run.json"), run.read_json("data.json"), metrics[split]
    numbers = {name: value for name, value in measured.items() if isinstance(value, float) and name not in _OTHER}
    parts = measured.get("details", {}).get("parts")
    if parts is None:    # a run of one task, whose target has the name of its kind
        name = _target(recipe, data)
        parts, numbers = {name: {"kind": name, "score": facts.get("score_name") or ""}}, \
            {f"{name}/{key}": value for key, value in numbers.items()}
    pictures = {name: PictureSet.of(files) for name, files in data.get("files", {}).items()}
    return Entry(str(folder), str(data.get("name", "")), str(recipe.get("backbone", {}).get("name", "")),
                 int(facts.get("epochs") or 0), float(facts.get("seconds") or 0.0), split,
                 {part: details.get("score", "") for part, details in parts.items()},
                 {part: details.get("kind", part) for part, details in parts.items()}, numbers,
                 pictures.get(split, PictureSet()), reduce(or_, pictures.values(), PictureSet()),
                 {name.rpartition("/")[2]: metric for name, metric in own_metrics(measured.get("details", {})).items()})


def _target(recipe: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The target that a run of one task learned."""
    task = {"task": named_entry("task", recipe["task"], trusted=False)} if recipe.get("task") else {}
    return next(iter(learned_targets(dict(recipe) | task, data.get("classes", {}))), "")


def _overview(runs: Sequence[Entry]) -> Table:
    rows = tuple((run.run, ", ".join(run.scores), run.backbone, str(run.epochs), f"{run.seconds:.1f}", run.split)
                 for run in runs)
    return Table("Runs", ("run", "parts", "backbone", "epochs", "seconds", "measured on"), rows)


def _numbers(runs: Sequence[Entry]) -> list[Table]:
    """A table for each part, with a row for each metric and a column for each run that has the part."""
    tables, user_metrics = [], _user_metrics(runs)
    for part in dict.fromkeys(part for run in runs for part in run.scores):
        runs_of_part = [run for run in runs if part in run.scores]
        names = dict.fromkeys(name for run in runs_of_part for name in run.metrics if name.rpartition("/")[0] == part)
        rows = tuple((metric := name.rpartition("/")[2],
                      *(metric_text(metric, run.metrics[name], user_metrics) if name in run.metrics else "-"
                        for run in runs_of_part))
                     for name in names)
        tables.append(Table(part, ("metric", *(run.run for run in runs_of_part)), rows))
    return tables


def _user_metrics(runs: Sequence[Entry]) -> dict[str, Metric]:
    """How the user's own metrics of all runs are shown, by name."""
    return {name: metric for run in runs for name, metric in run.user_metrics.items()}


def _alone(joint: Entry, run: Entry) -> str:
    """The part of a joint run that another run learned alone, or "" if there is none.

    It is the part of the same name and kind, or else the only part of that kind.
    """
    if len(joint.scores) < 2 or len(run.scores) != 1:
        return ""
    (name, kind), = run.kinds.items()
    if joint.kinds.get(name) == kind:
        return name
    of_that_kind = [part for part, other in joint.kinds.items() if other == kind]
    return of_that_kind[0] if len(of_that_kind) == 1 and name == kind else ""


def _shared(runs: Sequence[Entry]) -> list[dict[str, Any]]:
    """Both values and the gain, for each metric of each part of a joint run and each run of that part alone."""
    rows = []
    for joint in runs:
        for run in runs:
            part = _alone(joint, run)
            target = next(iter(run.scores))
            for name, alone in run.metrics.items() if part else ():
                metric = name.removeprefix(f"{target}/")
                together = joint.metrics.get(f"{part}/{metric}")
                if together is not None:
                    rows.append({"part": part, "metric": metric, "joint": together, "alone": alone,
                                 "gained": together - alone, "run_joint": joint.run, "run_alone": run.run})
    return rows


def _notes(runs: Sequence[Entry]) -> list[str]:
    """The time of a joint run beside the times of its parts alone, and what makes the runs differ otherwise."""
    notes = []
    for joint in runs:
        alone = {part: run for run in runs if (part := _alone(joint, run))}
        if alone and joint.seconds:
            missing = [part for part in joint.scores if part not in alone]
            total = sum(run.seconds for run in alone.values())
            notes.append(f"{joint.run} trained its {count(len(joint.scores), 'part')} in {joint.seconds:.1f} s; the "
                         f"runs of {', '.join(alone)} alone took {total:.1f} s together, {total / joint.seconds:.2f} "
                         "times as long" + (f" (of {', '.join(missing)} there is no run alone)" if missing else ""))
    measured = {name.rpartition("/")[2] for run in runs for name in run.metrics}
    metrics = METRICS | _user_metrics(runs)
    lower = [name for name, metric in metrics.items() if metric.better == "less" and name in measured]
    notes += [f"Of {' and '.join(lower)} less is better, of all others more"] if lower else []
    first = runs[0]
    for run in runs[1:]:
        if run.measured != first.measured:
            common = len(run.measured & first.measured)
            notes.append(f"{run.run} was measured on other pictures than {first.run}: {common:,} of "
                         f"{len(run.measured):,} in common, so that a difference may come from them")
        if run.epochs != first.epochs:
            notes.append(f"{run.run} trained for {count(run.epochs, 'epoch')}, {first.run} for {first.epochs:,}")
    return notes


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the comparison as a page that opens offline.

    Of what lies at `path` only such a page is replaced, while it is as it was written: its last line is a digest of the
    others. Raises UserError for any other file, and if the page cannot be written.
    """
    text = render_page(_TEMPLATE, {"tables": comparison.tables, "notes": comparison.notes})
    try:
        _refuse_other_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, f"{text}\n{_signature(text)}", advice=_ELSEWHERE)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror or error}): {_ELSEWHERE}") from error


def _signature(text: str) -> str:
    return f"<!-- lensmith compare {hashlib.sha256(text.encode()).hexdigest()} -->"


def _refuse_other_file(path: Path) -> None:
    """Raise UserError where `path` is there and is not a page as write_page wrote it."""
    if not os.path.lexists(path) or path.is_dir():    # to write over a folder is an OSError of its own
        return
    if path.is_file() and not path.is_symlink():
        text, _, last = path.read_bytes().decode("utf-8", "replace").rpartition("\n")
        if last == _signature(text):
            return
    raise UserError(f"{path} is there and is no page of lensmith compare, or was changed since: nothing of yours is "
                    f"written over; {_ELSEWHERE}")
