"""Which of several settings is better at a part, and whether that is more than noise, in sentences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lensmith.base.errors import count
from lensmith.study.compare.entry import Entry, metric_of
from lensmith.study.compare.same_pictures import PairedScores, SamePictures, other_truth, paired_scores, same_pictures
from lensmith.study.compare.settings import SeedGroup
from lensmith.tasks.metrics.differences import (
    LEVEL,
    MOST_RUNS,
    ScoreDifference,
    holm,
    mean_interval,
    pictures_to_decide,
    runs_to_decide,
    seeds_difference,
)
from lensmith.tasks.metrics.metric import Metric


@dataclass(frozen=True)
class Standing:
    """A setting's score in a part, and how far it is behind the best."""

    name: str
    runs: tuple[str, ...]
    score: float                     # of several seeds the mean
    low: float | None                # of the score, 95 %
    high: float | None
    behind: ScoreDifference | None   # the best's score less this one's; None for the best, and where nothing is known
    p: float | None                  # of this difference, corrected for the number of pairs (Holm)


@dataclass(frozen=True)
class Verdict:
    """The settings that learned a part, the best first."""

    part: str
    metric: str
    pictures: int | None    # that all of them were measured on; None where it is not known
    standings: tuple[Standing, ...]
    sentences: tuple[str, ...]
    same: SamePictures | None = None      # of single runs, in the order of `runs`
    runs: tuple[Entry, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The part with its standings and sentences, as plain data."""
        return {"part": self.part, "metric": self.metric, "pictures": self.pictures, "sentences": list(self.sentences),
                "standings": [asdict(standing) for standing in self.standings]}


def verdict_on(part: str, groups: Sequence[SeedGroup], targets: Mapping[str, str], own: Mapping[str, Metric], *,
               metric: str | None = None) -> Verdict | None:
    """The verdict on a part, or None where fewer than two runs have its metric.

    `targets`: run -> what the part is called in it. By itself the metric is the one that ranks the part.
    """
    runs = [run for group in groups for run in group.runs if run.run in targets]
    name = metric or next((run.scores[targets[run.run]] for run in runs), "")
    shown = metric_of(name, own)
    runs = [run for run in runs if f"{targets[run.run]}/{name}" in run.metrics]
    if len(runs) < 2:
        return None
    same = same_pictures(runs, [targets[run.run] for run in runs], name, more_is_better=shown.better == "more")
    paired = None if same is None else paired_scores(same)
    scores = paired.values if paired is not None else [run.metrics[f"{targets[run.run]}/{name}"] for run in runs]
    chosen = [kept for group in groups if (kept := [runs.index(run) for run in group.runs if run in runs])]
    names = [group.name for group in groups if any(run in runs for run in group.runs)]
    order = sorted(range(len(chosen)), key=lambda number: np.mean([scores[run] for run in chosen[number]]),
                   reverse=shown.better == "more")
    ranked = _Ranked(tuple(names[number] for number in order), tuple(tuple(chosen[number]) for number in order),
                     tuple(map(float, scores)), paired, tuple(run.run for run in runs))
    standings = _standings(ranked)
    sentences = [*_what_it_rests_on(runs, same, paired), *_Words(name, shown, ranked, standings).sentences()]
    return Verdict(part, name, None if paired is None else paired.pictures, standings, tuple(sentences), same,
                   tuple(runs))


@dataclass(frozen=True)
class _Ranked:
    """Settings by falling score, each with the numbers of its runs."""

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]             # of each run
    paired: PairedScores | None
    runs: tuple[str, ...]

    def of(self, number: int) -> list[float]:
        return [self.scores[run] for run in self.members[number]]

    def over_seeds(self, first: int, second: int) -> bool:
        return len(self.members[first]) > 1 or len(self.members[second]) > 1

    def difference(self, first: int, second: int) -> ScoreDifference:
        if self.over_seeds(first, second):
            return seeds_difference(self.of(first), self.of(second))
        if self.paired is not None:
            return self.paired.difference(self.members[first][0], self.members[second][0])
        return ScoreDifference(self.of(first)[0] - self.of(second)[0], math.nan, math.nan, math.nan)


def _standings(ranked: _Ranked) -> tuple[Standing, ...]:
    pairs = list(combinations(range(len(ranked.names)), 2))
    differences = [ranked.difference(first, second) for first, second in pairs]
    corrected = dict(zip(pairs, zip(differences, holm([each.p for each in differences]), strict=True), strict=True))
    rows = []
    for number, name in enumerate(ranked.names):
        scores = ranked.of(number)
        low: float | None = None
        high: float | None = None
        if len(scores) > 1:
            low, high = mean_interval(scores)
        elif ranked.paired is not None:
            low, high = ranked.paired.intervals[ranked.members[number][0]]
        behind, p = corrected.get((0, number), (None, None))
        rows.append(Standing(name, tuple(ranked.runs[run] for run in ranked.members[number]), float(np.mean(scores)),
                             low, high, behind, p))
    return tuple(rows)


def _what_it_rests_on(runs: Sequence[Entry], same: SamePictures | None, paired: PairedScores | None) -> list[str]:
    """What keeps runs from being compared on the same pictures, or on all of them."""
    without = [run.run for run in runs if run.answers is None]
    if without:
        return [f"{_several(without)} {'keeps' if len(without) == 1 else 'keep'} no answers, as runs of earlier "
                "versions do: without them nothing can be said of the same pictures. The same command with --measure "
                "measures again"]
    if same is None:
        return ["No picture was answered by all of these runs: --data DIR measures all of them on the same"]
    texts = []
    if paired is None:
        texts.append(f"{same.metric} cannot be told from what is kept of each picture: choose another with --metric")
    most = max(same.totals)
    if len(same) < most:
        texts.append(f"The scores here are those on the {len(same):,} pictures that all of the runs answered; they "
                     f"were measured on up to {most:,}. --data DIR measures all of them on the same")
    if relabelled := other_truth(same):
        texts.append(f"{count(relabelled, 'picture')} of these have another truth in some run than in the first: the "
                     "scores of these runs are not of the same question")
    return texts


def _several(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {count(len(names) - 1, 'other run')}"


@dataclass(frozen=True)
class _Words:
    """What is said of the standings in a part."""

    metric: str
    shown: Metric
    ranked: _Ranked
    standings: tuple[Standing, ...]

    def sentences(self) -> list[str]:
        if len(self.standings) < 2:
            return [self._one_setting()]
        pairs = len(self.standings) * (len(self.standings) - 1) // 2
        texts = [self._first_two()]
        known = [standing for standing in self.standings[1:] if standing.p is not None and not math.isnan(standing.p)]
        if pairs > 1 and known:
            worse = sum(standing.p < LEVEL for standing in known if standing.p is not None)
            texts.append(f"Of the {len(self.standings) - 1} others {worse} {'is' if worse == 1 else 'are'} worse than "
                         f"{self.standings[0].name} by more than noise, with Holm's correction for {pairs} pairs")
        if all(len(standing.runs) == 1 for standing in self.standings) and known:
            texts.append("Each is one run, so this is about these trained networks: whether the settings themselves "
                         "are better is told by runs with other seeds (run.seed=1, run.seed=2, ...) beside them")
        return texts

    def _one_setting(self) -> str:
        standing = self.standings[0]
        return f"All are one recipe with {count(len(standing.runs), 'seed')}: {self.metric} is " \
            f"{self.shown.text(standing.score)} in the mean ({self._interval(standing.low, standing.high)}, 95 %)"

    def _first_two(self) -> str:
        best, second = self.standings[0], self.standings[1]
        difference, p = second.behind, second.p
        assert difference is not None and p is not None
        head = f"{best.name} is ahead of {second.name} in {self.metric} by {self._size(abs(difference.value))}"
        if difference.value == 0:
            head = f"{best.name} and {second.name} have the same {self.metric}"
        if math.isnan(p):
            return f"{head}; whether that is more than noise cannot be told"
        where = self._where()
        test = f"p {_p_text(p)}, {self._test()}"
        ends = f"95 %: {self._interval(difference.low, difference.high, size=True)}"
        if p < LEVEL:
            return f"{head} {where} ({ends}). That is more than noise: {test}"
        return f"{head} {where} ({ends}). Noise alone may make that: {test}{self._decided_by(difference)}"

    def _where(self) -> str:
        if self.ranked.over_seeds(0, 1):
            return f"in the mean over {len(self.ranked.members[0])} and {count(len(self.ranked.members[1]), 'run')}"
        assert self.ranked.paired is not None
        return f"on the same {count(self.ranked.paired.pictures, 'picture')}"

    def _test(self) -> str:
        corrected = " with Holm's correction" if len(self.standings) > 2 else ""
        if self.ranked.over_seeds(0, 1):
            single = min(len(self.ranked.members[0]), len(self.ranked.members[1])) == 1
            return f"{'Student' if single else 'Welch'}'s t-test{corrected}"
        paired = self.ranked.paired
        assert paired is not None
        if paired.right is None:
            return f"paired bootstrap{corrected}"
        gained, lost = paired.only_one_right(self.ranked.members[0][0], self.ranked.members[1][0])
        return f"McNemar's test{corrected}: {gained:,} pictures that only the first gets right, {lost:,} only the other"

    def _decided_by(self, difference: ScoreDifference) -> str:
        """How many runs or pictures would decide whether the difference is there."""
        if not difference.value:
            return ""
        if self.ranked.over_seeds(0, 1):
            spreads = [np.var(scores, ddof=1) for number in (0, 1) if len(scores := self.ranked.of(number)) > 1]
            runs = runs_to_decide(difference.value, math.sqrt(float(np.mean(spreads))))
            return f". If it is real, {runs} runs of each would show it (power 80 %)" if runs is not None else \
                f". More than {MOST_RUNS:,} runs of each would be needed to show so small a difference"
        assert self.ranked.paired is not None
        pictures = pictures_to_decide(difference, self.ranked.paired.pictures)
        return "" if pictures is None else f". If it is real, about {_round(pictures):,} such pictures would show it " \
            "(power 80 %)"

    def _size(self, value: float) -> str:
        return f"{100 * value:.2f} points" if self.shown.shown == "percent" else f"{value:.4f}"

    def _interval(self, low: float | None, high: float | None, *, size: bool = False) -> str:
        if low is None or high is None:
            return "–"
        if size and self.shown.better == "less":    # a difference is told as what the first is ahead
            low, high = -high, -low
        scale, digits = (100, 2) if self.shown.shown == "percent" else (1, 4)
        return f"{scale * low:.{digits}f} to {scale * high:.{digits}f}"


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _round(number: int) -> int:
    """To two digits: what an estimate is good for."""
    step = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step
