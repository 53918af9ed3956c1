"""Tables, CSV or TSV: one line a picture, `path,label[,split][,group]`, or tags, numbers or boxes for the label."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.base.values import Label, Numbers, Tags, Value
from lensmith.data.boxes_table import boxes_of, has_boxes, table_in
from lensmith.data.files import Files
from lensmith.data.objects import ordered
from lensmith.data.rows import Rows, given_split, no_empty, picture_column, read_rows
from lensmith.data.sample import Parts

Kind = Literal["auto", "label", "tags", "numbers", "boxes"]
_LABEL = ("label", "class", "category")
_TAGS = ("tags", "labels")
_MANY = 20    # distinct whole numbers in a column that is not called label; more are taken for a quantity
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")


def table(path: str, *, target: str | list[str] | None = None, kind: Kind = "auto", separator: str | None = None,
          classes: list[str] | None = None) -> Parts:
    """The pictures that a table names, relative to its folder, with what it says of them.

    `path` is the table, or a folder with one table of boxes in it. The picture's column is called path, file, filename,
    image or picture; split (train, valid, test) and group may follow; the rest, or `target`, is what is to be learned.
    `kind` auto decides so, and the account says by which rule:

    - columns label and x0, y0, x1, y1 (or xmin ..., left ...): boxes, one line each (`boxes_table.py`);
    - several columns: tags where every cell is 0 or 1, else numbers;
    - a column called tags or labels: tags, several in a cell separated by ; or |, none where it is empty;
    - most cells numbers, and any with a decimal point: numbers;
    - a column called label, class or category: a label, whole numbers too;
    - whole numbers of more than 20 different values: numbers; anything else: a label.

    `separator` is found in the first line where it is not given; `classes` fixes the names and their order. A missing
    picture is not looked for here; reading the headers finds it. Raises DataError with the line for a cell that cannot
    be used, UserError for settings that do not fit.
    """
    file = Path(path).expanduser()
    rows = read_rows(table_in(file) or file if file.is_dir() else file, separator)
    if kind == "boxes" or (kind == "auto" and target is None and has_boxes(rows)):
        return boxes_of(rows, classes)
    picture, split, group = picture_column(rows), rows.called("split"), rows.called("group")
    columns = _targets(rows, target, {picture, split, group})
    if kind == "auto":
        kind, rule = _decide(rows, columns)
    else:
        rule = f"data.kind={kind}"
    for name in (picture, split, group, *columns):
        if name is not None and not (kind == "tags" and name in columns and len(columns) == 1):
            no_empty(rows, name)
    names, value = _value(rows, columns, kind, classes)
    paths = rows.column(picture)
    root = rows.file.parent
    whole = Files([root / one for one in paths], {kind: value}, {kind: names}, root=root,
                  groups=None if group is None else np.array(rows.column(group), dtype=str))
    parts = {"all": whole} if split is None else _divided(rows, split, whole)
    if kind == "label":
        _check_labels(rows, parts, names, fixed=classes is not None)
    account: dict[str, Any] = {
        "table": str(rows.file), "target": columns, "kind": kind, "kind_because": rule,
        "unused": [name for name in rows.header if name not in {picture, split, group, *columns}],
        "pictures": {name: len(part) for name, part in parts.items()}, "duplicates": len(paths) - len(set(paths))}
    return Parts(dict(parts), account)


def _targets(rows: Rows, target: str | list[str] | None, taken: set[str | None]) -> list[str]:
    left = [name for name in rows.header if name not in taken]
    if target is not None:
        wanted = [target] if isinstance(target, str) else target
        for name in wanted:
            if name not in left:
                raise DataError(f"{rows.file} has no column {name!r} to learn.{nearest(name, left)} "
                                f"Its columns: {', '.join(rows.header)}.")
        if len(set(wanted)) < len(wanted) or not wanted:
            raise UserError(f"data.target={target} names no column, or one twice")
        return wanted
    named = [name for name in left if name.lower() in (*_LABEL, *_TAGS)]
    if len(named) == 1:
        return named
    if not left:
        raise DataError(f"{rows.file} has no column to learn beside {', '.join(rows.header)}: a column label, tags, or "
                        "numbers is expected")
    return left


def _decide(rows: Rows, columns: list[str]) -> tuple[Literal["label", "tags", "numbers"], str]:
    """The kind of target, and the rule that says so."""
    if len(columns) > 1:
        cells = [cell for name in columns for cell in rows.column(name)]
        if all(cell in ("0", "1") for cell in cells):
            return "tags", f"{count(len(columns), 'column')} of 0 and 1"
        for name in columns:
            if sum(_NUMBER.fullmatch(cell) is not None for cell in rows.column(name)) * 2 < len(rows.cells):
                raise DataError(f"{rows.file} has several columns that could be learned ({', '.join(columns)}), and "
                                f"{name!r} does not hold numbers: say which one with data.target")
        return "numbers", f"{count(len(columns), 'column')} of numbers"
    cells, name = rows.column(columns[0]), columns[0].lower()
    if name in _TAGS:
        return "tags", f"the column is called {columns[0]!r}"
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    if len(numbers) * 2 > len(cells) and any(not _WHOLE.fullmatch(cell) for cell in numbers):
        return "numbers", "most cells are numbers, some with a decimal point"
    if name in _LABEL:
        return "label", f"the column is called {columns[0]!r}"
    if len(numbers) * 2 > len(cells) and len(set(numbers)) > _MANY:
        return "numbers", f"whole numbers of {len(set(numbers))} different values, more than {_MANY}"
    return "label", f"{len(set(cells))} different values"


def _value(rows: Rows, columns: list[str], kind: Kind, classes: list[str] | None) -> tuple[tuple[str, ...], Value]:
    """The names of the classes or quantities, and the stacked target."""
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
    number = {name: i for i, name in enumerate(names)}
    for cell, line in zip(cells, rows.lines, strict=True):
        if cell not in number:
            raise _unlisted(rows, line, "label", cell, names)
    return names, Label(torch.tensor([number[cell] for cell in cells], dtype=torch.int64))


def _unlisted(rows: Rows, line: int, what: str, cell: str, names: Sequence[str]) -> DataError:
    known = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
    return DataError(f"{rows.file}, line {line}: {what} {cell!r} is not in data.classes.{nearest(cell, names)} "
                     f"Accepted: {known}.")


def _numbers(rows: Rows, name: str) -> list[float]:
    found = []
    for cell, line in zip(rows.column(name), rows.lines, strict=True):
        value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
        if not abs(value) <= torch.finfo(torch.float32).max:
            raise DataError(f"{rows.file}, line {line}: column {name!r} holds {cell!r}, which is not a finite number "
                            "(such as 12 or 0.5)")
        found.append(value)
    return found


def _tags(rows: Rows, columns: list[str], classes: list[str] | None) -> tuple[tuple[str, ...], Tags]:
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
    number = {name: i for i, name in enumerate(names)}
    present = torch.zeros(len(cells), len(names))
    for row, (tags, line) in enumerate(zip(cells, rows.lines, strict=True)):
        for tag in tags:
            if tag not in number:
                raise _unlisted(rows, line, "tag", tag, names)
            present[row, number[tag]] = 1
    return names, Tags(present)


def _divided(rows: Rows, split: str, whole: Files) -> dict[str, Files]:
    given = np.array(given_split(rows, split))
    chosen = {name: np.flatnonzero(given == name).tolist() for name in ("train", "valid", "test")}
    return {name: whole.subset(own) for name, own in chosen.items() if own}


def _check_labels(rows: Rows, parts: dict[str, Files], names: tuple[str, ...], *, fixed: bool) -> None:
    seen = {}
    for name, part in parts.items():
        label = part.targets["label"]
        assert isinstance(label, Label)
        seen[name] = set(label.index.tolist())
    learned = seen.get("train", seen.get("all", set()))
    if len(learned) < 2:
        raise DataError(f"{rows.file} gives every picture to learn from one label, {names[min(learned)]!r}: to tell "
                        "classes apart takes at least two")
    for name, found in seen.items():
        if found - learned and not fixed:
            raise DataError(f"{rows.file}: label {names[min(found - learned)]!r} is in split {name!r} but not in "
                            "'train', so it could not be learned: add it there or take it out")
