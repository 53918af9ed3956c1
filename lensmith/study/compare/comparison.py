"""Compares runs: the settings that differ, which is better and whether that is more than noise, and what it costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensmith.base.errors import UserError, count
from lensmith.study.compare.changes import PictureChange, class_changes, picture_changes, pictures_by_side
from lensmith.study.compare.comparison_charts import MOST_CURVES, aligned_curves, cost_chart
from lensmith.study.compare.costs import COSTS, CostRow, cost_rows
from lensmith.study.compare.entry import Entry, MeasuredAgain, measured_again, metric_of, read_entry
from lensmith.study.compare.settings import differing_settings, groups_by_seed
from lensmith.study.compare.sharing import gains_of_sharing, part_alone, time_of_sharing
from lensmith.study.compare.verdict import Verdict, verdict_on
from lensmith.study.report.metric_words import metric_text
from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.metric import Metric, figure

_EACH_UP_TO = 4         # runs that are told of one by one, and that have a column each
_CLASSES_SHOWN = 10     # of each side


@dataclass(frozen=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TwoRuns:
    """The two best runs of a part, side by side."""

    part: str
    first: str
    second: str
    first_better: int                       # pictures that the first answers better, and the second
    second_better: int
    better: tuple[PictureChange, ...]       # the most different of these
    worse: tuple[PictureChange, ...]
    classes: tuple[dict[str, Any], ...]     # {class, metric, first, second, difference, beyond_noise}


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    runs: tuple[Entry, ...]
    tables: tuple[Table, ...]
    shared: tuple[dict[str, Any], ...]    # what sharing gained, for each part of a joint run and each run of it alone
    notes: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = ()
    settings: tuple[tuple[str, tuple[str, ...]], ...] = ()    # that differ, with the value in each group of runs
    groups: tuple[tuple[str, ...], ...] = ()                  # runs that differ in their seed alone
    costs: tuple[CostRow, ...] = ()
    two: tuple[TwoRuns, ...] = ()
    charts: dict[str, str] = field(default_factory=dict)      # title -> SVG

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data, but for the charts."""
        two = [{**vars(pair), "better": [vars(each) for each in pair.better],
                "worse": [vars(each) for each in pair.worse], "classes": list(pair.classes)} for pair in self.two]
        return {"runs": [run.as_json() for run in self.runs], "shared": list(self.shared), "notes": list(self.notes),
                "groups": [list(group) for group in self.groups],
                "settings": {place: list(values) for place, values in self.settings},
                "verdicts": [verdict.as_json() for verdict in self.verdicts],
                "costs": [vars(row) | {"on_front": list(row.on_front)} for row in self.costs], "two": two}


def compared(folders: Sequence[Path], *, metric: str | None = None,
             again: Mapping[Path, MeasuredAgain] | None = None, notes: Sequence[str] = ()) -> Comparison:
    """Two or more runs side by side. A run of several parts is also compared with runs that learn one of them alone.

    gain = metric of the joint run - metric of the run alone

    metric: by which all are judged; by itself the one that ranks each part.
    again: what runs were measured at on other data, in the place of what they measured themselves.
    notes: said beside those that come up here.

    Raises UserError for fewer than two runs, for a run that is named twice, for runs on other data or of other tasks
    and for a metric that none has, and DataError for a run that was not measured.
    """
    runs = _entries(folders, again or {})
    own = {name: of_user for run in runs for name, of_user in run.user_metrics.items()}
    groups, targets = groups_by_seed(runs), _targets(runs)
    verdicts = [verdict for part, names in targets.items()
                if (verdict := verdict_on(part, groups, names, own, metric=metric)) is not None]
    if metric is not None and not verdicts:
        raise UserError(_no_metric(metric, runs))
    settings, shared = differing_settings(groups), gains_of_sharing(runs)
    first = verdicts[0] if verdicts else None
    costs = _costs(runs, first, own)
    two = [pair for verdict in verdicts if (pair := _two_runs(verdict)) is not None]
    tables = [_overview(runs), *_settings_table(settings, [group.name for group in groups]),
              *(_standings_table(verdict, own) for verdict in verdicts), *_gained(shared, own), *_numbers(runs, own),
              *_class_tables(two), *_costs_table(costs, first, own)]
    return Comparison(runs, tuple(tables), tuple(shared), (*notes, *_notes(runs, own)), tuple(verdicts),
                      tuple(settings), tuple(tuple(run.run for run in group.runs) for group in groups), tuple(costs),
                      tuple(two), _charts(runs, first, costs))


