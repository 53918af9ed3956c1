"""A table as it is read: its header, its cells, and the line of each row."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.data.formats.given_splits import SPLITS

_FIELD = re.compile(r"\{([^{}]*)\}")    # of a pattern: the name of a column between braces
_PICTURE = ("path", "file", "filename", "file_name", "image", "picture")


@dataclass(frozen=True)
class Rows:
    """A table in which every row has a cell for every column."""

    file: Path
    header: list[str]
    cells: list[list[str]]    # one list a row, without white space around
    lines: list[int]          # the line of the file on which each row begins

    def column(self, name: str) -> list[str]:
        at = self.header.index(name)
        return [row[at] for row in self.cells]

    def column_called(self, role: str) -> str | None:
        """The name of the column that is called so in lower case; None where there is none."""
        return next((name for name in self.header if name.lower() == role), None)

    def take(self, numbers: Sequence[int]) -> "Rows":
        """The rows of these numbers, counted from 0."""
        return Rows(self.file, self.header, [self.cells[i] for i in numbers], [self.lines[i] for i in numbers])


def read_rows(file: Path, separator: str | None) -> Rows:
    """The table in a file. Raises DataError with the line where it is none, UserError for a wrong separator.

    Without a `separator` it is the tab, comma or semicolon that is most often in the first line.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise UserError(f"data.separator={separator!r} is not possible: accepted is one character, as ',' ';' or '\\t'")
    if not file.is_file():
        near = nearest(file.name, [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else [])
        what = "is a folder; read class folders with data.name=folder" if file.is_dir() else f"does not exist.{near}"
        raise DataError(f"table {file} {what}")
    rows, lines = _read_cells(file, separator)
    if len(rows) < 2:
        raise DataError(f"table {file} is empty: a first line that names the columns, as path,label, and a line for "
                        "each picture are expected")
    header = [" ".join(name.split()) for name in rows[0]]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise DataError(f"{file}, line {line}: {count(len(row), 'cell')} where the first line names "
                            f"{count(len(header), 'column')}")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{file} has two columns called {twice!r}: rename one")
    return Rows(file, header, rows[1:], lines[1:])


def _read_cells(file: Path, separator: str | None) -> tuple[list[list[str]], list[int]]:
    """The cells of each row that has any, the header first, and the line on which the row begins."""
    rows, lines, line = [], [], 1
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
            opened.seek(0)
            reader = csv.reader(opened, delimiter=separator or _separator(first), strict=True)
            try:
                for row in reader:
                    if any(cell.strip() for cell in row):
                        rows.append([cell.strip() for cell in row])
                        lines.append(line)
                    line = reader.line_num + 1
            except csv.Error as error:
                raise DataError(f"{file}, line {line}: cannot be read as a table ({error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}): save it as CSV in UTF-8") from error
    except OSError as error:
        raise DataError(f"table {file} cannot be read ({error.strerror})") from error
    return rows, lines


def _separator(line: str) -> str:
    return max("\t,;", key=line.count)


def refuse_empty_cells(rows: Rows, name: str, *, hint: str = "") -> None:
    """Raise a DataError with the line of the first empty cell of a column, where there is one."""
    for cell, line in zip(rows.column(name), rows.lines, strict=True):
        if not cell:
            raise DataError(f"{rows.file}, line {line}: column {name!r} is empty; fill it or remove the line{hint}")


def picture_column(rows: Rows) -> str:
    """The column that names the pictures; raises DataError where there is none."""
    picture = next((name for name in rows.header if name.lower() in _PICTURE), None)
    if picture is None:
        raise DataError(f"{rows.file} has no column for the pictures: accepted are {', '.join(_PICTURE)}, or what "
                        "data.pictures names, a column or a pattern as images/{name}.jpg; its columns are "
                        f"{', '.join(rows.header)}.{nearest('path', rows.header)}")
    return picture


def with_picture_column(rows: Rows, pictures: str | None) -> tuple[Rows, set[str]]:
    """The table with its pictures in the column `path`, as the setting data.`pictures` says, and the columns that name
    them. Without the setting, the table as it is and the column of its pictures. Raises DataError."""
    if pictures is None:
        return rows, {picture_column(rows)}
    paths, used = fill_pattern(rows, pictures, "data.pictures")
    for name in used:
        refuse_empty_cells(rows, name)
    kept = [i for i, name in enumerate(rows.header) if name != "path"]
    header = ["path", *(rows.header[i] for i in kept)]
    cells = [[path, *(row[i] for i in kept)] for path, row in zip(paths, rows.cells, strict=True)]
    return Rows(rows.file, header, cells, rows.lines), {"path", *used}


def fill_pattern(rows: Rows, pattern: str, setting: str) -> tuple[list[str], set[str]]:
    """The text of a pattern for each row, and the columns that it names; raises DataError for an unknown column.

    A pattern is a column, or as images/{name}.jpg a text with columns in braces; its text is empty where one of their
    cells is. `setting` is what the error calls it.
    """
    if pattern in rows.header:
        return rows.column(pattern), {pattern}
    names = _FIELD.findall(pattern)
    for name in names or [pattern]:
        if name not in rows.header:
            raise DataError(f"{rows.file} has no column {name!r}, which {setting}={pattern!r} names."
                            f"{nearest(name, rows.header)} Accepted are a column, or a pattern over columns, as "
                            f"images/{{name}}.jpg; its columns are {', '.join(rows.header)}")
    columns = {name: rows.column(name) for name in names}
    texts = []
    for i in range(len(rows.cells)):
        cells = {name: column[i] for name, column in columns.items()}
        texts.append(_FIELD.sub(lambda field, cells=cells: cells[field[1]], pattern)    # type: ignore[misc]
                     if all(cells.values()) else "")
    return texts, set(names)


def split_column(rows: Rows, split: str | bool) -> str | None:
    """The column that the setting data.`split` names; None where there is none, or it is not to be read."""
    if isinstance(split, bool) or split == "split":
        return rows.column_called("split") if split else None
    if split not in rows.header:
        raise DataError(f"{rows.file} has no column {split!r} for the split.{nearest(split, rows.header)} Its columns: "
                        f"{', '.join(rows.header)}; data.split=false reads none.")
    return split


def splits_in(rows: Rows, column: str) -> list[str]:
    """The split of each row as its column says; raises DataError with the line of one that is unknown."""
    for cell, line in zip(rows.column(column), rows.lines, strict=True):
        if cell.lower() not in SPLITS:
            raise DataError(f"{rows.file}, line {line}: unknown split {cell!r}.{nearest(cell.lower(), SPLITS)} "
                            "Accepted: train, valid (or val, validation), test. Another column is named by data.split; "
                            "false reads none.")
    splits = [SPLITS[cell.lower()] for cell in rows.column(column)]
    if "train" not in splits:
        raise DataError(f"{rows.file} gives no picture the split 'train': there is nothing to learn from")
    return splits
