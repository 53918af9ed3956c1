"""Tables, CSV or TSV: one line a picture, `path,label[,split][,group]`, or tags, numbers or boxes for the label."""

from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.data.formats.format import Format
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.tables.box_columns import CSV, TABLES, boxes_of, has_boxes, recognise_table, table_in
from lensmith.data.formats.tables.cell_values import LABEL, TAGS, Kind, decide, value_of
from lensmith.data.formats.tables.read_table import (
    Rows,
    given_split,
    no_empty,
    picture_column,
    read_rows,
    split_column,
    with_pictures,
)
from lensmith.data.formats.tables.targets_by_column import several_of, wanted_parts
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.sample import Parts
from lensmith.values.labels import Label
from lensmith.values.value import of_kind


def table(path: str, *, target: str | list[str] | None = None, kind: Kind = "auto", separator: str | None = None,
          classes: list[str] | dict[str, list[str]] | None = None, split: str | bool = "split",
          pictures: str | None = None, boxes: dict[str, str] | None = None, masks: str | dict[str, str] | None = None,
          ids: dict[str, str] | None = None) -> Parts:
    """The pictures that a table names, relative to its folder, with what it says of them.

    `path` is the table, or a folder with one table of boxes in it. The picture's column is called path, file, filename,
    image or picture, or `pictures` names it or is a pattern over columns (`images/{name}.jpg`); split (train, valid,
    test; `split` names another column, false reads none) and group may follow; the rest, or `target`, is what is to be
    learned. `kind` auto decides so, and the account says by which rule:

    - columns label and x0, y0, x1, y1 (or xmin ..., left ...): boxes, one line each (`boxes_table.py`);
    - several things to learn, among them labels, `boxes`, corners such as head_xmin ..., `masks` or a column mask:
      several targets, each known where its cells are not empty (`table_parts.py`, which takes `boxes`, `masks`, `ids`);
    - several columns: tags where every cell is 0 or 1, else numbers;
    - a column called tags or labels: tags, several in a cell separated by ; or |, none where it is empty;
    - most cells numbers, and any with a decimal point: numbers;
    - a column called label, class or category: a label, whole numbers too;
    - whole numbers of more than 20 different values: numbers; anything else: a label.

    `separator` is found in the first line where it is not given; `classes` fixes the names and their order, of several
    targets by the target. A missing picture is not looked for here; reading the headers finds it. Raises DataError with
    the line for a cell that cannot be used, UserError for settings that do not fit.
    """
    file = Path(path).expanduser()
    rows = read_rows(table_in(Listing(file)) or file if file.is_dir() else file, separator)
    rows, used = with_pictures(rows, pictures)
    own, group = split_column(rows, split), rows.called("group")
    alone = boxes is None and masks is None    # whether no setting asks for several targets
    if kind == "boxes" or (kind == "auto" and target is None and alone and has_boxes(rows)):
        return boxes_of(rows, _listed(classes), own)
    left = [name for name in rows.header if name not in {*used, rows.called("split"), own, group}]
    wanted = wanted_parts(rows, left, target, boxes=boxes, masks=masks) if kind == "auto" else None
    if wanted is None and (not alone or ids is not None):
        name = "boxes" if boxes is not None else "masks" if masks is not None else "ids"
        raise UserError(f"data.{name} is for tables with a mask or several targets" +
                        (f", and data.kind={kind} is for one: leave one of the two out" if kind != "auto" else
                         ", and this one has neither: leave it out, or name the targets with data.target"))
    picture = picture_column(rows)
    for column in (picture, own, group):
        if column is not None:
            no_empty(rows, column, hint=", or read no split with data.split=false" if column == own else "")
    if wanted is not None:
        found = several_of(rows, wanted, classes=classes, ids=ids)
        rows, value, names, learned, told = found.rows, found.targets, found.classes, found.columns, found.account
    else:
        columns = _targets(rows, target, left)
        kind, rule = decide(rows, columns) if kind == "auto" else (kind, f"data.kind={kind}")
        for column in columns if kind != "tags" or len(columns) > 1 else ():
            no_empty(rows, column)
        ordered, one = value_of(rows, columns, kind, _listed(classes))
        value, names, learned = {kind: one}, {kind: ordered}, set(columns)
        told = {"target": columns, "kind": kind, "kind_because": rule}
    paths = rows.column(picture)
    root = rows.file.parent
    whole = Files([root / one for one in paths], value, names, root=root,
                  groups=None if group is None else np.array(rows.column(group), dtype=str))
    parts = {"all": whole} if own is None else _divided(rows, own, whole)
    fixed = (classes or {}).keys() if isinstance(classes, dict) else names if classes is not None else ()
    for name in of_kind(value, Label):
        _check_labels(rows, parts, name, fixed=name in fixed)
    account: dict[str, Any] = {
        "table": str(rows.file), **told,
        "unused": [name for name in rows.header if name not in {*used, own, group, *learned}],
        "pictures": {name: len(part) for name, part in parts.items()}, "duplicates": len(paths) - len(set(paths))}
    return Parts(dict(parts), account)


def _listed(classes: list[str] | dict[str, list[str]] | None) -> list[str] | None:
    """data.classes of a table with one target."""
    if isinstance(classes, dict):
        raise UserError(f"data.classes={classes} names classes by the target, and this table has one: give a list")
    return classes


def _targets(rows: Rows, target: str | list[str] | None, left: list[str]) -> list[str]:
    if target is not None:
        wanted = [target] if isinstance(target, str) else target
        for name in wanted:
            if name not in left:
                raise DataError(f"{rows.file} has no column {name!r} to learn.{nearest(name, left)} "
                                f"Its columns: {', '.join(rows.header)}.")
        if len(set(wanted)) < len(wanted) or not wanted:
            raise UserError(f"data.target={target} names no column, or one twice")
        return wanted
    named = [name for name in left if name.lower() in (*LABEL, *TAGS)]
    if len(named) == 1:
        return named
    if not left:
        raise DataError(f"{rows.file} has no column to learn beside {', '.join(rows.header)}: a column label, tags, or "
                        "numbers is expected")
    return left


def _divided(rows: Rows, split: str, whole: Files) -> dict[str, Files]:
    given = np.array(given_split(rows, split))
    chosen = {name: np.flatnonzero(given == name).tolist() for name in ("train", "valid", "test")}
    return {name: whole.subset(own) for name, own in chosen.items() if own}


def _check_labels(rows: Rows, parts: dict[str, Files], target: str, *, fixed: bool) -> None:
    """Raise a DataError where the pictures to learn from do not show two classes, or lack one that others show."""
    seen = {}
    for name, part in parts.items():
        label = part.targets[target]
        assert isinstance(label, Label)
        seen[name] = {index for index in label.index.tolist() if index >= 0}
    names = next(iter(parts.values())).classes[target]
    learned = seen.get("train", seen.get("all", set()))
    of = "" if target == "label" else f" of {target!r}"
    if len(learned) < 2:
        told = f"one label{of}, {names[min(learned)]!r}" if learned else f"no label{of}"
        raise DataError(f"{rows.file} gives every picture to learn from {told}: to tell classes apart takes at least "
                        "two")
    for name, found in seen.items():
        if found - learned and not fixed:
            raise DataError(f"{rows.file}: label {names[min(found - learned)]!r}{of} is in split {name!r} but not in "
                            "'train', so it could not be learned: add it there or take it out")


TABLE = Format(table, recognise_table, CSV, suffixes=TABLES, order=1)