def _entries(folders: Sequence[Path], again: Mapping[Path, MeasuredAgain]) -> tuple[Entry, ...]:
    if len(folders) < 2:
        raise UserError("a comparison takes two runs or more: lensmith compare RUN RUN ...")
    met: set[Path] = set()
    for folder in folders:
        if folder.resolve() in met:
            raise UserError(f"{folder} is named twice: name each run once")
        met.add(folder.resolve())
    runs = tuple(measured_again(read_entry(folder), again.get(folder)) for folder in folders)
    first = runs[0]
    for run in runs[1:]:
        if not again and not len(run.pictures & first.pictures):
            raise UserError(f"{run.run} is on other pictures ({run.data}) than {first.run} ({first.data}): compare "
                            "runs on the same data, or measure all on the same with --data DIR")
    for run in runs:
        others = {kind for other in runs if other is not run for kind in other.kinds.values()}
        if not others & set(run.kinds.values()):
            learned = ", ".join(run.kinds.values())
            raise UserError(f"{run.run} learned {learned}, and none of the other runs did ("
                            f"{', '.join(sorted(others))}): compare runs of one task")
    return runs


def _targets(runs: Sequence[Entry]) -> dict[str, dict[str, str]]:
    """Each part with what it is called in each run: a run that learned a part of a joint run alone may have another
    word for it."""
    parts: dict[str, dict[str, str]] = {}
    for run in runs:
        for part in run.scores:
            alias = next((name for joint in runs if (name := part_alone(joint, run))), "")
            parts.setdefault(alias or part, {})[run.run] = part
    return parts


def _no_metric(metric: str, runs: Sequence[Entry]) -> str:
    known = sorted({name.rpartition("/")[2] for run in runs for name in run.metrics})
    return f"no two of these runs have the metric {metric!r} (--metric). Known: {', '.join(known)}"


def _costs(runs: Sequence[Entry], verdict: Verdict | None, own: Mapping[str, Metric]) -> list[CostRow]:
    """The costs beside the score of the first part."""
    if verdict is None:
        return []
    scores = {run.run: next(value for name, value in run.metrics.items() if name.rpartition("/")[2] == verdict.metric)
              for run in verdict.runs}
    chosen = [run for run in runs if run.run in scores]
    return cost_rows(chosen, [scores[run.run] for run in chosen],
                     more_is_better=metric_of(verdict.metric, own).better == "more")


def _two_runs(verdict: Verdict) -> TwoRuns | None:
    """The best run of the two best settings, or of one setting its first two."""
    if verdict.same is None:
        return None
    names = [run.run for run in verdict.runs]
    pair = [standing.runs[0] for standing in verdict.standings[:2]] if len(verdict.standings) > 1 else \
        list(verdict.standings[0].runs[:2])
    first, second = (names.index(name) for name in pair)
    better, worse = picture_changes(verdict.same, first, second)
    metric, changes = class_changes(verdict.same, first, second)
    gained, lost = pictures_by_side(verdict.same, first, second)
    return TwoRuns(verdict.part, pair[0], pair[1], gained, lost, tuple(better), tuple(worse), tuple(
        {"class": each.name, "metric": metric, "first": each.first, "second": each.second,
         "difference": each.difference.value, "beyond_noise": each.beyond_noise} for each in changes))


def _charts(runs: Sequence[Entry], verdict: Verdict | None, costs: Sequence[CostRow]) -> dict[str, str]:
    if verdict is None:
        return {}
    by_name = {run.run: run for run in runs}
    shown = [by_name[name] for standing in verdict.standings for name in standing.runs][:MOST_CURVES]
    curves = aligned_curves(shown, [run.run for run in shown], verdict.metric)
    charts = {"Curves by step, time and pictures seen": curves} if curves else {}
    beside = [chart for title in COSTS if (chart := cost_chart(costs, title, verdict.metric))]
    return charts | ({"Cost beside score, those on the front joined": "".join(beside)} if beside else {})


def _overview(runs: Sequence[Entry]) -> Table:
    rows = tuple((run.run, ", ".join(run.scores), run.backbone, str(run.epochs), f"{run.seconds:.1f}", run.split)
                 for run in runs)
    return Table("Runs", ("run", "parts", "backbone", "epochs", "seconds", "measured on"), rows)


def _settings_table(settings: Sequence[tuple[str, tuple[str, ...]]], names: Sequence[str]) -> list[Table]:
    if not settings:
        return []
    if len(names) <= _EACH_UP_TO:
        return [Table("Settings that differ", ("setting", *names),
                      tuple((place, *values) for place, values in settings))]
    return [Table("Settings that differ", ("run", *(place for place, _ in settings)),
                  tuple((name, *(values[number] for _, values in settings)) for number, name in enumerate(names)))]


