"""A table in the folder of each split, which names the pictures beside it, as Roboflow and Hugging Face write them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lensmith.base.errors import DataError
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.tables.read_table import Rows, picture_column, read_rows
from lensmith.data.sources.picture_files import readable

_SUFFIXES = (".csv", ".tsv", ".jsonl")
_LOOKED_AT = 20    # pictures of a table


def tables_of_splits(folder: Listing) -> dict[str, Path]:
    """The table in the folder of each split that names pictures there; none unless train has one."""
    if folder.is_file:
        return {}
    found = {split: file for split, inner in folder.splits.items() if (file := _table_in(inner)) is not None}
    return found if "train" in found else {}


def _table_in(folder: Listing) -> Path | None:
    """The only table in a folder that names pictures in it."""
    naming = []
    for name in folder.ending(_SUFFIXES):
        try:
            rows = read_rows(folder.path / name, None)
            cells = [cell for cell in rows.column(picture_column(rows)) if cell][:_LOOKED_AT]
        except DataError:    # a table of something else
            continue
        if any((folder.path / cell).is_file() for cell in cells):
            naming.append(folder.path / name)
    return naming[0] if len(naming) == 1 else None


def joined_rows(tables: Mapping[str, Path], folder: Path, separator: str | None) -> Rows:
    """The rows of the tables of splits as one table of `folder`, with the split of each row. Raises DataError where
    their columns differ."""
    joined: Rows | None = None
    for split, file in sorted(tables.items(), key=lambda item: ("train", "valid", "test").index(item[0])):
        rows = read_rows(file, separator)
        column = picture_column(rows)
        below = file.parent.relative_to(folder).as_posix()
        rows = rows.with_column(column, [f"{below}/{cell}" if cell else cell for cell in rows.column(column)])
        splits = [split] * len(rows.cells)
        if joined is None:
            joined = replace(rows, file=folder / file.name, splits=splits)
            first = file
        elif rows.header != joined.header:
            raise DataError(f"{readable(first)} and {readable(file)} have other columns ({', '.join(joined.header)}, "
                            f"and {', '.join(rows.header)}): make them agree, or give one of the two files")
        else:
            joined = replace(joined, cells=[*joined.cells, *rows.cells], lines=[*joined.lines, *rows.lines],
                             splits=[*(joined.splits or ()), *splits])
    assert joined is not None
    return joined
