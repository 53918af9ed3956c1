"""The tables of defaults.py: every run a line of a file, joined by set into what report.py shows."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from classification_sets import NAMES, SETS
from paired import differences, in_points, interval
from results import Row

# comparison -> programs, ours first.
COMPARISONS = {"weights": ("Lensmith", "fastai"), "scratch": ("Lensmith", "fastai", "Ultralytics")}
BELOW = 0.02    # of accuracy that ours may lie below the better peer on one set


@dataclass(frozen=True)
class Run:
    """A program's whole process on a set or a fold of it."""

    set: str
    fold: int | None
    comparison: str
    program: str       # one of COMPARISONS, or the name of a candidate of ours
    seconds: float
    epochs: int
    train: int         # pictures in the train folder
    right: str         # for each test picture 1 where its class was named, else 0; empty for a candidate
    date: str
    machine: str
    valid: float | None = None    # of a candidate: its accuracy on what was held out of the train folder

    @property
    def key(self) -> tuple[str, int | None, str, str]:
        return self.set, self.fold, self.comparison, self.program


def add(run: Run, file: Path) -> None:
    """Write a run behind those that the file holds."""
    with open(file, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(run)) + "\n")


def runs_in(file: Path) -> list[Run]:
    """The newest run of each set, fold, comparison and program of a file; none where there is no file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    newest = {run.key: run for run in (Run(**json.loads(line)) for line in lines)}
    return list(newest.values())


@dataclass(frozen=True)
class Measured:
    """What a program reached on a whole set, its folds together."""

    right: np.ndarray    # bool, by picture
    seconds: float       # of a process, the mean over the folds
    epochs: float
    train: int

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def by_set(runs: Iterable[Run], comparison: str) -> dict[str, dict[str, Measured]]:
    """What each program of a comparison reached on each set that all of them were run on, in the order of SETS."""
    found = {run.key: run for run in runs}
    joined = {}
    for name in NAMES:
        folds = [one.fold for one in SETS if one.name == name]
        keys = {program: [(name, fold, comparison, program) for fold in folds] for program in COMPARISONS[comparison]}
        if all(key in found for several in keys.values() for key in several):
            joined[name] = {program: _joined([found[key] for key in several]) for program, several in keys.items()}
    return joined


def table(runs: Iterable[Run], comparison: str) -> tuple[list[Row], list[str]]:
    """The rows of a comparison, the last one their mean, and what they come to; nothing where no set is whole."""
    sets = by_set(runs, comparison)
    own, *others = COMPARISONS[comparison]
    if not sets:
        return [], []
    samples = {other: np.stack([differences(found[own].right, found[other].right) for found in sets.values()])
               for other in others}
    rows = [_row(name, found, {other: samples[other][number] for other in others})
            for number, (name, found) in enumerate(sets.items())]
    means = {program: statistics.mean(found[program].accuracy for found in sets.values())
             for program in COMPARISONS[comparison]}
    total: dict[str, str | float | int | None] = dict.fromkeys(rows[0]) | {"set": "mean"}
    total |= {program: round(mean, 4) for program, mean in means.items()}
    total |= {f"less {other}, points": in_points(means[own] - means[other], samples[other].mean(0)) for other in others}
    missing = [name for name in NAMES if name not in sets]
    notes = [f"Mean test accuracy: {', '.join(f'{program} {mean:.4f}' for program, mean in means.items())}.",
             f"Sets on which {own} is more than {100 * BELOW:g} points below the better peer, with an interval that "
             f"excludes 0: {', '.join(_below(sets, samples, own)) or 'none'}.",
             "Behind each difference in points: the middle 95 % over bootstrap samples of the pictures, in pairs."]
    if missing:
        notes.append(f"Not yet run: {', '.join(missing)}.")
    return [*rows, total], notes


def candidates_table(runs: Sequence[Run], comparison: str, names: Sequence[str], sets: Sequence[str]) -> list[Row]:
    """The score of each candidate on the held-out part of each set; None where it was not run."""
    found = {(run.program, run.set): run.valid for run in runs if run.comparison == comparison}
    rows: list[Row] = []
    for name in names:
        scores = {one: found.get((name, one)) for one in sets}
        known = [score for score in scores.values() if score is not None]
        rows.append({"comparison": comparison, "candidate": name, **scores,
                     "mean": round(statistics.mean(known), 4) if len(known) == len(sets) else None})
    return rows


def _joined(runs: Sequence[Run]) -> Measured:
    right = np.array([mark == "1" for run in runs for mark in run.right])
    return Measured(right, statistics.mean(run.seconds for run in runs), statistics.mean(run.epochs for run in runs),
                    round(statistics.mean(run.train for run in runs)))


def _row(name: str, found: dict[str, Measured], samples: dict[str, np.ndarray]) -> Row:
    own = next(iter(found.values()))
    row: dict[str, str | float | int | None] = {"set": name, "to train": own.train, "measured": len(own.right)}
    row |= {program: round(measured.accuracy, 4) for program, measured in found.items()}
    row |= {f"less {other}, points": in_points(own.accuracy - found[other].accuracy, samples[other])
            for other in samples}
    row |= {f"{program} s": round(measured.seconds) for program, measured in found.items()}
    row |= {f"{program} epochs": round(measured.epochs, 1) for program, measured in found.items()}
    return row


def _below(sets: dict[str, dict[str, Measured]], samples: dict[str, np.ndarray], own: str) -> list[str]:
    """The sets on which ours is too far below the better peer."""
    names = []
    for number, (name, found) in enumerate(sets.items()):
        better = max(samples, key=lambda other: found[other].accuracy)
        _, high = interval(samples[better][number])
        if found[own].accuracy - found[better].accuracy < -BELOW and high < 0:
            names.append(name)
    return names
