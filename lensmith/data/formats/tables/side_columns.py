"""Boxes whose columns are a corner or the middle and the sides, as x, y, width, height, and masks as run lengths."""

import re
from collections.abc import Sequence
from dataclasses import replace

from lensmith.base.errors import DataError, Question, Reading
from lensmith.data.formats.tables.bbox_column import WORDS, BoxForm, corner_cells
from lensmith.data.formats.tables.box_columns import class_column, corner_columns
from lensmith.data.formats.tables.column_kinds import UNKNOWN
from lensmith.data.formats.tables.read_table import Rows
from lensmith.data.sources.picture_files import readable

# The names of four columns, and what the first two are; None where they may be either.
_SIDES: tuple[tuple[tuple[str, str, str, str], BoxForm | None], ...] = (
    (("x", "y", "width", "height"), None), (("x", "y", "w", "h"), None),
    (("bbox_x", "bbox_y", "bbox_width", "bbox_height"), None), (("left", "top", "width", "height"), "xywh"),
    (("xmin", "ymin", "width", "height"), "xywh"), (("x_min", "y_min", "width", "height"), "xywh"),
    (("x_center", "y_center", "width", "height"), "centre"), (("center_x", "center_y", "width", "height"), "centre"),
    (("xc", "yc", "w", "h"), "centre"), (("cx", "cy", "w", "h"), "centre"))
_RUNS = re.compile(r"\d+ \d+(?: \d+ \d+)*")    # starts and lengths, as in Kaggle's EncodedPixels
_RUN_NAMES = re.compile(r"encoded_?pixels|.*rle.*|.*run_?lengths?.*")


def with_sides(rows: Rows, form: BoxForm | None, *, ask: bool) -> tuple[Rows, str]:
    """The table with the corners x0, y0, x1, y1 in the place of columns of a corner or middle and sides, and how they
    were read in words; as it is, and "", where it has none, or corners already.

    `form` is the setting data.bbox. With `ask` a Question is raised where the names do not say what x and y are; else
    such columns are left. Raises DataError with the line of a cell that is no number.
    """
    found = next(((columns, said) for names, said in _SIDES
                  if len(columns := list(filter(None, map(rows.column_called, names)))) == 4), None)
    if found is None or corner_columns(rows) is not None or {"x0", "y0", "x1", "y1"} & set(rows.header):
        return rows, ""
    columns, said = found
    settled = form or said
    if settled is None:
        if ask:
            raise _which(rows, columns)
        return rows, ""
    boxes = [_box(cells, columns, rows, line) for *cells, line in
             zip(*map(rows.column, columns), rows.lines, strict=True)]
    kept = [i for i, name in enumerate(rows.header) if name not in columns]
    words = f"the boxes in {', '.join(map(repr, columns))} are {WORDS[settled]} " \
        f"({'data.bbox' if form else 'the columns are called so'})"
    return replace(rows, header=[*(rows.header[i] for i in kept), "x0", "y0", "x1", "y1"],
                   cells=[[*(row[i] for i in kept), *corner_cells(box, settled)]
                          for row, box in zip(rows.cells, boxes, strict=True)]), words


def _box(cells: Sequence[str], columns: Sequence[str], rows: Rows,
         line: int) -> tuple[float, float, float, float] | None:
    """The four numbers of a row; None where all are empty."""
    if all(cell.casefold() in UNKNOWN for cell in cells):
        return None
    try:
        first, second, third, fourth = map(float, cells)
    except ValueError as error:
        raise DataError(f"{rows.file}, line {line}: the columns {', '.join(columns)} of a box hold "
                        f"{', '.join(cells)[:60]!r}: four numbers are expected, or nothing for a picture without one") \
            from error
    return first, second, third, fourth


def _which(rows: Rows, columns: Sequence[str]) -> Question:
    source, label = readable(rows.file), class_column(rows, columns)
    answers = [Reading(f"takes them for boxes: {WORDS[form]}", (f"data.bbox={form}",))
               for form in ("xywh", "centre")]
    if label is not None:
        answers.append(Reading(f"learns {label!r} alone", (f"data.target={label}",)))
    return Question(source, f"{source} has the columns {', '.join(columns)}, as boxes have, and their names do not say "
                    f"whether {columns[0]} and {columns[1]} are a corner or the middle", answers)


def refuse_run_lengths(rows: Rows, free: Sequence[str]) -> None:
    """Raise a Question, or a DataError, where one of the columns `free` holds masks as run lengths."""
    for name in free:
        cells = [cell for cell in rows.column(name) if cell.casefold() not in (*UNKNOWN, "-1")]
        if not cells or not _RUN_NAMES.fullmatch(name.lower().replace(" ", "_")) or \
                2 * sum(_RUNS.fullmatch(cell) is not None for cell in cells) <= len(cells):
            continue
        why = f"column {name!r} of {readable(rows.file)} holds masks as run lengths, which are not read: write each " \
            "as a PNG in a folder masks/ to learn them"
        label = class_column(rows, [name])
        if label is None:
            raise DataError(why)
        raise Question(readable(rows.file), why, [Reading(f"learns {label!r} alone", (f"data.target={label}",))])
