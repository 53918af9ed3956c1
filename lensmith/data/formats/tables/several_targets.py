"""Tables from which several targets are learned at once: each column, set of corners and file of a mask is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.base.picture_headers import Header
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, sources_of_boxes
from lensmith.data.formats.given_splits import LISTED
from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.masks.names_of_ids import class_list, classes_of_masks
from lensmith.data.formats.tables.box_columns import CORNERS, are_fractions, corners_in
from lensmith.data.formats.tables.column_kinds import CellSettings, decide_kind, holds_numbers, value_of
from lensmith.data.formats.tables.column_roles import columns_to_learn
from lensmith.data.formats.tables.read_table import Rows, fill_pattern, names_pictures, picture_column
from lensmith.data.formats.tables.repeated_pictures import OneRowEach
from lensmith.data.sources.mask_files import MaskFiles, PixelMask
from lensmith.data.sources.picture_files import Files, readable
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.unknown_targets import check_part_name, spread_over, told_of
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

_SIZE = ("width", "height")    # columns with the size of a picture, which are only learned where they are named


@dataclass(frozen=True)
class TargetColumns:
    """The targets of a table and their columns, before the cells are read."""

    columns: list[str]                # each is a target: a label, tags or a number
    boxes: dict[str, list[str]]       # target -> the columns of its four corners
    box_classes: dict[str, str]       # target of boxes -> the column of its class
    masks: dict[str, str]             # target -> the column of its files, or the pattern

    @property
    def names(self) -> list[str]:
        return [*self.columns, *self.boxes, *self.masks]

    @property
    def read(self) -> set[str]:
        """The columns in which the targets stand, but for the patterns of masks."""
        return {*self.columns, *self.box_classes.values(), *self.masks.values()}.union(*self.boxes.values())


@dataclass(frozen=True)
class TableTargets:
    """The targets of a table, read."""

    rows: Rows           # without those that say nothing of any target
    targets: dict[str, Value]
    classes: dict[str, tuple[str, ...]]
    columns: set[str]    # those that were read for the targets
    account: dict[str, Any]
    words: str           # what is learned from which column, and why
    notes: list[str]     # what else has to be said


def target_columns(rows: Rows, free: Sequence[str], target: str | list[str] | None, *,
                   boxes: Mapping[str, str] | None, masks: str | Mapping[str, str] | None) -> TargetColumns | None:
    """The targets of a table with several, among the columns `free`; None where it is a table of one target.

    It has several where the settings `boxes` or `masks` ask for it, or where `target` names corners by what stands
    before them (`head` of head_xmin, ...), a column of files, or columns of which one does not hold numbers. Without
    `target` it has several where two or more can be learned, unless all of them are columns of numbers. Raises
    DataError for a name that the table does not have, and for a column that is no label since nearly every cell
    differs.
    """
    corners = _corners(rows, free)
    box_classes, patterns = dict(boxes or {}), _patterns(masks, rows)
    for name, column in box_classes.items():
        if name not in corners:
            raise DataError(f"{rows.file} has no corners called {name!r}, which data.boxes names: the columns "
                            f"{name}_xmin, {name}_ymin, {name}_xmax, {name}_ymax are expected."
                            f"{nearest(name, corners)} Its columns: {', '.join(rows.header)}.")
        if column not in rows.header:
            raise DataError(f"{rows.file} has no column {column!r}, by which data.boxes names the classes of {name!r}."
                            f"{nearest(column, rows.header)} Its columns: {', '.join(rows.header)}.")
    asked = boxes is not None or masks is not None
    names = [target] if isinstance(target, str) else target
    columns = _all_targets(rows, free, corners, box_classes, patterns, asked=asked) if names is None else \
        _named_targets(rows, free, names, corners, box_classes, patterns, asked=asked)
    for name in () if columns is None else columns.names:
        check_part_name(name, str(rows.file))
        if columns is not None and columns.names.count(name) > 1:
            raise DataError(f"{rows.file}: two targets are called {name!r}: give one of them another name in "
                            "data.masks or in the table")
    return columns


def _named_targets(rows: Rows, free: Sequence[str], names: Sequence[str], corners: Mapping[str, list[str]],
                   box_classes: dict[str, str], patterns: dict[str, str], *, asked: bool) -> TargetColumns | None:
    """The targets that data.target names, with those that the other settings do; `asked`: they ask for several."""
    boxes = {name: corners[name] for name in [*names, *box_classes] if name in corners and name not in free}
    files = {name: name for name in names if name in free and names_pictures(rows, name)}
    columns = [name for name in names if name not in boxes and name not in files]
    not_numbers = len(columns) > 1 and set(columns) <= set(free) and \
        not all(holds_numbers(rows, name) for name in columns)
    if len(set(names)) < len(names) or not (asked or boxes or files or not_numbers):
        return None
    for name in columns:
        if name not in free:
            raise DataError(f"{rows.file} has no column {name!r} to learn.{nearest(name, [*free, *corners])} Its "
                            f"columns: {', '.join(rows.header)}.")
    return TargetColumns(columns, boxes, box_classes, files | patterns)


def _all_targets(rows: Rows, free: Sequence[str], corners: dict[str, list[str]], box_classes: dict[str, str],
                 patterns: dict[str, str], *, asked: bool) -> TargetColumns | None:
    """Everything that can be learned; None where it is one target, unless the settings `asked` for several."""
    files = patterns or {name: name for name in free if name.lower() == "mask" and names_pictures(rows, name)}
    used = {column for columns in corners.values() for column in columns}
    used = used.union(*(fill_pattern(rows, pattern, "data.masks")[1] for pattern in files.values()))
    columns = [name for name in free if name not in used]
    if columns:
        columns = columns_to_learn(rows, columns, {})
    if not (asked or files or corners) and (len(columns) < 2 or all(holds_numbers(rows, name) for name in columns)):
        return None
    columns = [name for name in columns if name.lower() not in _SIZE]
    if not asked and len(columns) + len(corners) + len(files) < 2:
        return None
    for name in columns:
        cells = [cell for cell in rows.column(name) if cell]
        if not holds_numbers(rows, name) and 2 * len(set(cells)) > len(cells):
            raise DataError(f"{rows.file} has several columns that could be learned ({', '.join(columns)}), and "
                            f"{name!r} does not hold numbers: say which one with data.target, or which ones, as "
                            "data.target=[\"one\", \"two\"]")
    return TargetColumns(columns, corners, box_classes, files)


def _corners(rows: Rows, free: Sequence[str]) -> dict[str, list[str]]:
    """The columns of four corners by what stands before them, `boxes` where nothing does."""
    corners: dict[str, list[str]] = {}
    for name in free:
        for ends in CORNERS:
            prefix = name[: len(name) - len(ends[0])]
            if name.lower() != prefix.lower() + ends[0] or (prefix and prefix[-1] not in "_-. "):
                continue
            columns = [column for end in ends if (column := rows.column_called((prefix + end).lower())) is not None]
            if len(columns) == 4:
                corners.setdefault(prefix.rstrip("_-. ") or "boxes", columns)
    return corners


def _patterns(masks: str | Mapping[str, str] | None, rows: Rows) -> dict[str, str]:
    """The setting data.masks by target; raises DataError, UserError."""
    if masks is None:
        return {}
    patterns = {masks if masks in rows.header else "mask": masks} if isinstance(masks, str) else dict(masks)
    if not patterns:
        raise UserError("data.masks={} names no target: give {outline = \"masks/{name}.png\"}, or leave it out")
    for pattern in patterns.values():
        fill_pattern(rows, pattern, "data.masks")
    return patterns


def read_targets(table: OneRowEach, every: Rows, columns: TargetColumns, *,
                 classes: Sequence[str] | Mapping[str, Sequence[str]] | None, ids: Mapping[str, str] | None,
                 settings: CellSettings, known: KnownClasses | None = None) -> TableTargets:
    """Every target of a table. What a row leaves empty is unknown, and a row that leaves all empty is left out.

    `every` has every row, of which each is a box of its picture; `table` has one a picture. `classes` fixes the names
    of classes by target, `ids` says what the ids of masks are called, and `known` what a network has learned that is
    measured on the table. A single target has the name of its kind, as in
    sets of one target. Raises DataError with the line of a cell or file that cannot be used, UserError for settings
    that do not fit.
    """
    classes_by_target, rows = _classes_by_target(classes, columns), table.rows
    root = rows.file.parent
    paths = [root / path for path in rows.column(picture_column(rows))]
    headers: list[Header | None] = [None] * len(paths)
    if columns.boxes:
        headers = survey(Files(paths, {}, {}, root=root)).headers
    if ids is not None and not columns.masks:
        raise UserError(f"data.ids names the ids of masks, and {rows.file} names no mask: leave it out")
    whole, has_target = Files(paths, {}, {}, root=root), np.zeros(len(paths), dtype=bool)
    accounts: dict[str, dict[str, Any]] = {}
    for name in columns.names:
        fixed = classes_by_target.get(name)
        if name in columns.masks:
            target = _read_masks(rows, name, columns.masks[name], fixed, ids, known)
        elif name in columns.boxes:
            target = _read_boxes(every, paths, table.picture_of_row, name, columns, fixed, settings)
        else:
            target = _read_column(rows, name, fixed, settings)
        whole.targets[name] = spread_over(target.value, target.rows, headers, classes=len(target.names))
        whole.classes[name] = target.names
        accounts[name] = target.account
        has_target[target.rows] = True
    return _without_empty_rows(rows, whole, has_target, columns, accounts)


def _without_empty_rows(rows: Rows, whole: Files, has_target: np.ndarray, columns: TargetColumns,
                        accounts: Mapping[str, dict[str, Any]]) -> TableTargets:
    """The targets without the rows that say nothing of any, and the account of them."""
    without_target = [path for path, has in zip(whole.paths, has_target, strict=True) if not has]
    if without_target:
        kept = np.flatnonzero(has_target).tolist()
        whole, rows = whole.subset(kept), rows.take(kept)
    counts = told_of(whole)
    used = {*columns.columns, *columns.box_classes.values()}.union(
        *columns.boxes.values(), *(fill_pattern(rows, pattern, "data.masks")[1] for pattern in columns.masks.values()))
    account: dict[str, Any] = {"target": columns.names,
                               "parts": {name: {**counts[name], **accounts[name]} for name in columns.names}}
    if without_target:
        account["without_target"] = {"count": len(without_target),
                                     "pictures": [readable(path) for path in without_target[:LISTED]]}
    words = ", ".join(f"{name} ({counts[name]['kind']}: {accounts[name]['because']})" for name in columns.names)
    notes = [note for name in columns.names for note in accounts[name].get("notes", [])]
    name_of = {name: counts[name]["kind"] if len(columns.names) == 1 else name for name in columns.names}
    return TableTargets(rows, {name_of[name]: whole.targets[name] for name in columns.names},
                        {name_of[name]: whole.classes[name] for name in columns.names}, used, account, words, notes)


def _classes_by_target(classes: Sequence[str] | Mapping[str, Sequence[str]] | None,
                       columns: TargetColumns) -> dict[str, list[str]]:
    """data.classes by target; raises UserError where it does not say of which."""
    if classes is None:
        return {}
    if not isinstance(classes, Mapping):
        if len(columns.names) > 1:
            raise UserError(f"data.classes={list(classes)} does not say of which target: give {{{columns.names[0]} = "
                            f"{list(classes)}}}; the targets are {', '.join(columns.names)}")
        classes = {columns.names[0]: classes}
    for name, names in classes.items():
        if name not in columns.names:
            raise UserError(f"data.classes names {name!r}, which is no target.{nearest(name, columns.names)} The "
                            f"targets are {', '.join(columns.names)}.")
        if not names or len(set(names)) < len(names):
            raise UserError(f"data.classes: {name} = {list(names)} must hold at least one name, none of them twice")
    return {name: list(names) for name, names in classes.items()}


@dataclass(frozen=True)
class _Target:
    """One target of a table."""

    names: tuple[str, ...]    # of its classes
    value: Value              # of the rows in which it is known
    rows: np.ndarray          # int64 [known]
    account: dict[str, Any]


def _read_column(rows: Rows, name: str, classes: list[str] | None, settings: CellSettings) -> _Target:
    known = np.flatnonzero([bool(cell) for cell in rows.column(name)])
    if not len(known):
        raise DataError(f"{rows.file}: column {name!r} is empty in every line: there is nothing to learn")
    filled = rows.take(known.tolist())
    reading = decide_kind(filled, [name], settings)
    names, value, notes = value_of(filled, [name], reading, classes, settings)
    return _Target(names, value, known, {"because": reading.rule, **({"notes": notes} if notes else {})})


def _read_boxes(rows: Rows, paths: list[Path], picture_of_row: np.ndarray, name: str, targets: TargetColumns,
                classes: list[str] | None, settings: CellSettings) -> _Target:
    """The boxes in every row of a table; `paths` are its pictures, and `picture_of_row` says which each row is of."""
    columns = targets.boxes[name]
    class_column = targets.box_classes.get(name)
    annotated = AnnotatedSplit(accepted=classes, paths=list(paths))
    labels = rows.column(class_column) if class_column is not None else [name] * len(rows.cells)
    cells = zip(*(corners_in(rows, column, settings.decimal) for column in columns), strict=True)
    every = list[float]()
    for i, corners, label, line in zip(picture_of_row.tolist(), cells, labels, rows.lines, strict=True):
        where = f"{rows.file}, line {line}"
        missing = [column for column, cell in zip(columns, corners, strict=True) if not cell]
        if len(missing) == 4:
            continue
        if missing:
            raise DataError(f"{where}: the box {name!r} has no {' and no '.join(missing)}: give all four corners, or "
                            "none where it is not known")
        if not label:
            raise DataError(f"{where}: the box {name!r} has no class: column {class_column!r} is empty")
        box = [_number(cell, column, where) for cell, column in zip(corners, columns, strict=True)]
        every += box
        annotated.add(box, label, where=where, picture=i)
    if not annotated.classes:
        raise DataError(f"{rows.file}: the columns {', '.join(columns)} are empty in every line: there is nothing to "
                        "learn")
    annotated.relative = are_fractions(every, f"{rows.file}: no corner of {name!r}")
    parts = sources_of_boxes({"all": annotated}, names=classes, folder=rows.file.parent, account={})
    source = parts.splits["all"]
    value = source.targets["boxes"]
    assert isinstance(value, Boxes) and value.image is not None
    known = value.image.unique()    # the target of a picture whose box cannot be used is not known
    repairs = {key: parts.account[key] for key in ("clipped", "dropped") if parts.account[key]}
    rule = f"the corners {', '.join(columns)}" + \
        ("" if class_column is None else f", of the classes in {class_column!r}")
    return _Target(source.classes["boxes"], value.take(known), known.numpy(), {"because": rule, **repairs})


def _number(cell: str, column: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise DataError(f"{where}: column {column!r} holds {cell[:40]!r}, which is no number of pixels") from error


def _read_masks(rows: Rows, name: str, pattern: str, classes: list[str] | None,
                ids: Mapping[str, str] | None, network: KnownClasses | None) -> _Target:
    cells, _ = fill_pattern(rows, pattern, "data.masks")
    root = rows.file.parent
    paths = [root / cell if cell else None for cell in cells]
    exists = [path is not None and path.is_file() for path in paths]
    missing = [i for i, path in enumerate(paths) if path is not None and not exists[i]]
    # A pattern names a file for every picture: there a missing file says that the mask is unknown.
    if missing and (pattern in rows.header or not any(exists)):
        more = "leave the cell empty where the mask is not known" if any(exists) else \
            "none is there; its path is from the folder of the table"
        raise DataError(f"{rows.file}, line {rows.lines[missing[0]]}: the mask {readable(paths[missing[0]] or '')} of "
                        f"{name!r} does not exist, one of {len(missing):,} that are missing: {more}")
    known = np.flatnonzero(exists)
    if not len(known):
        raise DataError(f"{rows.file}: column {pattern!r} is empty in every line: there is nothing to learn")
    files = [path for path, there in zip(paths, exists, strict=True) if path is not None and there]
    listed = class_list(root, None, classes=classes, ids=ids)
    if listed is None and network is not None and network.ids:
        listed = class_list(root, None, classes=None, ids=network.ids)
    settled, _ = classes_of_masks(files, listed, None, root, measured=network is not None)
    value = MaskFiles(tuple(PixelMask(path, settled.coding) for path in files))
    account = {"because": f"the files of {pattern}", "ids": settled.ids, "void": settled.void,
               **({"missing": len(missing)} if missing else {})}
    return _Target(settled.names, value, known, account)
