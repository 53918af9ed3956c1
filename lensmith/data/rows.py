"""A table as it is read: its header, its cells, and the line of each."""

import csv
from dataclasses import dataclass
from pathlib import Path

from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.data.folders import SPLITS

_PICTURE = ("path", "file", "filename", "file_name", "image", "picture")


@dataclass(frozen=True)
class Rows:
    """A table as it was read: every row has a cell for every column."""

    file: Path
    header: list[str]
    cells: list[list[str]]    # stripped
    lines: list[int]          # the line of the file on which each row begins

    def column(self, name: str) -> list[str]:
        at = self.header.index(name)
        return [row[at] for row in self.cells]

    def called(self, role: str) -> str | None:
        """The column of that name, in whatever case; None where there is none."""
        return next((name for name in self.header if name.lower() == role), None)


def read_rows(file: Path, separator: str | None) -> Rows:
    """The table in a file, `separator` found in its first line where it is not given; raises DataError with the line
    where it is none, UserError for a separator that cannot be."""
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise UserError(f"data.separator={separator!r} is not possible: accepted is one character, as ',' ';' or '\\t'")
    if not file.is_file():
        above = file.parent
        near = nearest(file.name, [entry.name for entry in above.iterdir()] if above.is_dir() else [])
        what = "is a folder; read class folders with --data folder" if file.is_dir() else f"does not exist.{near}"
        raise DataError(f"table {file} {what}")
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            first = opened.readline()
            opened.seek(0)
            reader = csv.reader(opened, delimiter=separator or _separator(first), strict=True)
            found, lines, line = [], [], 1
            try:
                for row in reader:
                    if any(cell.strip() for cell in row):
                        found.append([cell.strip() for cell in row])
                        lines.append(line)
                    line = reader.line_num + 1
            except csv.Error as error:
                raise DataError(f"{file}, line {line}: cannot be read as a table ({error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}): save it as CSV in UTF-8") from error
    except OSError as error:
        raise DataError(f"table {file} cannot be read ({error.strerror})") from error
    if len(found) < 2:
        raise DataError(f"table {file} is empty: a first line that names the columns, as path,label, and a line for "
                        "each picture are expected")
    header = [" ".join(name.split()) for name in found[0]]
    for row, line in zip(found, lines, strict=True):
        if len(row) != len(header):
            raise DataError(f"{file}, line {line}: {count(len(row), 'cell')} where the first line names "
                            f"{count(len(header), 'column')}")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{file} has two columns called {twice!r}: rename one")
    return Rows(file, header, found[1:], lines[1:])


def _separator(line: str) -> str:
    return max("\t,;", key=line.count)


def no_empty(rows: Rows, name: str) -> None:
    """Raise a DataError with the line of the first empty cell of a column, where there is one."""
    for cell, line in zip(rows.column(name), rows.lines, strict=True):
        if not cell:
            raise DataError(f"{rows.file}, line {line}: column {name!r} is empty; fill it or remove the line")


def picture_column(rows: Rows) -> str:
    """The column that names the pictures; raises DataError where there is none."""
    picture = next((name for name in rows.header if name.lower() in _PICTURE), None)
    if picture is None:
        raise DataError(f"{rows.file} has no column for the pictures: accepted are {', '.join(_PICTURE)}; its columns "
                        f"are {', '.join(rows.header)}.{nearest('path', rows.header)}")
    return picture


def given_split(rows: Rows, split: str) -> list[str]:
    """The split of each row as its column says; raises DataError with the line of one that is unknown."""
    for cell, line in zip(rows.column(split), rows.lines, strict=True):
        if cell.lower() not in SPLITS:
            raise DataError(f"{rows.file}, line {line}: unknown split {cell!r}.{nearest(cell.lower(), SPLITS)} "
                            "Accepted: train, valid (or val, validation), test.")
    found = [SPLITS[cell.lower()] for cell in rows.column(split)]
    if "train" not in found:
        raise DataError(f"{rows.file} gives no picture the split 'train': there is nothing to learn from")
    return found
