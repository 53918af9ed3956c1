"""Boxes as a table has them: one line an object, `path,x0,y0,x1,y1,label[,crowd][,split][,group]`."""

import csv
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.csv_cells import guarded
from lensmith.base.errors import DataError, count
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, sources_of_boxes
from lensmith.data.formats.boxes.picture_to_write import PictureToWrite, shortest
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.format import LAYOUT, Evidence, Writer
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.tables.column_kinds import CellSettings, is_label_name, with_unknown_cells
from lensmith.data.formats.tables.divisions import FALSE, TRUE
from lensmith.data.formats.tables.number_cells import number_style
from lensmith.data.formats.tables.open_images import names_of_codes
from lensmith.data.formats.tables.read_table import Rows, picture_column, plain_name, read_rows, refuse_empty_cells
from lensmith.data.formats.tables.tables_of_splits import tables_of_splits
from lensmith.data.sources.sample import Splits

CORNERS = (("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"),
           ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"))
TABLES = (".csv", ".tsv")
_CLASS = ("label", "class", "category", "class_name", "name")
_CROWD = ("crowd", "iscrowd", "difficult", "isgroupof")
_UNKNOWN_CROWD = "-1"    # Open Images' word for what nobody has looked at


def has_boxes(rows: Rows) -> bool:
    """Whether a table has columns for the corners and the class of boxes."""
    return corner_columns(rows) is not None and class_column(rows) is not None


def class_column(rows: Rows, used: Collection[str] = ()) -> str | None:
    """The column of the class of boxes by its name, none of the columns `used` for the pictures."""
    named = [name for name in rows.header if name not in used]
    return next((name for role in _CLASS for name in named if plain_name(name) == role), None) or \
        next(filter(is_label_name, named), None)


def crowd_column(rows: Rows) -> str | None:
    """The column that says which boxes are crowds; None where there is none."""
    return rows.column_called(*_CROWD)


def boxes_of_table(rows: Rows, classes: list[str] | None, *, label: str | None, decimal: str | None = None) -> Splits:
    """The pictures of a table, in the order in which it first names them, with their boxes.

    Corners are in pixels, or where none is beyond 1 in fractions of the picture. A line without corners and class names
    a picture without objects. `label` is the column of the class; without one every object is of the class `object`.
    `classes` are the only classes, in order. Raises DataError with the line that cannot be used.
    """
    columns = corner_columns(rows)
    if columns is None:
        raise DataError(f"{rows.file} has no columns for boxes: accepted are "
                        f"{', or '.join(', '.join(names) for names in CORNERS)}; its columns are "
                        f"{', '.join(rows.header)}")
    picture, group, crowd = picture_column(rows), rows.column_called("group"), crowd_column(rows)
    for name in filter(None, (picture, group)):
        refuse_empty_cells(rows, name)
    filled = [*columns, *filter(None, (label, crowd))]    # where nan is an empty cell
    rows = with_unknown_cells(rows, filled, CellSettings(decimal=decimal), classes)
    splits = rows.splits if rows.splits is not None else ["all"] * len(rows.cells)
    accepted = fixed_classes(classes)
    annotated: dict[str, AnnotatedSplit] = {}
    row_of: dict[str, tuple[str, int]] = {}    # path -> its split and its row there
    every = list[float]()
    labels = rows.column(label) if label else ["object"] * len(splits)
    names_by_code, named_by = names_of_codes(labels, rows.file.parent)
    cells = zip(rows.column(picture), splits, zip(*(corners_in(rows, name, decimal) for name in columns), strict=True),
                [names_by_code.get(cell, cell) for cell in labels],
                rows.column(crowd) if crowd else [""] * len(splits), rows.lines, strict=True)
    for path, row_split, corners, name, crowd_cell, line in cells:
        where = f"{rows.file}, line {line}"
        target = annotated.setdefault(row_split, AnnotatedSplit(accepted=accepted))
        if path not in row_of:
            row_of[path] = row_split, len(target.paths)
            target.add_picture(rows.file.parent / path)
        if row_of[path][0] != row_split:
            raise DataError(f"{where}: {path} is in split {row_split!r} here and in {row_of[path][0]!r} above: all "
                            "lines of a picture belong to one")
        if not any(corners) and (not name or label is None):
            continue
        box = [_number(cell, column, where) for cell, column in zip(corners, columns, strict=True)]
        every += box
        target.add(box, name, where=where, crowd=_is_crowd(crowd_cell, where), picture=row_of[path][1])
    relative = are_fractions(every, f"{rows.file}: no corner")
    for target in annotated.values():
        target.relative = relative
    account: dict[str, Any] = {"table": str(rows.file), "kind": "boxes", **_notes(relative, named_by),
                               "kind_because": f"it has the columns {', '.join(columns)}"}
    parts = sources_of_boxes(annotated, names=accepted, folder=rows.file.parent, account=account)
    return parts if group is None else _with_groups(rows, picture, group, parts)


def _notes(relative: bool, named_by: str) -> dict[str, list[str]]:
    """What has to be said of the corners and of the names of the classes, as data.json keeps it."""
    notes = [*["no corner is beyond 1: they are fractions of the picture"] * relative,
             *[f"the classes are called as in {named_by}"] * bool(named_by)]
    return {"notes": notes} if notes else {}


def are_fractions(corners: Sequence[float], what: str) -> bool:
    """Whether corners of boxes are fractions of their pictures: none is beyond 1, and some lie between 0 and 1, where
    no pixel ends. Raises DataError, which begins with `what`, where all are 0 and 1 alone."""
    if not corners or not 0 < max(corners) <= 1:
        return False
    if all(corner == int(corner) for corner in corners):
        raise DataError(f"{what} is beyond 1 and all are whole: neither pixels nor fractions of a picture can be meant")
    return True


def corners_in(rows: Rows, column: str, decimal: str | None) -> list[str]:
    """The cells of a column of corners, numbers as Python writes them, anything else as it is."""
    cells = rows.column(column)
    style = number_style([cell for cell in cells if cell], separator=rows.separator, decimal=decimal)
    return [style.number(cell) or cell for cell in cells]


def recognise_table(listing: Listing) -> Evidence:
    """A single table in the folder, with columns for boxes, or one beside the pictures of each split. A table of
    anything else has to be named itself."""
    by_split = tables_of_splits(listing)
    if by_split:
        return Evidence(LAYOUT, sentence=" and ".join(f"{file.parent.name}/{file.name}" for file in by_split.values()))
    file = table_of_boxes(listing)
    return Evidence() if file is None else Evidence(LAYOUT, sentence=f"{file.name} has columns for boxes")


def table_of_boxes(folder: Listing) -> Path | None:
    """The only table in a folder, where it is one of boxes; else None."""
    names = folder.ending(TABLES)
    if len(names) != 1:
        return None
    file = folder.path / names[0]
    try:
        return file if has_boxes(read_rows(file, None)) else None
    except DataError:    # a table of something else, whose errors are not for us to report
        return None


def corner_columns(rows: Rows) -> list[str] | None:
    """The columns of the four corners of boxes, x0 y0 x1 y1; None where a table has none."""
    for names in CORNERS:
        columns = [column for column in map(rows.column_called, names) if column is not None]
        if len(columns) == 4:
            return columns
    return None


def _number(cell: str, column: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise DataError(f"{where}: column {column!r} holds {cell[:40]!r}, which is no number; leave all four corners "
                        "and the class empty for a picture without objects") from error


def _is_crowd(cell: str, where: str) -> bool:
    if cell.lower() in ("", _UNKNOWN_CROWD, *FALSE):
        return False
    if cell.lower() in TRUE:
        return True
    raise DataError(f"{where}: {cell[:40]!r} says neither that the box is a crowd (1) nor that it is none (0)")


def _with_groups(rows: Rows, picture: str, group: str, parts: Splits) -> Splits:
    """The opened splits with the group of each picture; raises DataError where a picture is in two."""
    groups: dict[Path, str] = {}
    for path, name, line in zip(rows.column(picture), rows.column(group), rows.lines, strict=True):
        if groups.setdefault(rows.file.parent / path, name) != name:
            raise DataError(f"{rows.file}, line {line}: {path} is in group {name!r} here and in another above")
    for source in parts.splits.values():
        source.groups = np.array([groups[path] for path in source.paths], dtype=str)
    return replace(parts, account={**parts.account, "groups": count(len(set(groups.values())), "group")})


def write_csv(splits: Mapping[str, Sequence[PictureToWrite]], names: Sequence[str],
              folder: Path) -> Iterator[tuple[Path, str]]:
    """boxes.csv, with a column `split` where there are splits, as its path and text."""
    divided = set(splits) != {"all"}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "x0", "y0", "x1", "y1", "label", "crowd", *(["split"] if divided else [])])
    for split, pictures in splits.items():
        for picture in pictures:
            path = Path(os.path.relpath(picture.path, folder)).as_posix()
            objects = [[*map(shortest, corners), names[number], int(crowd)]
                       for corners, number, crowd, _ in picture.objects()]
            for cells in objects or [[""] * 6]:
                table.writerow(map(guarded, [path, *cells, *([split] if divided else [])]))
    yield folder / "boxes.csv", text.getvalue()


CSV = Writer(write_csv, lambda split: "images" if split == "all" else f"images/{split}", name="csv")
