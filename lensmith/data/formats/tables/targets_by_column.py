"""Tables from which several things are learned at once: each column, set of corners and file of a mask is a part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.base.pictures import SUFFIXES, Header
from lensmith.data.formats.boxes.annotations import Drawn, boxed
from lensmith.data.formats.given_splits import NAMED
from lensmith.data.formats.masks.ids_to_classes import class_list, classes_of_masks
from lensmith.data.formats.tables.box_columns import CORNERS
from lensmith.data.formats.tables.cell_values import LABEL, TAGS, decide, holds_numbers, value_of
from lensmith.data.formats.tables.read_table import Rows, filled, picture_column
from lensmith.data.sources.mask_files import MaskFiles, PixelMask
from lensmith.data.sources.picture_files import Files, readable
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.unknown_targets import check_part_name, spread_over, told_of
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

_SIZE = ("width", "height")    # columns that say how large a picture is: by itself nothing to be learned


@dataclass(frozen=True)
class Wanted:
    """The parts of a table before their cells are read."""

    columns: list[str]              # each a label, tags or a number
    boxes: dict[str, list[str]]     # part -> the columns of its four corners
    of_class: dict[str, str]        # part of boxes -> the column of its class
    masks: dict[str, str]           # part -> the column of its files, or the pattern

    @property
    def names(self) -> list[str]:
        return [*self.columns, *self.boxes, *self.masks]


@dataclass(frozen=True)
class Several:
    """What a table with several parts gives."""

    rows: Rows           # without those that say nothing
    targets: dict[str, Value]
    classes: dict[str, tuple[str, ...]]
    columns: set[str]    # that were read for them
    account: dict[str, Any]


def wanted_parts(rows: Rows, left: Sequence[str], target: str | list[str] | None, *, boxes: Mapping[str, str] | None,
                 masks: str | Mapping[str, str] | None) -> Wanted | None:
    """The parts of a table whose columns `left` may be learned; None where it is a table of one target.

    It has several where `boxes` or `masks` ask for it, where `target` names corners by what stands before them (`head`
    for head_xmin ...), a column of files, or labels and something else; and without `target` where there are two or
    more parts other than numbers, or columns of 0 and 1, alone. Raises DataError for what it does not have, and for
    columns of which nearly every cell differs, which are no labels.
    """
    corners = _corners(rows, left)
    of_class, patterns = dict(boxes or {}), _patterns(masks, rows)
    for part, column in of_class.items():
        if part not in corners:
            raise DataError(f"{rows.file} has no corners called {part!r}, which data.boxes names: the columns "
                            f"{part}_xmin, {part}_ymin, {part}_xmax, {part}_ymax are expected."
                            f"{nearest(part, corners)} Its columns: {', '.join(rows.header)}.")
        if column not in rows.header:
            raise DataError(f"{rows.file} has no column {column!r}, by which data.boxes names the classes of {part!r}."
                            f"{nearest(column, rows.header)} Its columns: {', '.join(rows.header)}.")
    asked = boxes is not None or masks is not None
    names = [target] if isinstance(target, str) else target
    found = _all(rows, left, corners, of_class, patterns, asked=asked) if names is None else \
        _named(rows, left, names, corners, of_class, patterns, asked=asked)
    for name in () if found is None else found.names:
        check_part_name(name, str(rows.file))
        if found is not None and found.names.count(name) > 1:
            raise DataError(f"{rows.file}: two parts are called {name!r}: name one of them anew in data.masks or in "
                            "the table")
    return found


def _named(rows: Rows, left: Sequence[str], names: Sequence[str], corners: Mapping[str, list[str]],
           of_class: dict[str, str], patterns: dict[str, str], *, asked: bool) -> Wanted | None:
    """The parts that data.target names, with those that the other settings do."""
    boxes = {one: corners[one] for one in [*names, *of_class] if one in corners and one not in left}
    files = {one: one for one in names if one in left and _names_files(rows, one)}
    columns = [one for one in names if one not in boxes and one not in files]
    unlike = len(columns) > 1 and set(columns) <= set(left) and not all(holds_numbers(rows, one) for one in columns)
    if len(set(names)) < len(names) or not (asked or boxes or files or unlike):
        return None
    for name in columns:
        if name not in left:
            raise DataError(f"{rows.file} has no column {name!r} to learn.{nearest(name, [*left, *corners])} Its "
                            f"columns: {', '.join(rows.header)}.")
    return Wanted(columns, boxes, of_class, files | patterns)


def _all(rows: Rows, left: Sequence[str], corners: dict[str, list[str]], of_class: dict[str, str],
         patterns: dict[str, str], *, asked: bool) -> Wanted | None:
    """All that can be learned."""
    files = patterns or {one: one for one in left if one.lower() == "mask" and _names_files(rows, one)}
    taken = {column for four in corners.values() for column in four}
    taken = taken.union(*(filled(rows, pattern, "data.masks")[1] for pattern in files.values()))
    columns = [one for one in left if one not in taken]
    named = [one for one in columns if one.lower() in (*LABEL, *TAGS)]
    if len(named) == 1:
        columns = named
    if not (asked or files or corners) and (len(columns) < 2 or all(holds_numbers(rows, one) for one in columns)):
        return None
    columns = [one for one in columns if one.lower() not in _SIZE]
    if not asked and len(columns) + len(corners) + len(files) < 2:
        return None
    for name in columns:
        cells = [cell for cell in rows.column(name) if cell]
        if not holds_numbers(rows, name) and 2 * len(set(cells)) > len(cells):
            raise DataError(f"{rows.file} has several columns that could be learned ({', '.join(columns)}), and "
                            f"{name!r} does not hold numbers: say which one with data.target, or which ones, as "
                            "data.target=[\"one\", \"two\"]")
    return Wanted(columns, corners, of_class, files)


def _corners(rows: Rows, left: Sequence[str]) -> dict[str, list[str]]:
    """The columns of four corners by what stands before them, `boxes` where nothing does."""
    found: dict[str, list[str]] = {}
    for name in left:
        for four in CORNERS:
            before = name[: len(name) - len(four[0])]
            if name.lower() != before.lower() + four[0] or (before and before[-1] not in "_-. "):
                continue
            columns = [column for end in four if (column := rows.called((before + end).lower())) is not None]
            if len(columns) == 4:
                found.setdefault(before.rstrip("_-. ") or "boxes", columns)
    return found


def _patterns(masks: str | Mapping[str, str] | None, rows: Rows) -> dict[str, str]:
    if masks is None:
        return {}
    found = {masks if masks in rows.header else "mask": masks} if isinstance(masks, str) else dict(masks)
    if not found:
        raise UserError("data.masks={} names no part: give {outline = \"masks/{name}.png\"}, or leave it out")
    for pattern in found.values():
        filled(rows, pattern, "data.masks")
    return found


def _names_files(rows: Rows, name: str) -> bool:
    cells = [cell for cell in rows.column(name) if cell]
    return bool(cells) and all(cell.lower().endswith(SUFFIXES) for cell in cells)


def several_of(rows: Rows, wanted: Wanted, *, classes: Sequence[str] | Mapping[str, Sequence[str]] | None,
               ids: Mapping[str, str] | None) -> Several:
    """Every part of a table; what a row says nothing of is unknown, and a row that says nothing at all is left out.

    `classes` fixes names by the part, `ids` says what the ids of masks are called. A single part has the name that sets
    of one target give it. Raises DataError with the line of a cell or file that cannot be used, UserError for settings
    that do not fit.
    """
    fixed = _by_part(classes, wanted)
    root = rows.file.parent
    paths = [root / one for one in rows.column(picture_column(rows))]
    headers: list[Header | None] = [None] * len(paths)
    if wanted.boxes:
        headers = survey(Files(paths, {}, {}, root=root)).headers
    if ids is not None and not wanted.masks:
        raise UserError(f"data.ids names the ids of masks, and {rows.file} names no mask: leave it out")
    whole, said = Files(paths, {}, {}, root=root), np.zeros(len(paths), dtype=bool)
    told: dict[str, dict[str, Any]] = {}
    for name in wanted.names:
        if name in wanted.masks:
            names, value, known, told[name] = _masks(rows, name, wanted.masks[name], fixed.get(name), ids)
        elif name in wanted.boxes:
            names, value, known, told[name] = _boxes(rows, paths, name, wanted, fixed.get(name))
        else:
            names, value, known, told[name] = _column(rows, name, fixed.get(name))
        whole.targets[name] = spread_over(value, known, headers, classes=len(names))
        whole.classes[name] = names
        said[known] = True
    nothing = [path for path, one in zip(paths, said, strict=True) if not one]
    if nothing:
        kept = np.flatnonzero(said).tolist()
        whole, rows = whole.subset(kept), rows.chosen(kept)
    counted = told_of(whole)
    columns = {*wanted.columns, *wanted.of_class.values()}.union(
        *wanted.boxes.values(), *(filled(rows, pattern, "data.masks")[1] for pattern in wanted.masks.values()))
    account: dict[str, Any] = {"target": wanted.names,
                               "parts": {name: {**counted[name], **told[name]} for name in wanted.names}}
    if nothing:
        account["without_target"] = {"count": len(nothing), "pictures": [readable(one) for one in nothing[:NAMED]]}
    new = {counted[name]["kind"] if len(wanted.names) == 1 else name: name for name in wanted.names}
    return Several(rows, {one: whole.targets[name] for one, name in new.items()},
                   {one: whole.classes[name] for one, name in new.items()}, columns, account)


def _by_part(classes: Sequence[str] | Mapping[str, Sequence[str]] | None, wanted: Wanted) -> dict[str, list[str]]:
    """data.classes by the part; raises UserError where it does not say of which."""
    if classes is None:
        return {}
    if not isinstance(classes, Mapping):
        if len(wanted.names) > 1:
            raise UserError(f"data.classes={list(classes)} does not say of which part: give {{{wanted.names[0]} = "
                            f"{list(classes)}}}; the parts are {', '.join(wanted.names)}")
        classes = {wanted.names[0]: classes}
    for name, names in classes.items():
        if name not in wanted.names:
            raise UserError(f"data.classes names {name!r}, which is no part.{nearest(name, wanted.names)} The parts "
                            f"are {', '.join(wanted.names)}.")
        if not names or len(set(names)) < len(names):
            raise UserError(f"data.classes: {name} = {list(names)} must hold at least one name, none of them twice")
    return {name: list(names) for name, names in classes.items()}


_Read = tuple[tuple[str, ...], Value, np.ndarray, dict[str, Any]]    # class names, known values, their rows, an account


def _column(rows: Rows, name: str, classes: list[str] | None) -> _Read:
    known = np.flatnonzero([bool(cell) for cell in rows.column(name)])
    if not len(known):
        raise DataError(f"{rows.file}: column {name!r} is empty in every line: there is nothing to learn")
    given = rows.chosen(known.tolist())
    kind, rule = decide(given, [name])
    names, value = value_of(given, [name], kind, classes)
    return names, value, known, {"because": rule}


def _boxes(rows: Rows, paths: list[Path], name: str, wanted: Wanted, classes: list[str] | None) -> _Read:
    columns = wanted.boxes[name]
    of_class = wanted.of_class.get(name)
    drawn = Drawn(accepted=classes, paths=list(paths))
    labels = rows.column(of_class) if of_class is not None else [name] * len(paths)
    largest = 0.0
    for i, (corners, label, line) in enumerate(zip(zip(*map(rows.column, columns), strict=True), labels, rows.lines,
                                                   strict=True)):
        where = f"{rows.file}, line {line}"
        missing = [column for column, cell in zip(columns, corners, strict=True) if not cell]
        if len(missing) == 4:
            continue
        if missing:
            raise DataError(f"{where}: the box {name!r} has no {' and no '.join(missing)}: give all four corners, or "
                            "none where it is not known")
        if not label:
            raise DataError(f"{where}: the box {name!r} has no class: column {of_class!r} is empty")
        box = [_number(cell, column, where) for cell, column in zip(corners, columns, strict=True)]
        largest = max(largest, *box)
        drawn.add(box, label, where=where, picture=i)
    if not drawn.classes:
        raise DataError(f"{rows.file}: the columns {', '.join(columns)} are empty in every line: there is nothing to "
                        "learn")
    if largest <= 1:
        raise DataError(f"{rows.file}: no corner of {name!r} is beyond 1, which looks like shares of the picture: "
                        "pixels are expected")
    found = boxed({"all": drawn}, names=classes, folder=rows.file.parent, account={})
    source = found.splits["all"]
    value = source.targets["boxes"]
    assert isinstance(value, Boxes) and value.image is not None
    known = value.image.unique()    # a box that could not be used says nothing of its picture
    told = {one: found.account[one] for one in ("clipped", "dropped") if found.account[one]}
    rule = f"the corners {', '.join(columns)}" + ("" if of_class is None else f", of the classes in {of_class!r}")
    return source.classes["boxes"], value.take(known), known.numpy(), {"because": rule, **told}


def _number(cell: str, column: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise DataError(f"{where}: column {column!r} holds {cell[:40]!r}, which is no number of pixels") from error


def _masks(rows: Rows, name: str, pattern: str, classes: list[str] | None, ids: Mapping[str, str] | None) -> _Read:
    cells, _ = filled(rows, pattern, "data.masks")
    root = rows.file.parent
    named = [root / cell if cell else None for cell in cells]
    there = [path is not None and path.is_file() for path in named]
    missing = [i for i, path in enumerate(named) if path is not None and not there[i]]
    # Of a pattern, which names a file for every picture, those that are not there are unknown.
    if missing and (pattern in rows.header or not any(there)):
        more = "leave the cell empty where the mask is not known" if any(there) else \
            "none is there; its path is from the folder of the table"
        raise DataError(f"{rows.file}, line {rows.lines[missing[0]]}: the mask {readable(named[missing[0]] or '')} of "
                        f"{name!r} does not exist, one of {len(missing):,} that are missing: {more}")
    known = np.flatnonzero(there)
    if not len(known):
        raise DataError(f"{rows.file}: column {pattern!r} is empty in every line: there is nothing to learn")
    files = [path for path, is_there in zip(named, there, strict=True) if path is not None and is_there]
    listed = class_list(root, None, classes=classes, ids=ids)
    settled, _ = classes_of_masks(files, listed, None, root)
    value = MaskFiles(tuple(PixelMask(path, settled.coding) for path in files))
    rule = f"the files of {pattern}"
    told = {"because": rule, "ids": settled.ids, "void": settled.void}
    return settled.names, value, known, {**told, "missing": len(missing)} if missing else told
