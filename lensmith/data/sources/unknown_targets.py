"""Targets by their names, where a set gives several and some pictures lack one: what is known and what is not.

What stands for an unknown target is said by its kind, in `data/sources/kinds/`.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import Header
from lensmith.data.sources.kinds import TARGETS
from lensmith.data.sources.sample import Collection
from lensmith.values import OBJECTS
from lensmith.values.value import Value

_WORD = re.compile(r"[^\W\d]\w*")


def check_part_name(name: str, where: str) -> None:
    """Raise a DataError where a part has a name that is not a word: it becomes that of losses, scores and weights."""
    if not _WORD.fullmatch(name):
        raise DataError(f"{where}: {name!r} cannot be the name of a part: accepted is one word of letters, digits and "
                        "_ that begins with a letter; rename it")


def spread_over(value: Value, rows: np.ndarray, headers: Sequence[Header | None], *, classes: int) -> Value:
    """A stacked value of the pictures `rows` (int64 [k], each once) as one of all pictures, the others unknown.

    `headers` are those of all pictures, None where one cannot be read; they are asked for boxes alone, which are in
    the pixels of the files. `classes` is the number of the target's classes.
    """
    return TARGETS[value.kind].spread(value, rows, headers, classes)


def known_in(source: Collection, target: str) -> np.ndarray:
    """bool [n]: of which pictures of a set its target says something."""
    return TARGETS[source.targets[target].kind].known(source, target)


def told_of(source: Collection) -> dict[str, dict[str, Any]]:
    """For each target of a set its `kind`, and of how many pictures it is `known` and `unknown`, as plain data."""
    counts = {}
    for name, value in source.targets.items():
        known = int(known_in(source, name).sum())
        counts[name] = {"kind": value.kind, "known": known, "unknown": len(source) - known}
    return counts


def counts_of(source: Collection) -> dict[str, dict[str, Any]]:
    """What told_of tells, and, of targets with classes that can be counted, `per_class`: how many pictures show each,
    of boxes how many objects are of it, without the crowds."""
    counts = told_of(source)
    for name, value in source.targets.items():
        names, per_class = source.classes[name], TARGETS[value.kind].per_class
        if per_class is not None:
            counts[name]["per_class"] = dict(zip(names, per_class(value, len(names)).tolist(), strict=True))
    return counts


def unmeasurable(source: Collection, target: str) -> bool:
    """Whether nothing of a target can be measured on a set: nothing is known, or of objects none is there."""
    value, per_class = source.targets[target], TARGETS[source.targets[target].kind].per_class
    if not known_in(source, target).any():
        return True
    return value.kind in OBJECTS and per_class is not None and not per_class(value, len(source.classes[target])).any()
