"""Several rows of one picture become one row: what they say together, and where they contradict each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lensmith.base.errors import DataError, count
from lensmith.data.formats.given_splits import LISTED
from lensmith.data.formats.tables.read_table import Rows, picture_column

_MANY, _FEW = 0.1, 2    # of the pictures, and pictures: where more contradict themselves something else is meant


@dataclass(frozen=True)
class OneRowEach:
    """A table with one row a picture."""

    rows: Rows
    picture_of_row: np.ndarray    # int64 [rows of the table]: the number of its picture
    repeated: int                 # rows that were joined to an earlier one
    # Column -> picture -> the different things that it says of the picture.
    contradictions: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    in_two_splits: list[str] = field(default_factory=list)


def is_repeated(rows: Rows) -> bool:
    """Whether a picture has several rows."""
    paths = rows.column(picture_column(rows))
    return len(set(paths)) < len(paths)


def one_row_each(rows: Rows, *, group: str | None, join: Callable[[str, Sequence[str]], str | None]) -> OneRowEach:
    """The table with the rows of each picture joined, in the order in which it first names the pictures.

    An empty cell says nothing. `join(column, cells)` is the cell for the different ones that a column has; where it is
    None they contradict each other, and the cell becomes empty. Of a picture in two splits those rows stay that are in
    test, or in valid. Raises DataError for a picture in two groups, and where more than two and a tenth of all pictures
    are in two splits.
    """
    paths = rows.column(picture_column(rows))
    number = {path: i for i, path in enumerate(dict.fromkeys(paths))}
    picture_of_row = np.array([number[path] for path in paths], dtype=np.int64)
    if len(number) == len(paths):
        return OneRowEach(rows, picture_of_row, 0)
    of_picture: list[list[int]] = [[] for _ in number]
    for row, picture in enumerate(picture_of_row.tolist()):
        of_picture[picture].append(row)
    in_two = _in_two_splits(rows, of_picture)
    contradictions: dict[str, dict[str, list[str]]] = {}
    first = [members[0] for members in of_picture]
    joined = [list(rows.cells[row]) for row in first]
    for at, name in enumerate(rows.header):
        for picture, members in enumerate(of_picture):
            different = list(dict.fromkeys(rows.cells[row][at] for row in members if rows.cells[row][at]))
            if len(different) < 2:
                joined[picture][at] = different[0] if different else ""
                continue
            if name == group:
                raise DataError(f"{rows.file}, line {rows.lines[members[-1]]}: {paths[members[0]]} is in group "
                                f"{different[1]!r} here and in another above")
            cell = join(name, different)
            if cell is None:
                contradictions.setdefault(name, {})[paths[members[0]]] = different
            joined[picture][at] = cell or ""
    splits = None if rows.splits is None else \
        [_last_of([rows.splits[row] for row in members]) for members in of_picture]
    together = replace(rows, cells=joined, lines=[rows.lines[row] for row in first], splits=splits)
    return OneRowEach(together, picture_of_row, len(paths) - len(number), contradictions, in_two)


def _last_of(splits: Sequence[str]) -> str:
    return max(splits, key=("all", "train", "valid", "test").index)


def _in_two_splits(rows: Rows, of_picture: Sequence[Sequence[int]]) -> list[str]:
    """The pictures that are in two splits; raises DataError where they are many."""
    if rows.splits is None:
        return []
    splits, paths = rows.splits, rows.column(picture_column(rows))
    two = [members for members in of_picture if len({splits[row] for row in members}) > 1]
    if len(two) > max(_FEW, _MANY * len(of_picture)):
        members = two[0]
        other = next(row for row in members if splits[row] != splits[members[0]])
        raise DataError(f"{rows.file}, line {rows.lines[other]}: {paths[other]} is in split {splits[other]!r} here and "
                        f"in {splits[members[0]]!r} above, one of {count(len(two), 'picture')} in two splits: a "
                        "picture belongs to one. Take the lines out, or divide anew with data.split=false")
    return [paths[members[0]] for members in two]


def refuse_contradictions(table: OneRowEach, columns: Sequence[str]) -> None:
    """Raise a DataError where more than two pictures and a tenth have several values in a column of `columns`."""
    pictures = len(table.rows.cells)
    for name in columns:
        found = table.contradictions.get(name, {})
        if len(found) > max(_FEW, _MANY * pictures):
            picture, values = next(iter(found.items()))
            raise DataError(f"{table.rows.file} says different things of one picture: {count(len(found), 'picture')} "
                            f"of {pictures:,} have several values in {name!r}, as {picture} ({', '.join(values[:3])}). "
                            "Leave one line each, or say data.kind=tags where a picture has several labels")


def account_of(table: OneRowEach, columns: Sequence[str]) -> dict[str, object]:
    """What was joined, as data.json keeps it; `columns` are those that are learned."""
    account: dict[str, object] = {"duplicates": table.repeated}
    found = list(dict.fromkeys(picture for name in columns for picture in table.contradictions.get(name, ())))
    for key, pictures in (("kept_in_later_split", table.in_two_splits), ("contradictions", found)):
        if pictures:
            account[key] = {"count": len(pictures), "pictures": pictures[:LISTED]}
    return account
