"""Where the pictures of a table lie, when they are not where its cells say."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from lensmith.base.errors import DataError, Question, Reading, count
from lensmith.base.left_behind import holds_results, is_left_behind
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.tables.read_table import Rows, picture_column, plain_name
from lensmith.data.sources.picture_files import readable

_MAY_NAME = re.compile(r"((image|img|picture|photo|file)_?)?(id|name|code)(_code)?")    # columns, as Kaggle's id_code
_PIXELS = re.compile(r"pixels?_?\d*|\d+x\d+")    # as in FER-2013 and the MNISTs of Kaggle
_TRIED = 20       # pictures: where none of so many is there, they lie elsewhere
_DEEPEST = 3      # folders below that of the table
_MOST = 20_000    # files that are looked at


def refuse_unnamed_pictures(rows: Rows) -> None:
    """Raise a DataError where no column names the pictures, with the setting that finds them where an identifier
    does."""
    try:
        picture_column(rows)
    except DataError:
        for column in rows.header:
            if _MAY_NAME.fullmatch(plain_name(column)):
                _refuse_elsewhere(rows, column, None)
        pixels = [name for name in rows.header if _PIXELS.fullmatch(plain_name(name))]
        if pixels:
            raise DataError(f"{rows.file} holds the values of pixels ({count(len(pixels), 'column')}, as "
                            f"{pixels[0]!r}), which tables do not read: write each picture to a file that a column "
                            "names, or pass arrays to lensmith.train from Python") from None
        raise


def refuse_pictures_elsewhere(rows: Rows, pictures: str | None) -> None:
    """Raise a DataError with the setting that finds them, where none of the first pictures is there and files of their
    names lie in a folder below that of the table. `pictures` is the setting data.pictures."""
    _refuse_elsewhere(rows, picture_column(rows), pictures)


def _refuse_elsewhere(rows: Rows, column: str, pictures: str | None) -> None:
    root = rows.file.parent
    cells = list(dict.fromkeys(filter(None, rows.column(column))))[:_TRIED]
    if any((root / cell).is_file() for cell in cells):
        return
    found = _found_below(root, cells)
    if not found:
        return
    first = min(found, key=lambda each: cells.index(each.cell))
    folders, cell = sorted({each.folder for each in found}), first.cell
    file = (Path(first.folder) / first.name).as_posix()
    because = f"{rows.file}: none of the first pictures that column {column!r} names is there ({readable(cell)}), " \
        f"and {readable(file)} is"
    if first.spelled_otherwise:
        raise DataError(f"{because}: the names differ ({first.spelled_otherwise}): give files and cells one name")
    if pictures is None and "/" not in cell:
        before = "*/" if len(folders) > 1 else "" if folders[0] in ("", ".") else folders[0].replace(os.sep, "/") + "/"
        where = f"in {readable(folders[0])}" if len(folders) == 1 else f"in {len(folders)} folders below"
        raise Question(os.fspath(rows.file), because, [Reading(f"takes those {where}", (
            "data.name=table", f"data.pictures={before}{{{column}}}{first.suffix}"))])
    raise DataError(f"{because}: paths are taken from the folder of the table: mend them, or write a pattern over "
                    "columns, as data.pictures=\"images/{name}.jpg\"")


@dataclass(frozen=True)
class _Found:
    """A file that a cell may mean."""

    cell: str
    folder: str               # from that of the table
    name: str
    suffix: str               # that the cell lacks
    spelled_otherwise: str    # how the name of the file differs from the cell's; "" where it is the same


def _found_below(root: Path, cells: Sequence[str]) -> list[_Found]:
    """The files below a folder that have the names in cells, with or without their suffix; where there are none, those
    that differ in case alone or by blanks and the like coded as in addresses."""
    same, alike = list[_Found](), list[_Found]()
    wanted = {os.path.basename(cell): cell for cell in reversed(cells)}
    by_lower = {unquote(name).lower(): cell for name, cell in wanted.items()}
    for folder, names in _folders(root):
        present = set(names)
        for name, cell in wanted.items():
            suffix = "" if name in present else \
                next((suffix for suffix in SUFFIXES if name + suffix in present), None)
            if suffix is not None:
                same.append(_Found(cell, folder, name + suffix, suffix, ""))
        for name in names if not same else ():
            if name.lower() in by_lower:
                cell = by_lower[name.lower()]
                how = "in capital and small letters" if os.path.basename(cell).lower() == name.lower() else \
                    "%20 and the like are those of an address"
                alike.append(_Found(cell, folder, name, "", how))
    return same or alike


def _folders(root: Path) -> list[tuple[str, list[str]]]:
    """The folders at and below `root`, by their path from it, with the files in each, without what programs leave
    behind and results of our own."""
    found, files = [], 0
    for folder, inner, names in os.walk(root):
        below = os.path.relpath(folder, root)
        deep = 0 if below == "." else below.count(os.sep) + 1
        inner[:] = [] if deep >= _DEEPEST else sorted(
            name for name in inner if not is_left_behind(name) and not holds_results(os.path.join(folder, name)))
        names = [name for name in names if not is_left_behind(name)]
        found.append((below, names))
        files += len(names)
        if files > _MOST:
            break
    return found
