"""Sets of pictures as data.json lists them: by their names, or as intervals of the rows of a file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

Interval = tuple[int, int]    # the first and the last row


@dataclass(frozen=True)
class PictureSet:
    """A set of pictures. Rows stay intervals, so that it takes as much memory as its text in the file."""

    names: frozenset[str] = frozenset()
    rows: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)    # by file, in order, none touching another

    @classmethod
    def of(cls, files: Any) -> Self:
        """The pictures of a split, from its entry in data.json: a list of files, or the rows of one file."""
        if not isinstance(files, Mapping):
            return cls(frozenset(map(str, files)))
        intervals = []
        for text in str(files["rows"]).split():    # "5-12 15" are the rows 5 to 12 and 15
            first, _, last = text.partition("-")
            intervals.append((int(first), int(last or first)))
        return cls(rows={str(files["file"]): _joined(intervals)})

    def __len__(self) -> int:
        return len(self.names) + sum(last - first + 1 for intervals in self.rows.values() for first, last in intervals)

    def __or__(self, other: Self) -> Self:
        files = dict.fromkeys([*self.rows, *other.rows])
        rows = {file: _joined([*self.rows.get(file, ()), *other.rows.get(file, ())]) for file in files}
        return type(self)(self.names | other.names, rows)

    def __and__(self, other: Self) -> Self:
        rows = {file: common for file, intervals in self.rows.items()
                if (common := _common(intervals, other.rows.get(file, ())))}
        return type(self)(self.names & other.names, rows)


def _joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same rows in as few intervals as they take, in order."""
    joined: list[Interval] = []
    for first, last in sorted(interval for interval in intervals if interval[0] <= interval[1]):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return tuple(joined)


def _common(intervals: tuple[Interval, ...], others: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """The rows that are in both, each in order and none touching another."""
    common: list[Interval] = []
    here = there = 0
    while here < len(intervals) and there < len(others):
        first = max(intervals[here][0], others[there][0])
        last = min(intervals[here][1], others[there][1])
        if first <= last:
            common.append((first, last))
        if intervals[here][1] <= others[there][1]:
            here += 1
        else:
            there += 1
    return tuple(common)
