"""Runs on the very same pictures: their scores on those that all of them answered, and the differences of these."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lensmith.engine.kept_answers import TargetAnswers
from lensmith.study.compare.entry import Entry
from lensmith.tasks.metrics.differences import ScoreDifference, fraction_difference, resampled_difference
from lensmith.tasks.metrics.intervals import RESAMPLES, wilson

_WORK = 1e8        # numbers that are drawn or counted for all runs together: a second or two
_LEAST = 50        # bootstrap samples, whose standard error is right to a tenth
_COUNTED = ("accuracy_top1",)    # metrics that are the fraction of the pictures that are right


@dataclass(frozen=True)
class SamePictures:
    """What several runs answered of one target, on the pictures that all of them have."""

    files: tuple[str, ...]
    answers: tuple[TargetAnswers, ...]    # of each run
    rows: tuple[np.ndarray, ...]          # int64 [files]: where each picture stands in each run's answers
    totals: tuple[int, ...]               # the pictures that each run answered
    metric: str
    more_is_better: bool

    def __len__(self) -> int:
        return len(self.files)

    def weights(self, run: int, drawn: np.ndarray) -> np.ndarray:
        """Weights of the pictures that all have, [samples, files], as weights of all that a run answered."""
        weights = np.zeros((len(drawn), self.totals[run]))
        weights[:, self.rows[run]] = drawn
        return weights

    def values(self, run: int, drawn: np.ndarray) -> np.ndarray | None:
        """float [samples]: the metric of a run; None for one that cannot be told from what is kept."""
        answers = self.answers[run]
        return answers.counts.measure(self.metric, answers.columns, self.weights(run, drawn), len(answers.names))

    def scores(self) -> list[float] | None:
        """The metric of each run on all of these pictures."""
        everything = np.ones((1, len(self)))
        values = [self.values(run, everything) for run in range(len(self.answers))]
        return None if any(value is None for value in values) else [float(value[0]) for value in values
                                                                    if value is not None]

    def right(self, run: int) -> np.ndarray:
        """float [files]: how good each answer of a run is, as the kind's `quality` says; NaN where it is not known."""
        answers = self.answers[run]
        return answers.counts.quality(answers.columns, self.totals[run], len(answers.names))[self.rows[run]]

    def samples(self, runs: int, *, most: int = RESAMPLES) -> np.ndarray:
        """float64 [samples, files]: how often a bootstrap draws each picture, the same for all of so many runs."""
        rows = max(len(self), *(len(column) for answers in self.answers for column in answers.columns.values()))
        number, pictures = int(np.clip(_WORK / (runs * rows), _LEAST, most)), len(self)
        drawn = np.random.default_rng(0).integers(pictures, size=(number, pictures))
        drawn += np.arange(number)[:, None] * pictures
        return np.bincount(drawn.ravel(), minlength=number * pictures).reshape(number, pictures).astype(np.float64)


@dataclass(frozen=True)
class PairedScores:
    """The scores of runs on the same pictures, each with its 95 % interval, and how to compare two of them."""

    values: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    pictures: int
    right: np.ndarray | None      # float [runs, pictures], 0 or 1, where the score is their mean
    draws: np.ndarray | None      # float [runs, samples] otherwise

    def difference(self, run: int, other: int) -> ScoreDifference:
        """The score of a run less that of another."""
        if self.right is not None:
            gained, lost = self.only_one_right(run, other)
            return fraction_difference(gained, lost, self.pictures)
        assert self.draws is not None
        return resampled_difference(self.values[run] - self.values[other], self.draws[run] - self.draws[other],
                                    self.pictures)

    def only_one_right(self, run: int, other: int) -> tuple[int, int]:
        """How many pictures only the one, and how many only the other run gets right."""
        assert self.right is not None
        ours, others = self.right[run] > 0, self.right[other] > 0
        return int((ours & ~others).sum()), int((others & ~ours).sum())


def same_pictures(runs: Sequence[Entry], targets: Sequence[str], metric: str, *,
                  more_is_better: bool) -> SamePictures | None:
    """The answers of runs, each to its own target, on the pictures that all of them have; None where some run keeps
    none or no picture is common to all."""
    answers = []
    for run, target in zip(runs, targets, strict=True):
        if run.answers is None or target not in run.answers.targets:
            return None
        answers.append((run.answers, run.answers.targets[target]))
    if len({kept.kind for _, kept in answers}) > 1:
        return None
    files, rows = _common([split.files for split, _ in answers])
    if not files:
        return None
    return SamePictures(files, tuple(kept for _, kept in answers), rows,
                        tuple(len(split.files) for split, _ in answers), metric, more_is_better)


def paired_scores(same: SamePictures) -> PairedScores | None:
    """The scores of all runs; None where the metric cannot be told from what is kept."""
    values = same.scores()
    if values is None:
        return None
    runs = range(len(same.answers))
    if same.metric in _COUNTED:
        right = np.stack([same.right(run) for run in runs])
        known = ~np.isnan(right).any(0)
        right = right[:, known]
        ends = [wilson(int(row.sum()), right.shape[1]) if right.shape[1] else [np.nan, np.nan] for row in right]
        values = [float(row.mean()) if len(row) else float("nan") for row in right]
        return PairedScores(tuple(values), tuple((low, high) for low, high in ends), right.shape[1], right, None)
    drawn = same.samples(len(runs))
    draws = np.stack([np.asarray(same.values(run, drawn)) for run in runs])
    spread = [resampled_difference(value, row, len(same)) for value, row in zip(values, draws, strict=True)]
    return PairedScores(tuple(values), tuple((each.low, each.high) for each in spread), len(same), None, draws)


def other_truth(same: SamePictures) -> int:
    """How many of the pictures have another truth in some run than in the first, as where they were labelled anew."""
    first = same.answers[0]
    differs = np.zeros(len(same), bool)
    for answers, rows in zip(same.answers[1:], same.rows[1:], strict=True):
        ours, theirs = first.columns.get("truth"), answers.columns.get("truth")
        if ours is None or theirs is None or answers.names != first.names:
            continue
        unequal = ours[same.rows[0]] != theirs[rows]
        if ours.dtype.kind == "f":    # not known is not known
            unequal &= ~(np.isnan(ours[same.rows[0]]) & np.isnan(theirs[rows]))
        differs |= unequal if unequal.ndim == 1 else unequal.any(1)
    return int(differs.sum())


def _common(lists: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], tuple[np.ndarray, ...]]:
    """The names that are in all lists, and int64 [names] where they stand in each."""
    if all(files == lists[0] for files in lists[1:]):    # as of runs on one data set, which are many
        return lists[0], (np.arange(len(lists[0])),) * len(lists)
    places = [_numbered(files) for files in lists]
    common = [name for name in places[0] if all(name in place for place in places[1:])]
    return tuple(name for name, _ in common), tuple(np.array([place[name] for name in common], np.int64)
                                                    for place in places)


def _numbered(files: Sequence[str]) -> dict[tuple[str, int], int]:
    """Each picture's name, with how many of that name come before it -> its row."""
    met: dict[str, int] = {}
    places = {}
    for row, name in enumerate(files):
        met[name] = met.get(name, -1) + 1
        places[name, met[name]] = row
    return places
