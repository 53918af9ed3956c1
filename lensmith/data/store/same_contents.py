"""Pictures with the same contents under several names: in one split, in two, or with two labels."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError, count
from lensmith.data.sources.picture_files import Files
from lensmith.data.store.file_hashes import contents_of
from lensmith.values import of_kind
from lensmith.values.labels import UNKNOWN, Label

_LISTED = 10_000    # an account names at most so many pictures of each thing that it counts
_MOST = 0.5         # of a split: where more of it is in a later one too, as where valid is train again, that is meant
_ORDER = ("train", "valid", "test")
# Of what an account counts that pictures.on_bad=refuse refuses, what is said in the error.
_REFUSED = {"two_labels": "with the contents of one that has another label", "listed_twice": "listed twice",
            "in_later_split": "in two splits of the set", "in_two_splits": "in two splits of the set"}


@dataclass(frozen=True)
class SameContents:
    """Which pictures of each split have the same contents."""

    numbers: dict[str, np.ndarray]    # split -> int64 [n]: the same number for pictures of the same contents

    def of_training(self) -> np.ndarray | None:
        """int64 [n] of the split that is divided; None where no two of its pictures are the same."""
        numbers = self.numbers.get("train", self.numbers.get("all"))
        return None if numbers is None or len(np.unique(numbers)) == len(numbers) else numbers

    def in_later(self, split: str) -> np.ndarray:
        """bool [n]: which pictures of a split are in a later one of train, valid and test too."""
        later = _ORDER[_ORDER.index(split) + 1 :] if split in _ORDER else ()
        others = [self.numbers[name] for name in later if name in self.numbers]
        numbers = self.numbers[split]
        return np.isin(numbers, np.concatenate(others)) if others else np.zeros(len(numbers), dtype=bool)

    def leaving(self, split: str, source: Any) -> np.ndarray:
        """bool [n]: which pictures of a split stay in a later one alone. None do where they are most of the split, or
        all that it shows of a class."""
        later, label = self.in_later(split), _label(source)
        lost = label is not None and len(np.setdiff1d(label, label[~later])) > 0
        return later if later.mean() <= _MOST and not lost else np.zeros(len(later), dtype=bool)

    def account(self, sources: Mapping[str, Any]) -> dict[str, Any]:
        """What the account of the set says of them, and of those in two splits; nothing where no two are the same."""
        labels = defaultdict[int, set[int]](set)
        for split, numbers in self.numbers.items():
            label = _label(sources[split])
            for number, index in zip(numbers.tolist(), label.tolist() if label is not None else (), strict=False):
                labels[number] |= {index} - {UNKNOWN}
        found: dict[str, list[str]] = {"same_contents": [], "in_two_splits": [], "in_later_split": [], "two_labels": []}
        for split, numbers in self.numbers.items():
            first = np.unique(numbers, return_index=True)[1]
            again = np.setdiff1d(np.arange(len(numbers)), first)
            contradicted = [row for row, number in enumerate(numbers.tolist()) if len(labels[number]) > 1]
            later = self.in_later(split)
            key = "in_later_split" if self.leaving(split, sources[split]).any() else "in_two_splits"
            for name, rows in (("same_contents", again), ("two_labels", contradicted), (key, np.flatnonzero(later))):
                found[name] += [sources[split].name(int(row)) for row in rows]
        return {key: {"count": len(names), "pictures": names[:_LISTED]} for key, names in found.items() if names}


def without_repeats(sources: Mapping[str, Any], same: SameContents) -> tuple[dict[str, Any], SameContents]:
    """The splits of a set without the pictures that stay in a later one alone (`SameContents.leaving`), and which of
    the rest have the same contents."""
    kept = {split: np.arange(len(source)) for split, source in sources.items()}
    kept |= {split: np.flatnonzero(~same.leaving(split, sources[split])) for split in same.numbers}
    rest = {split: source if len(kept[split]) == len(source) else source.subset(kept[split].tolist())
            for split, source in sources.items()}
    return rest, SameContents({split: numbers[kept[split]] for split, numbers in same.numbers.items()})


def same_contents(sources: Mapping[str, Any]) -> SameContents:
    """Which pictures of the splits have the same contents; only files are compared. Only files of one length are
    read."""
    files = {split: source for split, source in sources.items() if isinstance(source, Files)}
    by_length: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for split, source in files.items():
        for row, path in enumerate(source.paths):
            by_length[_length(path)].append((split, row))
    alike = [place for length, places in by_length.items() if len(places) > 1 and length > 0 for place in places]
    numbers, number_of = {}, dict[bytes, int]()
    start = 0
    for split, source in files.items():
        numbers[split] = np.arange(start, start + len(source))
        start += len(source)
    for split, source in files.items():
        rows = [row for of_split, row in alike if of_split == split]
        if rows:
            hashes = contents_of([source.paths[row] for row in rows], root=source.root).hashes
            for row, content in zip(rows, hashes, strict=True):
                numbers[split][row] = number_of.setdefault(content.tobytes(), int(numbers[split][row]))
    return SameContents(numbers)


def refuse_repeats(account: Mapping[str, Any]) -> None:
    """Raise a DataError that names the first three pictures that are in two splits, have two labels or are listed
    twice, where there are any, by the account of a set."""
    for key, words in _REFUSED.items():
        counted = account.get(key) or {}
        if counted.get("count"):
            names = counted["pictures"]
            more = " ..." if counted["count"] > 3 else ""
            raise DataError(f"{count(counted['count'], 'picture')} {words}: {', '.join(names[:3])}{more}. Mend or "
                            "remove them, or take them as they are with pictures.on_bad=skip")


def _length(path: Path) -> int:
    """The bytes of a file; 0 where it is not there."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _label(source: Files) -> np.ndarray | None:
    """int64 [n]: the classes of the only label; None where a source has none, or several."""
    names = of_kind(source.targets, "label")
    if len(names) != 1:
        return None
    value = source.targets[names[0]]
    assert isinstance(value, Label)
    return value.index.numpy()
