"""A table as it is read: its header, its cells, and the line of each row."""

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lensmith.base.csv_cells import unguarded
from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.base.picture_suffixes import SUFFIXES

JSON_LINES = (".jsonl", ".ndjson")
_FIELD = re.compile(r"\{([^{}]*)\}")    # of a pattern: the name of a column between braces
_PICTURE = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_file",
            "image_name", "img", "img_path", "picture")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*')    # the first line that Excel reads and does not show


@dataclass(frozen=True)
class Rows:
    """A table in which every row has a cell for every column."""

    file: Path
    header: list[str]
    cells: list[list[str]]    # one list a row, without white space around
    lines: list[int]          # the line of the file on which each row begins
    separator: str = ","
    splits: list[str] | None = None    # train, valid or test of each row, where the table divides its pictures

    def column(self, name: str) -> list[str]:
        at = self.header.index(name)
        return [row[at] for row in self.cells]

    def column_called(self, *roles: str) -> str | None:
        """The first column that is called one of `roles` in the form of `plain_name`; None where there is none."""
        return next((name for name in self.header if plain_name(name) in roles), None)

    def take(self, numbers: Sequence[int]) -> "Rows":
        """The rows of these numbers, counted from 0."""
        return replace(self, cells=[self.cells[i] for i in numbers], lines=[self.lines[i] for i in numbers],
                       splits=None if self.splits is None else [self.splits[i] for i in numbers])

    def with_column(self, name: str, cells: Sequence[str]) -> "Rows":
        """The table with other cells in a column."""
        at = self.header.index(name)
        return replace(self, cells=[[*row[:at], cell, *row[at + 1 :]]
                                    for row, cell in zip(self.cells, cells, strict=True)])


def plain_name(name: str) -> str:
    """A column's name in lower case, its words joined by _: `File Name` and `file-name` are file_name."""
    return re.sub(r"[\s\-_.:]+", "_", name.lower()).strip("_")


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
    cells, lines, separator = _read_cells(file, separator)
    if len(cells) < 2:
        raise DataError(f"table {file} is empty: a first line that names the columns, as path,label, and a line for "
                        "each picture are expected")
    header = [" ".join(name.split()) for name in cells[0]]
    for row, line in zip(cells, lines, strict=True):
        if len(row) != len(header):
            raise DataError(f"{file}, line {line}: {count(len(row), 'cell')} where the first line names "
                            f"{count(len(header), 'column')}")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{file} has two columns called {twice!r}: rename one")
    return Rows(file, header, cells[1:], lines[1:], separator)


def _read_cells(file: Path, separator: str | None) -> tuple[list[list[str]], list[int], str]:
    """The cells of each row that has any, the header first; the line on which each row begins; what separates cells."""
    rows, lines, line = [], [], 1
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            text = opened.read()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}): save it as CSV in UTF-8") from error
    except OSError as error:
        raise DataError(f"table {file} cannot be read ({error.strerror})") from error
    if file.suffix.lower() in JSON_LINES:
        return _cells_of_json(file, text)
    opened_text = io.StringIO(text, newline="")
    first = opened_text.readline()
    if (named := _SEPARATOR_LINE.fullmatch(first)) is not None:
        separator, line = separator or named[1], 2
    else:
        opened_text.seek(0)
    before, separator = line - 1, separator or max("\t,;", key=first.count)
    reader = csv.reader(opened_text, delimiter=separator, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([unguarded(cell.strip()) for cell in row])
                lines.append(line)
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{file}, line {line}: cannot be read as a table ({error})") from error
    return rows, lines, separator


def _cells_of_json(file: Path, text: str) -> tuple[list[list[str]], list[int], str]:
    """As `_read_cells`, of a file with an object in each line, whose keys are the columns."""
    objects, lines = list[dict[str, object]](), [0]
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}, line {number} is not JSON") from error
        if not isinstance(content, dict):
            raise DataError(f"{file}, line {number}: an object is expected, as {{\"file_name\": \"a.png\"}}")
        objects.append(content)
        lines.append(number)
    header = list(dict.fromkeys(key for content in objects for key in content))
    cells = [["" if (value := content.get(key)) is None else value if isinstance(value, str) else json.dumps(value)
              for key in header] for content in objects]
    return [header, *([unguarded(cell.strip()) for cell in row] for row in cells)], lines, ","


