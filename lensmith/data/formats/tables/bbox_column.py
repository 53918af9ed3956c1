"""Tables whose boxes stand in one column, as "[834.0, 222.0, 56.0, 36.0]": a corner and a size, or two corners."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from lensmith.base.errors import DataError, Question, Reading
from lensmith.data.formats.tables.column_kinds import UNKNOWN
from lensmith.data.formats.tables.read_table import Rows, plain_name
from lensmith.data.sources.picture_files import readable

BoxForm = Literal["xywh", "corners", "centre"]
_NAMES = ("bbox", "box", "bounding_box", "boundingbox", "bounding_boxes", "boxes", "bboxes")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_BOX = re.compile(rf"[\[(]?\s*({_NUMBER})(?:\s*[,;]\s*|\s+)({_NUMBER})(?:\s*[,;]\s*|\s+)({_NUMBER})(?:\s*[,;]\s*|\s+)"
                  rf"({_NUMBER})\s*[\])]?")
_NONE = (*UNKNOWN, "[]", "()", "none")    # of a picture without a box
_SIZES = (("width", "height"), ("image_width", "image_height"), ("img_width", "img_height"))
_SLACK = 1.0    # pixels by which a box may leave its picture and still be of it
WORDS = {"xywh": "x, y, width, height", "corners": "x0, y0, x1, y1",
         "centre": "x and y of the middle, width, height"}


def with_corners(rows: Rows, form: BoxForm | None) -> tuple[Rows, str]:
    """The table with the corners x0, y0, x1, y1 in the place of its column of boxes, and how they were read in words;
    as it is, and "", where it has no such column.

    `form` is the setting data.bbox. Without it boxes are of the form that all of them can have: two corners are in
    order, and a corner and a size stay in the picture, where the table says its size. Raises Question where they can
    have both, DataError with the line of a cell that is no box.
    """
    column = next((name for name in rows.header if plain_name(name) in _NAMES and _holds_boxes(rows.column(name))),
                  None)
    if column is None or {"x0", "y0", "x1", "y1"} & set(rows.header):
        return rows, ""
    boxes = [_box(cell, rows, column, line) for cell, line in zip(rows.column(column), rows.lines, strict=True)]
    known = np.array([box for box in boxes if box is not None], dtype=np.float64)
    because = "data.bbox"
    if form is None:
        form, because = _form_of(rows, column, known, _sizes(rows, [box is not None for box in boxes]))
    cells = [corner_cells(box, form) for box in boxes]
    at = rows.header.index(column)
    words = f"the boxes in {column!r} are {WORDS[form]} ({because})"
    return replace(rows, header=[*rows.header[:at], "x0", "y0", "x1", "y1", *rows.header[at + 1 :]],
                   cells=[[*row[:at], *corners, *row[at + 1 :]]
                          for row, corners in zip(rows.cells, cells, strict=True)]), words


def corner_cells(box: tuple[float, float, float, float] | None, form: BoxForm) -> list[str]:
    """The cells of the corners x0, y0, x1, y1 of a box, which are empty where there is none."""
    if box is None:
        return ["", "", "", ""]
    x, y, third, fourth = box
    corners = {"corners": box, "xywh": (x, y, x + third, y + fourth),
               "centre": (x - third / 2, y - fourth / 2, x + third / 2, y + fourth / 2)}
    return list(map(_text, corners[form]))


def _holds_boxes(cells: Sequence[str]) -> bool:
    """Whether most of the cells that are filled are four numbers."""
    filled = [cell for cell in cells if cell.casefold() not in _NONE]
    return bool(filled) and 2 * sum(_BOX.fullmatch(cell) is not None for cell in filled) > len(filled)


def _box(cell: str, rows: Rows, column: str, line: int) -> tuple[float, float, float, float] | None:
    if cell.casefold() in _NONE:
        return None
    match = _BOX.fullmatch(cell)
    if match is None:
        raise DataError(f"{rows.file}, line {line}: column {column!r} holds {cell[:40]!r}, which is no box: four "
                        "numbers are expected, as [834.0, 222.0, 56.0, 36.0], or nothing for a picture without one")
    first, second, third, fourth = map(float, match.groups())
    return first, second, third, fourth


def _sizes(rows: Rows, filled: Sequence[bool]) -> np.ndarray | None:
    """float64 [boxes, 2]: the width and height of the picture of each box, where columns say them."""
    for names in _SIZES:
        columns = [column for column in map(rows.column_called, names) if column is not None]
        if len(columns) < 2:
            continue
        try:
            return np.array([[float(cell) for cell in cells] for cells, has in
                             zip(zip(*map(rows.column, columns), strict=True), filled, strict=True) if has])
        except ValueError:
            return None
    return None


def _form_of(rows: Rows, column: str, boxes: np.ndarray, sizes: np.ndarray | None) -> tuple[BoxForm, str]:
    """The form of float64 [boxes, 4], and what says so; raises Question where nothing does."""
    backwards = (boxes[:, 2:] < boxes[:, :2]).any(1)
    if backwards.any():
        return "xywh", f"of {int(backwards.sum()):,} the third number is below the first or the fourth below the second"
    if sizes is not None:
        beyond = (boxes[:, :2] + boxes[:, 2:] > sizes + _SLACK).any(1)
        if beyond.any():
            return "corners", f"{int(beyond.sum()):,} would leave their pictures as {WORDS['xywh']}"
    source = readable(rows.file)
    raise Question(source, f"the boxes in column {column!r} of {source} can be {WORDS['xywh']} as well as "
                   f"{WORDS['corners']}", [Reading(f"takes them for {WORDS[form]}", (f"data.bbox={form}",))
                                            for form in ("xywh", "corners")])


def _text(number: float) -> str:
    return f"{number:.10g}"
