"""Classes: missing from a split, few, out of balance, and names that differ by case or blanks alone."""

import re
from collections import defaultdict
from collections.abc import Iterator

from lensmith.base.errors import count
from lensmith.data.sources.kinds import TARGETS
from lensmith.study.check.finding import Finding
from lensmith.study.check.known_set import KnownSet
from lensmith.values import OBJECTS

_FEW = 5              # training pictures, or objects, of a class: with fewer hardly anything is learned of it
_UNEVEN, _VERY_UNEVEN = 10, 50    # times as many of the commonest class as of the rarest
_NAMED = 5            # classes that a sentence names
_SAME_LETTERS = re.compile(r"[\s_-]+")


def missing_classes(known: KnownSet) -> Iterator[Finding]:
    """Classes of which a split shows nothing, or the training split next to nothing."""
    for target, per_split in _counts(known).items():
        noun = _noun(known, target)
        for split, counts in per_split.items():
            absent = [name for name, number in counts.items() if not number]
            if absent:
                yield Finding("classes", "missing-class", "error" if split == "train" else "warning",
                              f"{_of_target(known, target)}{count(len(absent), 'class')} without any {noun} in {split} "
                              f"({first_names(absent)}): {unseen_in(split, len(absent))}", count=len(absent))
        few = [name for name, number in per_split.get("train", {}).items() if 0 < number < _FEW]
        if few:
            yield Finding("classes", "few", "warning",
                          f"{_of_target(known, target)}{count(len(few), 'class')} with fewer than {_FEW} {noun}s in "
                          f"train ({first_names(few)}): hardly anything can be learned of "
                          f"{'it' if len(few) == 1 else 'them'}", count=len(few),
                          numbers={"fewer_than": _FEW})


def imbalance(known: KnownSet) -> Iterator[Finding]:
    """How many times as many pictures or objects the commonest class has as the rarest that occurs."""
    for target, per_split in _counts(known).items():
        counts = {name: number for name, number in per_split.get("train", {}).items() if number}
        if len(counts) < 2:
            continue
        most, least = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
        ratio = counts[most] / counts[least]
        if ratio >= _UNEVEN:
            mend = ""
            if target in known.targets_of("label"):
                mend = "; loading.balance=true draws every class equally often"
            elif target in known.targets_of(*OBJECTS):
                mend = "; loading.balance=true draws pictures by their rarest object"
            yield Finding("balance", "imbalance", "warning" if ratio >= _VERY_UNEVEN else "note",
                          f"{_of_target(known, target)}{most!r} has {ratio:,.0f} times as many {_noun(known, target)}s "
                          f"in train as {least!r} ({counts[most]:,} and {counts[least]:,}){mend}", count=1,
                          numbers={"ratio": ratio, "most": counts[most], "least": counts[least]})


def names_alike(known: KnownSet) -> Iterator[Finding]:
    """Class names that are the same but for case, blanks, hyphens and underscores."""
    for target, names in known.classes.items():
        alike = defaultdict(list)
        for name in names:
            alike[_SAME_LETTERS.sub("", name).casefold()].append(name)
        several = [same for same in alike.values() if len(same) > 1]
        if several:
            shown = "; ".join(" and ".join(map(repr, same)) for same in several[:_NAMED])
            yield Finding("names", "names-alike", "warning",
                          f"{_of_target(known, target)}classes whose names differ by case, blanks or hyphens alone: "
                          f"{shown}{' ...' if len(several) > _NAMED else ''}. If they mean one thing, rename them",
                          count=len(several))


def _counts(known: KnownSet) -> dict[str, dict[str, dict[str, int]]]:
    """{target: {split: {class: pictures or objects}}} of the targets whose classes can be counted."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for target, names in known.classes.items():
        per_class = TARGETS[known.first.targets[target].kind].per_class
        if per_class is not None:
            counts[target] = {split: dict(zip(names, per_class(known.values(split, target), len(names)).tolist(),
                                              strict=True)) for split in known.splits}
    return counts


def _noun(known: KnownSet, target: str) -> str:
    return "object" if target in known.targets_of("boxes", "masks") else "picture"


def _of_target(known: KnownSet, target: str) -> str:
    """What begins a sentence where the set has several targets."""
    return f"{target}: " if len(known.classes) > 1 else ""


def unseen_in(split: str, number: int) -> str:
    """What follows for so many classes of which a split shows nothing."""
    they, are = ("it", "is") if number == 1 else ("they", "are")
    return f"{they} cannot be learned" if split == "train" else f"{they} {are} not measured there"


def first_names(names: list[str]) -> str:
    """The first of these class names, for a sentence."""
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
