"""Where the pictures of a table lie, when they are not where its cells say."""

import os
import re
from pathlib import Path

from lensmith.base.errors import DataError
from lensmith.base.left_behind import holds_results, is_left_behind
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.tables.read_table import Rows, picture_column, plain_name
from lensmith.data.sources.picture_files import readable

_MAY_NAME = re.compile(r"((image|img|picture|photo|file)_?)?(id|name|code)(_code)?")    # columns, as Kaggle's id_code
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
    wanted = {os.path.basename(cell): cell for cell in reversed(cells)}
    for folder, names in _folders(root):
        present = set(names)
        for name, cell in wanted.items():
            suffix = "" if name in present else \
                next((suffix for suffix in SUFFIXES if name + suffix in present), None)
            if suffix is None:
                continue
            found = (Path(folder) / (name + suffix)).as_posix()
            before = "" if folder in ("", ".") else folder.replace(os.sep, "/") + "/"
            if pictures is None and "/" not in cell:
                way = f"say data.pictures=\"{before}{{{column}}}{suffix}\""
            else:
                way = "paths are taken from the folder of the table: mend them, or write a pattern over columns, as " \
                    "data.pictures=\"images/{name}.jpg\""
            raise DataError(f"{rows.file}: none of the first pictures that column {column!r} names is there "
                            f"({readable(cell)}), and {readable(found)} is: {way}")


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
