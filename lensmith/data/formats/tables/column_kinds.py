"""What the cells of a table's columns hold: a label, tags or numbers, and by which rule."""

import math
import re
from collections.abc import Sequence
from typing import Literal

import torch

from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.data.formats.class_names import ordered
from lensmith.data.formats.tables.read_table import Rows
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.value import Value

Kind = Literal["auto", "label", "tags", "numbers", "boxes"]
# The names of columns that tell their kind.
LABEL = ("label", "class", "category")
TAGS = ("tags", "labels")
_MANY = 20    # a column of more different whole numbers is taken for a quantity, unless it is called label
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")


def decide_kind(rows: Rows, columns: Sequence[str]) -> tuple[Literal["label", "tags", "numbers"], str]:
    """The kind of target, and the rule by which it is; raises DataError where the columns are of several kinds.

    - Several columns are tags where every cell is 0 or 1, else numbers.
    - A column called tags or labels holds tags, several in a cell separated by ; or |, none where it is empty.
    - A column of which most cells are numbers, and any has a decimal point, holds numbers.
    - A column called label, class or category holds labels, which may be whole numbers.
    - A column of whole numbers with more than 20 different values holds numbers, and any other one labels.
    """
    if len(columns) > 1:
        cells = [cell for name in columns for cell in rows.column(name)]
        if all(cell in ("0", "1") for cell in cells):
            return "tags", f"{count(len(columns), 'column')} of 0 and 1"
        for name in columns:
            if not holds_numbers(rows, name):
                raise DataError(f"{rows.file} has several columns that could be learned ({', '.join(columns)}), and "
                                f"{name!r} does not hold numbers: say which one with data.target")
        return "numbers", f"{count(len(columns), 'column')} of numbers"
    cells, name = rows.column(columns[0]), columns[0].lower()
    if name in TAGS:
        return "tags", f"the column is called {columns[0]!r}"
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    most_are_numbers = len(numbers) * 2 > len(cells)
    if most_are_numbers and any(not _WHOLE.fullmatch(cell) for cell in numbers):
        return "numbers", "most cells are numbers, some with a decimal point"
    if name in LABEL:
        return "label", f"the column is called {columns[0]!r}"
    if most_are_numbers and len(set(numbers)) > _MANY:
        return "numbers", f"whole numbers of {len(set(numbers))} different values, more than {_MANY}"
    return "label", f"{len(set(cells))} different values"


def holds_numbers(rows: Rows, name: str) -> bool:
    """Whether at least half of a column's cells are numbers."""
    return sum(_NUMBER.fullmatch(cell) is not None for cell in rows.column(name)) * 2 >= len(rows.cells)


def value_of(rows: Rows, columns: Sequence[str], kind: Kind,
             classes: Sequence[str] | None) -> tuple[tuple[str, ...], Value]:
    """The names of the classes or quantities, and the stacked target; `classes` fixes the names of classes. Raises
    DataError with the line of a cell that cannot be used, UserError for settings that do not fit."""
    if classes is not None and (len(set(classes)) < len(classes) or len(classes) < 2):
        raise UserError(f"data.classes={classes} must hold at least two names, none of them twice")
    if classes is not None and (kind == "numbers" or (kind == "tags" and len(columns) > 1)):
        raise UserError(f"data.classes has no meaning here, where the columns {', '.join(columns)} name the {kind}: "
                        "leave it out")
    if kind == "numbers":
        return tuple(columns), Numbers(torch.tensor([_numbers(rows, name) for name in columns]).T.contiguous())
    if kind == "tags":
        return _tags(rows, columns, classes)
    if len(columns) > 1:
        raise UserError(f"a label is one column, and data.target has {len(columns)} ({', '.join(columns)}): name one")
    cells = rows.column(columns[0])
    names = tuple(classes) if classes is not None else ordered(set(cells))
    index = {name: i for i, name in enumerate(names)}
    for cell, line in zip(cells, rows.lines, strict=True):
        if cell not in index:
            raise _not_in_classes(rows, line, "label", cell, names)
    return names, Label(torch.tensor([index[cell] for cell in cells], dtype=torch.int64))


def _not_in_classes(rows: Rows, line: int, what: str, cell: str, names: Sequence[str]) -> DataError:
    accepted = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
    return DataError(f"{rows.file}, line {line}: {what} {cell!r} is not in data.classes.{nearest(cell, names)} "
                     f"Accepted: {accepted}.")


def _numbers(rows: Rows, name: str) -> list[float]:
    """The numbers of a column; raises DataError for a cell that float32 cannot hold."""
    numbers = []
    for cell, line in zip(rows.column(name), rows.lines, strict=True):
        value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
        if not abs(value) <= torch.finfo(torch.float32).max:
            raise DataError(f"{rows.file}, line {line}: column {name!r} holds {cell!r}, which is not a finite number "
                            "(such as 12 or 0.5)")
        numbers.append(value)
    return numbers


def _tags(rows: Rows, columns: Sequence[str], classes: Sequence[str] | None) -> tuple[tuple[str, ...], Tags]:
    """The names of the tags, and which of them each row has: by a column for each, or by one that lists them."""
    if len(columns) > 1:
        for name in columns:
            for cell, line in zip(rows.column(name), rows.lines, strict=True):
                if cell not in ("0", "1"):
                    raise DataError(f"{rows.file}, line {line}: column {name!r} holds {cell!r}; a column for a tag "
                                    "holds 0 or 1")
        return tuple(columns), Tags(torch.tensor([[float(cell) for cell in rows.column(name)] for name in columns]).T
                                    .contiguous())
    cells = [[tag.strip() for tag in re.split(r"[;|]", cell) if tag.strip()] for cell in rows.column(columns[0])]
    names = tuple(classes) if classes is not None else ordered({tag for tags in cells for tag in tags})
    if not names:
        raise DataError(f"{rows.file}: column {columns[0]!r} has no tag in any line")
    index = {name: i for i, name in enumerate(names)}
    present = torch.zeros(len(cells), len(names))
    for row, (tags, line) in enumerate(zip(cells, rows.lines, strict=True)):
        for tag in tags:
            if tag not in index:
                raise _not_in_classes(rows, line, "tag", tag, names)
            present[row, index[tag]] = 1
    return names, Tags(present)
