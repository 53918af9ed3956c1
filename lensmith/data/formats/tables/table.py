"""Tables, CSV or TSV: one line a picture, `path,label[,split][,group]`, or tags, numbers or boxes for the label."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.data.formats.format import Format
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.tables.box_columns import (
    CSV,
    TABLES,
    boxes_of_table,
    has_boxes,
    recognise_table,
    table_of_boxes,
)
from lensmith.data.formats.tables.column_kinds import LABEL, TAGS, Kind, decide_kind, value_of
from lensmith.data.formats.tables.read_table import (
    Rows,
    picture_column,
    read_rows,
    refuse_empty_cells,
    split_column,
    splits_in,
    with_picture_column,
)
from lensmith.data.formats.tables.several_targets import TableTargets, read_targets, target_columns
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.sample import Splits
from lensmith.values import of_kind
from lensmith.values.labels import Label


def open_table(path: str, *, target: str | list[str] | None = None, kind: Kind = "auto", separator: str | None = None,
               classes: list[str] | dict[str, list[str]] | None = None, split: str | bool = "split",
               pictures: str | None = None, boxes: dict[str, str] | None = None,
               masks: str | dict[str, str] | None = None, ids: dict[str, str] | None = None) -> Splits:
    """The pictures that a table names, relative to its folder, with what it says of them.

    A picture that is not there is found when the headers are read. Raises DataError with the line for a cell that
    cannot be used, UserError for settings that do not fit.

    - `path`: the table, or a folder with one table of boxes in it.
    - `target`: the columns to learn; by default all but those of the picture, the split and the group.
    - `kind`: label, tags, numbers or boxes; auto decides by the columns (`has_boxes`, `target_columns`, `decide_kind`),
      and the account says by which rule.
    - `separator`: the character between cells; by default the tab, comma or semicolon in the first line.
    - `classes`: the names of the classes in order, of several targets a list for each; by default those that occur.
    - `split`: the column of the split, which is train, valid or test; false reads none.
    - `pictures`: their column, or a pattern over columns, as images/{name}.jpg; by default a column called path, file,
      filename, file_name, image or picture.
    - `boxes`: of several targets, the column of the class for each set of corners, as {head = "species"}.
    - `masks`: the column that names the files of masks, or a pattern; {outline = pattern} of several.
    - `ids`: what each id in the masks is called, as {1 = "pet"}.
    """
    file = Path(path).expanduser()
    rows = read_rows(table_of_boxes(Listing(file)) or file if file.is_dir() else file, separator)
    rows, used = with_picture_column(rows, pictures)
    split_name, group = split_column(rows, split), rows.column_called("group")
    several = boxes is not None or masks is not None    # a setting asks for several targets
    if kind == "boxes" or (kind == "auto" and target is None and not several and has_boxes(rows)):
        return boxes_of_table(rows, _one_list(classes), split_name)
    free = [name for name in rows.header if name not in {*used, rows.column_called("split"), split_name, group}]
    columns = target_columns(rows, free, target, boxes=boxes, masks=masks) if kind == "auto" else None
    if columns is None and (several or ids is not None):
        raise _for_several("boxes" if boxes is not None else "masks" if masks is not None else "ids", kind)
    refuse_empty_cells(rows, picture_column(rows))
    for name, hint in ((split_name, ", or read no split with data.split=false"), (group, "")):
        if name is not None:
            refuse_empty_cells(rows, name, hint=hint)
    targets = _one_target(rows, target, free, kind, classes) if columns is None else \
        read_targets(rows, columns, classes=classes, ids=ids)
    fixed = classes.keys() if isinstance(classes, dict) else targets.classes if classes is not None else ()
    return _sources(targets, used=used, split=split_name, group=group, fixed=fixed)


def _for_several(setting: str, kind: Kind) -> UserError:
    """The error for a setting that a table with one target does not take."""
    return UserError(f"data.{setting} is for tables with a mask or several targets" +
                     (f", and data.kind={kind} is for one: leave one of the two out" if kind != "auto" else
                      ", and this one has neither: leave it out, or name the targets with data.target"))


def _one_list(classes: list[str] | dict[str, list[str]] | None) -> list[str] | None:
    """data.classes of a table with one target; raises UserError where it names several."""
    if isinstance(classes, dict):
        raise UserError(f"data.classes={classes} names classes by the target, and this table has one: give a list")
    return classes


def _one_target(rows: Rows, target: str | list[str] | None, free: list[str], kind: Kind,
                classes: list[str] | dict[str, list[str]] | None) -> TableTargets:
    """The target of a table that has one; raises DataError, UserError."""
    columns = _columns_to_learn(rows, target, free)
    kind, rule = decide_kind(rows, columns) if kind == "auto" else (kind, f"data.kind={kind}")
    for name in columns if kind != "tags" or len(columns) > 1 else ():
        refuse_empty_cells(rows, name)
    names, value = value_of(rows, columns, kind, _one_list(classes))
    account = {"target": columns, "kind": kind, "kind_because": rule}
    return TableTargets(rows, {kind: value}, {kind: names}, set(columns), account)


def _columns_to_learn(rows: Rows, target: str | list[str] | None, free: list[str]) -> list[str]:
    if target is not None:
        columns = [target] if isinstance(target, str) else target
        for name in columns:
            if name not in free:
                raise DataError(f"{rows.file} has no column {name!r} to learn.{nearest(name, free)} "
                                f"Its columns: {', '.join(rows.header)}.")
        if len(set(columns)) < len(columns) or not columns:
            raise UserError(f"data.target={target} names no column, or one twice")
        return columns
    named = [name for name in free if name.lower() in (*LABEL, *TAGS)]
    if len(named) == 1:
        return named
    if not free:
        raise DataError(f"{rows.file} has no column to learn beside {', '.join(rows.header)}: a column label, tags, or "
                        "numbers is expected")
    return free


def _sources(targets: TableTargets, *, used: set[str], split: str | None, group: str | None,
             fixed: Collection[str]) -> Splits:
    """The sources of a table by split. `used` are the columns of the pictures, `split` and `group` those of these, and
    `fixed` the targets whose classes the settings fix."""
    rows, root = targets.rows, targets.rows.file.parent
    paths = rows.column(picture_column(rows))
    whole = Files([root / path for path in paths], targets.targets, targets.classes, root=root,
                  groups=None if group is None else np.array(rows.column(group), dtype=str))
    splits = {"all": whole} if split is None else _divided(rows, split, whole)
    for name in of_kind(targets.targets, "label"):
        _check_labels(rows, splits, name, fixed=name in fixed)
    account: dict[str, Any] = {
        "table": str(rows.file), **targets.account,
        "unused": [name for name in rows.header if name not in {*used, split, group, *targets.columns}],
        "pictures": {name: len(source) for name, source in splits.items()}, "duplicates": len(paths) - len(set(paths))}
    return Splits(dict(splits), account)


def _divided(rows: Rows, split: str, whole: Files) -> dict[str, Files]:
    given = np.array(splits_in(rows, split))
    numbers = {name: np.flatnonzero(given == name).tolist() for name in ("train", "valid", "test")}
    return {name: whole.subset(chosen) for name, chosen in numbers.items() if chosen}


def _check_labels(rows: Rows, splits: dict[str, Files], target: str, *, fixed: bool) -> None:
    """Raise a DataError where the pictures to learn from do not show two classes, or lack one that others show."""
    indices = {}
    for name, source in splits.items():
        label = source.targets[target]
        assert isinstance(label, Label)
        indices[name] = {index for index in label.index.tolist() if index >= 0}
    names = next(iter(splits.values())).classes[target]
    learned = indices.get("train", indices.get("all", set()))
    of_target = "" if target == "label" else f" of {target!r}"
    if len(learned) < 2:
        content = f"one label{of_target}, {names[min(learned)]!r}" if learned else f"no label{of_target}"
        raise DataError(f"{rows.file} gives every picture to learn from {content}: to tell classes apart takes at "
                        "least two")
    for name, shown in indices.items():
        if shown - learned and not fixed:
            raise DataError(f"{rows.file}: label {names[min(shown - learned)]!r}{of_target} is in split {name!r} but "
                            "not in 'train', so it could not be learned: add it there or take it out")


TABLE = Format(open_table, recognise_table, CSV, suffixes=TABLES, order=1)