def _standings_table(verdict: Verdict, own: Mapping[str, Metric]) -> Table:
    on = "" if verdict.pictures is None else f" on the same {count(verdict.pictures, 'picture')}"
    rows = []
    for standing in verdict.standings:
        ends = "–" if standing.low is None or standing.high is None else \
            f"{_text(verdict, standing.low, own)} to {_text(verdict, standing.high, own)}"
        behind, p = standing.behind, standing.p
        rows.append((standing.name, str(len(standing.runs)), _text(verdict, standing.score, own), ends,
                     "–" if behind is None else _text(verdict, abs(behind.value), own),
                     "–" if p is None or math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"))
    return Table(f"Which is better: {verdict.part} by {verdict.metric}{on}",
                 ("setting", "runs", verdict.metric, "95 %", "behind the best", "p (Holm)"), tuple(rows))


def _text(verdict: Verdict, value: float, own: Mapping[str, Metric]) -> str:
    return metric_text(verdict.metric, value, own)


def _gained(shared: Sequence[Mapping[str, Any]], own: Mapping[str, Metric]) -> list[Table]:
    return [Table("What sharing one network gained (joint minus alone)",
                  ("part", "metric", "joint", "alone", "joint - alone", "run alone"),
                  tuple((row["part"], row["metric"], metric_text(row["metric"], row["joint"], own),
                         metric_text(row["metric"], row["alone"], own), f"{row['gained']:+.4f}", row["run_alone"])
                        for row in shared))] if shared else []


def _numbers(runs: Sequence[Entry], own: Mapping[str, Metric]) -> list[Table]:
    """A table for each part, with a row for each metric and a column for each run that has the part; of many runs with
    a row each."""
    tables = []
    for part in dict.fromkeys(part for run in runs for part in run.scores):
        runs_of_part = [run for run in runs if part in run.scores]
        names = dict.fromkeys(name for run in runs_of_part for name in run.metrics if name.rpartition("/")[0] == part)
        metrics = [name.rpartition("/")[2] for name in names]
        cells = [[metric_text(metric, run.metrics[name], own) if name in run.metrics else "-"
                  for name, metric in zip(names, metrics, strict=True)] for run in runs_of_part]
        if len(runs_of_part) <= _EACH_UP_TO:
            tables.append(Table(part, ("metric", *(run.run for run in runs_of_part)), tuple(
                (metric, *(row[number] for row in cells)) for number, metric in enumerate(metrics))))
        else:
            tables.append(Table(part, ("run", *metrics), tuple(
                (run.run, *row) for run, row in zip(runs_of_part, cells, strict=True))))
    return tables


def _class_tables(pairs: Sequence[TwoRuns]) -> list[Table]:
    tables = []
    for pair in pairs:
        rows = list(pair.classes)
        if len(rows) > 2 * _CLASSES_SHOWN:
            rows = [*rows[:_CLASSES_SHOWN], *rows[-_CLASSES_SHOWN:]]
        if rows:
            tables.append(Table(
                f"Classes that gained and lost: {pair.part} of {pair.first} beside {pair.second}",
                ("class", f"{rows[0]['metric']} of the first", "of the second", "difference", "more than noise"),
                tuple((row["class"], figure(row["first"]), figure(row["second"]), f"{row['difference']:+.4f}",
                       "yes" if row["beyond_noise"] else "no") for row in rows)))
    return tables


def _costs_table(rows: Sequence[CostRow], verdict: Verdict | None, own: Mapping[str, Metric]) -> list[Table]:
    titles = [title for title in COSTS if any(title in row.costs for row in rows)]
    if verdict is None or not titles:
        return []
    return [Table("Cost beside score; * where no other run is both better and cheaper", ("run", verdict.metric,
                  *titles), tuple((row.run, _text(verdict, row.score, own), *(
                      "–" if title not in row.costs else figure(float(row.costs[title])) + " *" * (
                          title in row.on_front) for title in titles)) for row in rows))]


def _notes(runs: Sequence[Entry], own: Mapping[str, Metric]) -> list[str]:
    """The time of a joint run beside the times of its parts alone, and what makes the runs differ otherwise."""
    notes = time_of_sharing(runs)
    measured = {name.rpartition("/")[2] for run in runs for name in run.metrics}
    lower = [name for name, metric in (METRICS | dict(own)).items() if metric.better == "less" and name in measured]
    notes += [f"Of {' and '.join(lower)} less is better, of all others more"] if lower else []
    first = runs[0]
    others = [run for run in runs[1:] if run.measured != first.measured]
    if len(others) >= _EACH_UP_TO:
        notes.append(f"{count(len(others), 'run')} were measured on other pictures than {first.run}, so that a "
                     "difference may come from them")
    for run in runs[1:] if len(runs) <= _EACH_UP_TO else others[: _EACH_UP_TO - 1 if len(others) < _EACH_UP_TO else 0]:
        if run.measured != first.measured:
            common = len(run.measured & first.measured)
            notes.append(f"{run.run} was measured on other pictures than {first.run}: {common:,} of "
                         f"{len(run.measured):,} in common, so that a difference may come from them")
        if run.epochs != first.epochs and len(runs) <= _EACH_UP_TO:
            notes.append(f"{run.run} trained for {count(run.epochs, 'epoch')}, {first.run} for {first.epochs:,}")
    return notes
