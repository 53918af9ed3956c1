"""Labels and tags of pictures that are likely wrong, told by a quick probe or by a run that never learned from them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lensmith.base.errors import count
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet
from lensmith.study.check.labels.confident_learning import Ranking, calibrated, rank_labels
from lensmith.study.check.labels.quick_probe import QuickProbe, Said
from lensmith.values.labels import UNKNOWN, Label, Tags
from lensmith.values.value import Value

CHECK = "suspicious-labels"
KINDS = ("suspicious-label", "doubtful-label", "labels-not-told")
_FEWEST = 10       # pictures of a class that it takes to speak of its labels
_BETTER = 0.2      # of the way from the commonest class to all right: what knows less says nothing of single labels
_LISTED = 2_000    # labels that a finding lists at most


@dataclass(frozen=True)
class Opinion:
    """That one label may be wrong."""

    row: int              # of the set
    given: str
    suggested: str
    probability: float    # of the given one, by what never learned from the picture


@dataclass(frozen=True)
class Opinions:
    """The labels of a target that may be wrong, the most suspicious first."""

    likely: list[Opinion] = field(default_factory=list)    # more likely wrong than not
    others: list[Opinion] = field(default_factory=list)


def suspicious_labels(known: KnownSet) -> Iterator[Finding]:
    """The labels and tags that are contradicted: by the run in what it never learned from, or, where none is named, by
    a quick probe that is trained by folds within `known.budget` seconds."""
    targets, held_out = known.targets_of("label", "tags"), known.held_out
    for target in targets if held_out is not None else ():
        if held_out is not None and target in held_out.targets:
            annotated = held_out.labels(target)
            told = _is_known(annotated)
            rows = np.array([known.row_of(path) for path in held_out.paths])[told]
            yield from _findings(known, target, annotated.take(torch.from_numpy(told.nonzero()[0])),
                                 Said(rows, held_out.logits(target).numpy()[told]), names=held_out.classes[target],
                                 by=held_out.name)
    if held_out is not None or not known.budget or not targets:
        return
    probe = QuickProbe(known, seconds=known.budget / len(targets), tell=known.tell)
    for target in targets:
        value = known.stacked(target)
        rows = _judged_rows(value, known.pictures.readable)
        if len(rows):
            said = probe.say(value.take(torch.from_numpy(rows)), rows, len(known.classes[target]))
            yield from _findings(known, target, value.take(torch.from_numpy(said.rows)), said,
                                 names=known.classes[target], by=probe.in_words)


def _findings(known: KnownSet, target: str, value: Value, said: Said, *, names: tuple[str, ...],
              by: str) -> Iterator[Finding]:
    """The labels of a target, stacked for the rows of `said`, that contradict it; `by` tells in words who says it."""
    opinions = opinions_of(value, said, names)
    named = f" of {target}" if len(known.targets_of("label", "tags")) > 1 else ""
    if opinions is None:
        yield Finding(CHECK, "labels-not-told", "note", f"whether labels{named} are wrong cannot be told: {by} knows "
                      "the classes hardly better than the commonest one; name a trained run with --run")
        return
    source = f"told by {by} from {count(len(said.rows), 'picture')} that it never learned from"
    if opinions.likely:
        yield _finding(known, opinions.likely, "suspicious-label", f"{count(len(opinions.likely), 'label')}{named} "
                       f"{_is(opinions.likely)} likely wrong: {source}")
    if opinions.others:
        what, why = ("more label", "") if opinions.likely else ("label", f" ({source})")
        yield _finding(known, opinions.others, "doubtful-label", f"{count(len(opinions.others), what)}{named} "
                       f"{_is(opinions.others)} worth a look: wrong, or of pictures that show no class clearly{why}")


def opinions_of(value: Value, said: Said, names: tuple[str, ...]) -> Opinions | None:
    """What speaks against the labels or tags of the pictures; None where what is said knows too little of them."""
    if isinstance(value, Label):
        labels = value.index.numpy()
        common = np.flatnonzero(np.bincount(labels, minlength=len(names))[labels] >= _FEWEST)
        return _of_labels(labels[common], said.logits[common], said.rows[common], names) if len(common) else Opinions()
    assert isinstance(value, Tags)
    present = value.present.numpy()
    found = [_of_tag(present[:, number], said.logits[:, number], said.rows, name)
             for number, name in enumerate(names)]
    told = [opinions for opinions in found if opinions is not None]
    if not told:
        return None if found else Opinions()
    return Opinions(_by_probability([opinion for opinions in told for opinion in opinions.likely]),
                    _by_probability([opinion for opinions in told for opinion in opinions.others]))


def _of_labels(labels: np.ndarray, logits: np.ndarray, rows: np.ndarray, names: tuple[str, ...]) -> Opinions | None:
    commonest = np.bincount(labels).max() / len(labels)
    right = (logits.argmax(1) == labels).mean()
    if right < commonest + _BETTER * (1 - commonest):
        return None
    return _opinions(rank_labels(labels, calibrated(labels, logits)), rows, names)


def _of_tag(present: np.ndarray, odds: np.ndarray, rows: np.ndarray, name: str) -> Opinions | None:
    """Of one tag, present or absent; pictures of which it is not known are passed over."""
    known = np.flatnonzero(~np.isnan(present))
    labels = (present[known] > 0.5).astype(np.int64)
    if min(labels.sum(), (1 - labels).sum()) < _FEWEST:
        return Opinions()
    logits = np.stack((-odds[known] / 2, odds[known] / 2), 1)
    return _of_labels(labels, logits, rows[known], (f"no {name}", name))


def _opinions(ranking: Ranking, rows: np.ndarray, names: tuple[str, ...]) -> Opinions:
    found = [Opinion(int(rows[row]), names[given], names[suggested], float(score)) for row, given, suggested, score in
             zip(ranking.rows, ranking.given, ranking.suggested, ranking.scores, strict=True)]
    return Opinions(found[: ranking.likely], found[ranking.likely :])


def _by_probability(opinions: list[Opinion]) -> list[Opinion]:
    return sorted(opinions, key=lambda opinion: opinion.probability)


def _judged_rows(value: Value, readable: np.ndarray) -> np.ndarray:
    """int64 [k]: the pictures that can be read and whose label, or a tag, is known; none where they are too few."""
    rows = np.flatnonzero(_is_known(value) & readable)
    return rows if len(rows) >= 2 * _FEWEST else rows[:0]


def _is_known(value: Value) -> np.ndarray:
    """bool [n]: of which pictures the label, or a tag, is known."""
    if isinstance(value, Label):
        return (value.index != UNKNOWN).numpy()
    assert isinstance(value, Tags)
    return (~value.present.isnan().all(1)).numpy()


def _finding(known: KnownSet, opinions: list[Opinion], kind: str, sentence: str) -> Finding:
    likely = kind == "suspicious-label"
    pictured = tuple(Pictured((known.at(opinion.row),), (_in_words(opinion),), 1 - opinion.probability)
                     for opinion in opinions[:_LISTED])
    return Finding(CHECK, kind, "warning" if likely else "note", sentence, pictured, count=len(opinions),
                   leave_out=tuple(known.at(opinion.row) for opinion in opinions) if likely else ())


def _in_words(opinion: Opinion) -> str:
    return f"labelled {opinion.given}, rather {opinion.suggested} (probability of the label {opinion.probability:.2g})"


def _is(opinions: list[Any]) -> str:
    return "is" if len(opinions) == 1 else "are"
