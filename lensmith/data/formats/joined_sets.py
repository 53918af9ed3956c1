"""Several data sets as one: joined by their pictures, each of them the source of one target."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import Header
from lensmith.data.formats.format import Format
from lensmith.data.formats.given_splits import NAMED, common_root
from lensmith.data.sources.mask_files import MaskFiles
from lensmith.data.sources.picture_files import Files, readable
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.sample import Parts
from lensmith.data.sources.unknown_targets import check_part_name, spread_over, told_of
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.value import Value, of_kind

OpenSet = Callable[[dict[str, Any]], Parts]


@dataclass(frozen=True)
class _Set:
    """One of the sets, all its splits together, each file once."""

    source: Files             # with one target
    target: str
    files: list[str]          # one a picture: the file, resolved
    splits: np.ndarray        # str [n]: the split of each picture, "all" where the set brings none
    account: dict[str, Any]
    twice: int                # rows of a file that had come before

    @property
    def divides(self) -> bool:
        return bool((self.splits != "all").any())


def several(sets: dict[str, dict[str, Any]], *, open_set: OpenSet) -> Parts:
    """The pictures of all sets, those of one file together, with the target of each set under its name.

    `sets` holds a section [data] for each target, as {species = {name = "table", path = "a.csv"}}; `open_set`, which
    the program passes, opens one. What a set lacks of a picture is unknown there. Sets that bring a split have to agree
    on it; a picture that only others have is in train. Raises DataError where two sets disagree, or where a set has no
    picture in common with another, UserError for what is no set.
    """
    if not sets:
        raise UserError("data.sets is empty: give a section for each target, as {species = {name = \"table\", path = "
                        "\"labels.csv\"}, head = {name = \"voc\", path = \"boxes\"}}")
    for name in sets:
        check_part_name(name, "data.sets")
    opened = {name: _opened(name, open_set(section)) for name, section in sets.items()}
    _check_common(opened)
    found = {file: one.source.paths[row] for one in reversed(opened.values()) for row, file in enumerate(one.files)}
    files = list(dict.fromkeys(file for one in opened.values() for file in one.files))
    row_of = {file: row for row, file in enumerate(files)}
    paths = [found[file] for file in files]
    whole = Files(paths, {}, {}, root=common_root(next(iter(opened.values())).source.root, paths),
                  groups=_groups(opened, files))
    boxes = any(of_kind(one.source.targets, Boxes) for one in opened.values())
    headers: list[Header | None] = survey(whole).headers if boxes else [None] * len(paths)
    for name, one in opened.items():
        names, rows = one.source.classes[one.target], np.array([row_of[file] for file in one.files], dtype=np.int64)
        whole.targets[name] = spread_over(one.source.targets[one.target], rows, headers, classes=len(names))
        whole.classes[name] = names
    splits, taken = _splits(opened, files)
    chosen = {name: np.flatnonzero(splits == name).tolist() for name in ("all", "train", "valid", "test")}
    parts = {name: whole.subset(rows) for name, rows in chosen.items() if rows}
    twice = {name: one.twice for name, one in opened.items() if one.twice}
    account = {
        "parts": told_of(whole), "pictures": {name: len(part) for name, part in parts.items()},
        **({"taken_for_train": {"count": len(taken), "pictures": taken[:NAMED]}} if taken else {}),
        **({"twice": twice} if twice else {}),
        "sets": {name: one.account for name, one in opened.items()}}
    return Parts(dict(parts), account)


def _opened(name: str, parts: Parts) -> _Set:
    """The splits of a set together; raises DataError where it cannot be joined with others."""
    splits: dict[str, Any] = parts.splits
    for source in splits.values():
        if not isinstance(source, Files):
            raise DataError(f"data.sets.{name}: its pictures are not files of their own, by which sets are joined: "
                            "take a format that has a file for each picture")
        if len(source.targets) != 1:
            raise DataError(f"data.sets.{name} gives {', '.join(source.targets)}: a set is the source of one target; "
                            "say which with its `target`, and list it once for each")
    sources: list[Files] = list(splits.values())
    first = sources[0]
    (target, value), = first.targets.items()
    if isinstance(value, Masks):
        raise DataError(f"data.sets.{name} gives the pixels of single objects, which cannot be learned beside others: "
                        "take their boxes, by outlines=false")
    groups = None if first.groups is None else np.concatenate([one.groups for one in sources])
    together = Files([path for one in sources for path in one.paths],
                     {target: _joined([one.targets[target] for one in sources], list(map(len, sources)))},
                     first.classes, root=first.root, groups=groups)
    given = np.repeat(list(splits), list(map(len, sources)))
    files = [os.path.realpath(path) for path in together.paths]
    rows = {file: row for row, file in reversed(list(enumerate(files)))}    # the first of each
    kept = sorted(rows.values())
    return _Set(together.subset(kept), target, [files[row] for row in kept], given[kept], parts.account,
                len(files) - len(kept))


def _joined(values: Sequence[Value], counts: Sequence[int]) -> Value:
    """Stacked values of so many pictures each as one."""
    first = values[0]
    if len(values) == 1:
        return first
    if isinstance(first, MaskFiles):
        return MaskFiles(tuple(mask for one in values for mask in one.masks))    # type: ignore[attr-defined]
    starts = np.cumsum([0, *counts])
    changed = {}
    for name in vars(first):
        own = [getattr(one, name) for one in values]
        if own[0] is not None:
            if name == "image":
                own = [one + start for one, start in zip(own, starts.tolist(), strict=False)]
            changed[name] = torch.cat(own)
    return replace(first, **changed)


def _check_common(opened: Mapping[str, _Set]) -> None:
    """Raise a DataError where no picture of a set is one of another's."""
    for name, one in opened.items():
        others = {other: set(two.files) for other, two in opened.items() if other != name}
        if others and not any(files.intersection(one.files) for files in others.values()):
            other = next(iter(others))
            raise DataError(f"data.sets.{name} has no picture in common with another set: its first is "
                            f"{readable(one.files[0])}, that of {other} {readable(opened[other].files[0])}; sets are "
                            "joined by the files of their pictures")


def _splits(opened: Mapping[str, _Set], files: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """str [n]: the split of each file, and those that no set with a split has, which are in train."""
    given: dict[str, tuple[str, str]] = {}    # file -> its split, and the set that says so
    for name, one in opened.items():
        if not one.divides:
            continue
        for file, split in zip(one.files, one.splits.tolist(), strict=True):
            before = given.setdefault(file, (split, name))
            if before[0] != split:
                raise DataError(f"data.sets.{before[1]} has {readable(file)} in {before[0]!r}, and data.sets.{name} in "
                                f"{split!r}: make them agree, or leave the split of one out (a table's by split=false)")
    if not given:
        return np.full(len(files), "all"), []
    return np.array([given.get(file, ("train", ""))[0] for file in files]), \
        [readable(file) for file in files if file not in given]


def _groups(opened: Mapping[str, _Set], files: Sequence[str]) -> np.ndarray | None:
    """str [n]: the group of each file as the first set with groups says it, else the file alone; None without any."""
    found: dict[str, str] = {}
    for one in opened.values():
        if one.source.groups is not None:
            for file, group in zip(one.files, one.source.groups.tolist(), strict=True):
                found.setdefault(file, group)
    return np.array([found.get(file, file) for file in files], dtype=str) if found else None


JOINED_SETS = Format(several)
