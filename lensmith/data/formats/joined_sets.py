"""Several data sets as one: joined by their pictures, each of them the source of one target."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lensmith.base.errors import DataError, UserError
from lensmith.base.picture_headers import Header
from lensmith.data.formats.format import Format
from lensmith.data.formats.given_splits import LISTED, common_root
from lensmith.data.sources.mask_files import MaskFiles
from lensmith.data.sources.picture_files import Files, readable
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.sample import Splits
from lensmith.data.sources.unknown_targets import check_part_name, spread_over, told_of
from lensmith.values import OBJECTS, of_kind
from lensmith.values.instance_masks import Masks
from lensmith.values.value import Value

OpenSet = Callable[[dict[str, Any]], Splits]


@dataclass(frozen=True)
class _Set:
    """One of the sets, all its splits together, each file once."""

    source: Files             # with one target
    target: str
    files: list[str]          # one a picture: the resolved path
    splits: np.ndarray        # str [n]: the split of each picture, "all" where the set brings none
    account: dict[str, Any]
    twice: int                # pictures that were left out, since their file had come before

    @property
    def has_splits(self) -> bool:
        return bool((self.splits != "all").any())


def join_sets(sets: dict[str, dict[str, Any]], *, open_set: OpenSet) -> Splits:
    """The pictures of all sets, those of one file as one picture, with the target of each set under its name.

    A target is unknown of a picture that its set does not have. Sets that bring splits have to agree on them, and a
    picture that only other sets have is in train. Raises DataError where two sets disagree, or where a set has no
    picture in common with another, UserError for what is no set.

    - `sets`: a section [data] for each target, as {species = {name = "table", path = "a.csv"}}.
    - `open_set`: opens such a section; the program passes it.
    """
    if not sets:
        raise UserError("data.sets is empty: give a section for each target, as {species = {name = \"table\", path = "
                        "\"labels.csv\"}, head = {name = \"voc\", path = \"boxes\"}}")
    for name in sets:
        check_part_name(name, "data.sets")
    opened = {name: _all_splits(name, open_set(section)) for name, section in sets.items()}
    _check_common(opened)
    whole, files = _join(opened)
    splits, taken = _splits_of_files(opened, files)
    numbers = {name: np.flatnonzero(splits == name).tolist() for name in ("all", "train", "valid", "test")}
    sources = {name: whole.subset(chosen) for name, chosen in numbers.items() if chosen}
    twice = {name: one_set.twice for name, one_set in opened.items() if one_set.twice}
    account = {
        "parts": told_of(whole), "pictures": {name: len(source) for name, source in sources.items()},
        **({"taken_for_train": {"count": len(taken), "pictures": taken[:LISTED]}} if taken else {}),
        **({"twice": twice} if twice else {}),
        "sets": {name: one_set.account for name, one_set in opened.items()},
        "notes": [f"{name}: {note}" for name, one_set in opened.items() for note in one_set.account.get("notes", ())]}
    return Splits(dict(sources), account)


def _join(opened: Mapping[str, _Set]) -> tuple[Files, list[str]]:
    """The pictures of all sets with every target, in the order of the sets, and the file of each."""
    files = list(dict.fromkeys(file for one_set in opened.values() for file in one_set.files))
    row_of = {file: row for row, file in enumerate(files)}
    # The path by which the first set names a file.
    path_of = {file: path for one_set in reversed(list(opened.values()))
               for file, path in zip(one_set.files, one_set.source.paths, strict=True)}
    paths = [path_of[file] for file in files]
    whole = Files(paths, {}, {}, root=common_root(next(iter(opened.values())).source.root, paths),
                  groups=_groups(opened, files))
    boxes = any(of_kind(one_set.source.targets, *OBJECTS) for one_set in opened.values())
    headers: list[Header | None] = survey(whole).headers if boxes else [None] * len(paths)
    for name, one_set in opened.items():
        classes = one_set.source.classes[one_set.target]
        rows = np.array([row_of[file] for file in one_set.files], dtype=np.int64)
        whole.targets[name] = spread_over(one_set.source.targets[one_set.target], rows, headers, classes=len(classes))
        whole.classes[name] = classes
    return whole, files


def _all_splits(name: str, parts: Splits) -> _Set:
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
    groups = None if first.groups is None else np.concatenate([source.groups for source in sources])
    lengths = list(map(len, sources))
    together = Files([path for source in sources for path in source.paths],
                     {target: _concatenated([source.targets[target] for source in sources], lengths)},
                     first.classes, root=first.root, groups=groups)
    split_of_row = np.repeat(list(splits), lengths)
    files = [os.path.realpath(path) for path in together.paths]
    first_row = {file: row for row, file in reversed(list(enumerate(files)))}
    rows = sorted(first_row.values())
    return _Set(together.subset(rows), target, [files[row] for row in rows], split_of_row[rows], parts.account,
                len(files) - len(rows))


def _concatenated(values: Sequence[Value], lengths: Sequence[int]) -> Value:
    """Stacked values of `lengths` pictures each as one value of all."""
    first = values[0]
    if len(values) == 1:
        return first
    if isinstance(first, MaskFiles):
        return MaskFiles(tuple(mask for value in values for mask in value.masks))    # type: ignore[attr-defined]
    starts = np.cumsum([0, *lengths])
    changed = {}
    for name in vars(first):
        tensors = [getattr(value, name) for value in values]
        if tensors[0] is not None:
            if name == "image":    # the numbers of pictures run on
                tensors = [tensor + start for tensor, start in zip(tensors, starts.tolist(), strict=False)]
            changed[name] = torch.cat(tensors)
    return replace(first, **changed)


def _check_common(opened: Mapping[str, _Set]) -> None:
    """Raise a DataError where no picture of a set is one of another set."""
    for name, one_set in opened.items():
        others = {other: set(opened[other].files) for other in opened if other != name}
        if others and not any(files.intersection(one_set.files) for files in others.values()):
            other = next(iter(others))
            raise DataError(f"data.sets.{name} has no picture in common with another set: its first is "
                            f"{readable(one_set.files[0])}, that of {other} {readable(opened[other].files[0])}; sets "
                            "are joined by the files of their pictures")


def _splits_of_files(opened: Mapping[str, _Set], files: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The split of each file, str [files], and the files that no set with splits has, which are in train."""
    given: dict[str, tuple[str, str]] = {}    # file -> its split, and the set that says so
    for name, one_set in opened.items():
        if not one_set.has_splits:
            continue
        for file, split in zip(one_set.files, one_set.splits.tolist(), strict=True):
            before = given.setdefault(file, (split, name))
            if before[0] != split:
                raise DataError(f"data.sets.{before[1]} has {readable(file)} in {before[0]!r}, and data.sets.{name} in "
                                f"{split!r}: make them agree, or leave the split of one out (a table's by split=false)")
    if not given:
        return np.full(len(files), "all"), []
    return np.array([given.get(file, ("train", ""))[0] for file in files]), \
        [readable(file) for file in files if file not in given]


def _groups(opened: Mapping[str, _Set], files: Sequence[str]) -> np.ndarray | None:
    """The group of each file, str [files], as the first set with groups says it; a file that none of these has is a
    group of its own. None where no set has groups."""
    groups: dict[str, str] = {}
    for one_set in opened.values():
        if one_set.source.groups is not None:
            for file, group in zip(one_set.files, one_set.source.groups.tolist(), strict=True):
                groups.setdefault(file, group)
    return np.array([groups.get(file, file) for file in files], dtype=str) if groups else None


JOINED_SETS = Format(join_sets)