def refuse_empty_cells(rows: Rows, name: str, *, hint: str = "") -> None:
    """Raise a DataError with the line of the first empty cell of a column, where there is one."""
    for cell, line in zip(rows.column(name), rows.lines, strict=True):
        if not cell:
            raise DataError(f"{rows.file}, line {line}: column {name!r} is empty; fill it or remove the line{hint}")


def picture_column(rows: Rows) -> str:
    """The column that names the pictures: by its name, else the only one that holds names of picture files. Raises
    DataError where there is none."""
    picture = rows.column_called(*_PICTURE)
    if picture is not None:
        return picture
    example = next((name for name in rows.header if name.lower().endswith(SUFFIXES)), None)
    if example is not None:
        raise DataError(f"{rows.file} begins with the line of a picture ({example}): a first line that names the "
                        "columns, as path,label, is expected")
    with_files = [name for name in rows.header if "mask" not in plain_name(name) and names_pictures(rows, name)]
    if len(with_files) == 1:
        return with_files[0]
    raise DataError(f"{rows.file} has no column for the pictures: accepted are {', '.join(_PICTURE)}, or what "
                    "data.pictures names, a column or a pattern as images/{name}.jpg; its columns are "
                    f"{', '.join(rows.header)}.{nearest('path', rows.header)}")


def names_pictures(rows: Rows, name: str) -> bool:
    """Whether every cell of a column that is not empty ends as the name of a picture."""
    cells = [cell for cell in rows.column(name) if cell]
    return bool(cells) and all(cell.lower().endswith(SUFFIXES) for cell in cells)


def with_picture_column(rows: Rows, pictures: str | None) -> tuple[Rows, set[str]]:
    """The table with its pictures in the column `path`, as the setting data.`pictures` says, and the columns that name
    them. Without the setting, the table as it is and the column of its pictures. Raises DataError."""
    if pictures is None:
        name = picture_column(rows)
        return rows.with_column(name, _paths(rows, rows.column(name))), {name}
    paths, used = fill_pattern(rows, pictures, "data.pictures")
    for name in used:
        refuse_empty_cells(rows, name)
    if "*" in os.path.dirname(pictures):
        paths = _in_folders(rows, paths, pictures)
    kept = [i for i, name in enumerate(rows.header) if name != "path"]
    header = ["path", *(rows.header[i] for i in kept)]
    cells = [[path, *(row[i] for i in kept)] for path, row in zip(_paths(rows, paths), rows.cells, strict=True)]
    return replace(rows, header=header, cells=cells), {"path", *used}


def _in_folders(rows: Rows, paths: Sequence[str], pattern: str) -> list[str]:
    """The paths with the folder that holds each in the place of one with a `*`. Raises DataError where none is of that
    name, or two hold a picture; a picture that is in none keeps its path."""
    root, folder = rows.file.parent, os.path.dirname(pattern)
    folders = sorted(each for each in root.glob(folder) if each.is_dir())
    if not folders:
        raise DataError(f"{rows.file}: no folder is called as {folder!r} in data.pictures={pattern!r}")
    holding: dict[str, str] = {}
    for each in folders:
        for name in os.listdir(each):
            if name in holding and name.lower().endswith(SUFFIXES):
                raise DataError(f"{rows.file}: data.pictures={pattern!r} finds {name} in {holding[name]} and in "
                                f"{each.name}: name the folder by a column")
            holding[name] = os.path.relpath(each, root)
    return [os.path.join(holding[name], name) if (name := os.path.basename(path)) in holding else path
            for path in paths]


def _paths(rows: Rows, cells: Sequence[str]) -> list[str]:
    r"""The paths in cells, each written in one way: `./a.png` as a.png, and a\b.png of Windows as a/b.png, unless a
    file of that name is there."""
    def one_way(cell: str) -> str:
        if "\\" in cell and os.sep == "/" and not (rows.file.parent / cell).is_file():
            cell = cell.replace("\\", "/")
        return os.path.normpath(cell) if cell else cell

    return [one_way(cell) for cell in cells]


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
