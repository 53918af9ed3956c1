"""Tables, CSV or TSV: one line a picture, `path,label[,split][,group]`, or tags, numbers or boxes for the label."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.data.formats.format import Format
from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.tables.bbox_column import BoxForm, with_corners
from lensmith.data.formats.tables.box_columns import (
    CSV,
    TABLES,
    boxes_of_table,
    class_column,
    corner_columns,
    crowd_column,
    recognise_table,
    table_of_boxes,
)
from lensmith.data.formats.tables.column_kinds import (
    CellSettings,
    Kind,
    decide_kind,
    holds_numbers,
    with_unknown_cells,
)
from lensmith.data.formats.tables.column_roles import columns_to_learn, set_aside
from lensmith.data.formats.tables.divisions import divided
from lensmith.data.formats.tables.find_pictures import refuse_pictures_elsewhere, refuse_unnamed_pictures
from lensmith.data.formats.tables.known_targets import known_target
from lensmith.data.formats.tables.one_target import joining, read_one_target
from lensmith.data.formats.tables.read_table import (
    Rows,
    picture_column,
    plain_name,
    read_rows,
    refuse_empty_cells,
    with_picture_column,
)
from lensmith.data.formats.tables.repeated_pictures import (
    account_of,
    is_repeated,
    one_row_each,
    refuse_contradictions,
)
from lensmith.data.formats.tables.several_labels import check_delimiter
from lensmith.data.formats.tables.several_targets import TableTargets, TargetColumns, read_targets, target_columns
from lensmith.data.formats.tables.side_columns import refuse_run_lengths, with_sides
from lensmith.data.formats.tables.tables_of_splits import joined_rows, tables_of_splits
from lensmith.data.sources.picture_files import Files, readable
from lensmith.data.sources.sample import Splits
from lensmith.values import of_kind
from lensmith.values.labels import Label

# Columns that say where a picture comes from, which is no class of its boxes, though it may be the only other text.
_OF_PICTURES = ("source", "origin", "site", "camera", "device", "location", "dataset", "author", "license", "url",
                "date", "timestamp", "city", "country")


def open_table(path: str, *, target: str | list[str] | None = None, kind: Kind = "auto", separator: str | None = None,
               classes: list[str] | dict[str, list[str]] | None = None, split: str | bool = "split",
               fold: str | int | None = None, delimiter: str | None = None, decimal: str | None = None,
               unknown: list[str] | None = None, pictures: str | None = None, boxes: dict[str, str] | None = None,
               masks: str | dict[str, str] | None = None, ids: dict[str, str] | None = None,
               bbox: BoxForm | None = None, known: KnownClasses | None = None) -> Splits:
    """The pictures that a table names, relative to its folder, with what it says of them. Several rows of a picture
    are joined.

    A picture that is not there is found when the headers are read. Raises DataError with the line for a cell that
    cannot be used, UserError for settings that do not fit.

    - `path`: the table, or a folder with one table of boxes in it, or with a table beside the pictures of each split.
    - `target`: the columns to learn; by default that which is called label, else all but those of the picture, the
      split, the group and those that are set aside (`set_aside`). Of boxes, the column of their class.
    - `kind`: label, tags, numbers or boxes; auto decides by the columns (`_box_class`, `target_columns`,
      `decide_kind`), and the account says by which rule.
    - `separator`: the character between cells; by default the tab, comma or semicolon in the first line.
    - `classes`: the names of the classes in order, of several targets a list for each; by default those that occur.
    - `split`: the column of the split, which is train, valid or test, or of flags or folds; by default the one that is
      called or filled like that; false reads none.
    - `fold`: which of the folds is valid; by default the first.
    - `delimiter`: what stands between several labels in a cell; by default a guess.
    - `decimal`: the decimal sign, . or a comma; by default the one in which more cells are numbers.
    - `unknown`: the texts that say that nothing is known, in the place of nan, NA, null and the like.
    - `pictures`: their column, or a pattern over columns, as images/{name}.jpg; by default a column called path, file,
      filename, file_name, image or picture, else the only one that names picture files.
    - `boxes`: of several targets, the column of the class for each set of corners, as {head = "species"}.
    - `masks`: the column that names the files of masks, or a pattern; {outline = pattern} of several.
    - `ids`: what each id in the masks is called, as {1 = "pet"}.
    - `bbox`: what the four numbers in a column of boxes are, or in columns as x, y, width, height: `xywh`, `corners` or
      `centre`; by default what all of them can be.
    - `known`: what a network that is measured on the table has learned; the program passes it.
    """
    check_delimiter(delimiter)
    settings = CellSettings(delimiter, decimal, unknown)
    file = Path(path).expanduser()
    rows = _read(file, separator)
    rows, bbox_in_words = _with_corners(rows, bbox, ask=target is None and kind in ("auto", "boxes"))
    rows, roles = _with_roles(rows, pictures, split, fold, is_asked=target is not None, measured=known is not None)
    if known is not None and target is None and kind == "auto":
        target, kind = known_target(rows, roles.free, known)
    several = boxes is not None or masks is not None
    box_class = None if several else _box_class(rows, roles, target, kind)
    if box_class is None and bbox_in_words and not several and target is None and kind == "auto":
        box_class = ""    # such a column holds boxes, whatever is beside it
    if box_class is not None:
        return _boxes(rows, roles, box_class, _one_list(classes), decimal, bbox_in_words)
    columns = target_columns(rows, roles.free if target is not None else roles.learnable, target, boxes=boxes,
                             masks=masks) if kind == "auto" else None
    if columns is None and (several or ids is not None):
        raise _for_several("boxes" if boxes is not None else "masks" if masks is not None else "ids", kind)
    targets = _several(rows, columns, classes, ids, settings, known) if columns is not None else \
        read_one_target(rows, _columns_to_learn(rows, target, roles), kind, _one_list(classes), settings)
    fixed = classes.keys() if isinstance(classes, dict) else targets.classes if classes is not None else ()
    return _sources(targets, roles, fixed=fixed, measured=known is not None)


def _with_corners(rows: Rows, bbox: BoxForm | None, *, ask: bool) -> tuple[Rows, str]:
    """The table with corners in the place of a column of boxes or of their sides; `ask` as of `with_sides`. Raises
    UserError for data.bbox where it has neither."""
    rows, words = with_corners(rows, bbox)
    if not words:
        rows, words = with_sides(rows, bbox, ask=ask)
    if bbox is not None and not words:
        raise UserError(f"data.bbox={bbox} is for a column of boxes, as bbox with [834.0, 222.0, 56.0, 36.0], or for "
                        f"columns as x, y, width, height, and {rows.file} has none: leave it out")
    return rows, words


def _read(file: Path, separator: str | None) -> Rows:
    """The table in a file; of a folder the tables of its splits, or its table of boxes."""
    if not file.is_dir():
        return read_rows(file, separator)
    listing = Listing(file)
    by_split = tables_of_splits(listing)
    return joined_rows(by_split, file, separator) if by_split else read_rows(table_of_boxes(listing) or file, separator)


@dataclass(frozen=True)
class _Roles:
    """What the columns of a table are for."""

    pictures: set[str]
    division: list[str]      # that say the split of a picture
    division_words: str      # how they do
    group: str | None
    free: list[str]          # all others
    aside: dict[str, str]    # of these the ones that are no target by themselves, with the reason

    @property
    def learnable(self) -> list[str]:
        return [name for name in self.free if name not in self.aside]


def _with_roles(rows: Rows, pictures: str | None, split: str | bool, fold: str | int | None, *, is_asked: bool,
                measured: bool) -> tuple[Rows, _Roles]:
    """The table with its pictures and splits, and what its columns are for; `is_asked`: data.target names the target,
    `measured`: nothing is learned from it. Raises DataError, UserError."""
    if pictures is None:
        refuse_unnamed_pictures(rows)
    rows, used = with_picture_column(rows, pictures)
    if rows.splits is not None:
        division, words = list[str](), "divided by the folders of their splits"
    else:
        rows, division, words = divided(rows, split, fold, measured=measured)
    refuse_empty_cells(rows, picture_column(rows))
    refuse_pictures_elsewhere(rows, pictures)
    group = rows.column_called("group")
    if group is not None:
        refuse_empty_cells(rows, group)
    free = [name for name in rows.header if name not in {*used, *division, group, rows.column_called("split")}]
    if not is_asked:
        refuse_run_lengths(rows, free)
    return rows, _Roles(used, division, words, group, free, {} if is_asked else set_aside(rows, free))


def _boxes(rows: Rows, roles: _Roles, label: str, classes: list[str] | None, decimal: str | None,
           bbox_in_words: str) -> Splits:
    """A table of boxes, whose class is in the column `label`, "" where it has none; `bbox_in_words` says how a column
    of boxes was read. Raises DataError."""
    parts = boxes_of_table(rows, classes, label=label or None, decimal=decimal)
    corners = corner_columns(rows) or []
    words = f"boxes from {', '.join(corners)}" + (f", their class from {label!r}" if label else "")
    unused = [name for name in roles.free if name not in {*corners, label, crowd_column(rows)}]
    return Splits(parts.splits, {**parts.account, "notes": [
        _said(rows, roles, words, unused), *filter(None, [bbox_in_words]), *parts.account.get("notes", [])]})


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


def _box_class(rows: Rows, roles: _Roles, target: str | list[str] | None, kind: Kind) -> str | None:
    """The column of the class where a table is read as one of boxes, "" where it has none; None for any other table.

    It is one of boxes where data.kind says so, and where it has corners and a column of their class. Where a picture
    has several rows the corners are those of several objects: their class is in the column that data.target names, or
    in the only one beside them. Raises DataError where data.target does not name one column.
    """
    corners = corner_columns(rows)
    named = [target] if isinstance(target, str) else target or []
    found = class_column(rows, set(rows.header) - set(roles.free))
    if kind == "boxes":
        if len(named) > 1 or not set(named) <= set(roles.free):
            raise DataError(f"{rows.file}: data.target={target} is not the column of the class of its boxes; its "
                            f"columns are {', '.join(rows.header)}")
        return named[0] if named else found or ""
    if kind != "auto" or corners is None:
        return None
    beside = [name for name in roles.learnable if name not in corners]
    if target is not None:
        return named[0] if len(named) == 1 and named[0] in beside and is_repeated(rows) else None
    if found is not None or not is_repeated(rows):
        return found
    texts = [name for name in beside if not holds_numbers(rows, name) and plain_name(name) not in _OF_PICTURES]
    return texts[0] if len(texts) == 1 else "" if not texts else None


def _several(rows: Rows, columns: TargetColumns, classes: list[str] | dict[str, list[str]] | None,
             ids: dict[str, str] | None, settings: CellSettings, known: KnownClasses | None) -> TableTargets:
    """The targets of a table with several, with the rows of each picture joined; raises DataError, UserError."""
    fixed = [name for names in classes.values() for name in names] if isinstance(classes, dict) else classes
    rows = with_unknown_cells(rows, [name for name in rows.header if name in columns.read], settings, fixed)
    readings = {}
    if is_repeated(rows):
        readings = {name: decide_kind(rows.take([i for i, cell in enumerate(rows.column(name)) if cell]), [name],
                                      settings) for name in columns.columns}
    table = one_row_each(rows, group=rows.column_called("group"), join=joining(readings))
    learned = [*columns.columns, *(name for name in columns.masks.values() if name in rows.header)]
    refuse_contradictions(table, learned)
    targets = read_targets(table, rows, columns, classes=classes, ids=ids, settings=settings, known=known)
    return replace(targets, account={**targets.account, **account_of(table, learned)})


def _columns_to_learn(rows: Rows, target: str | list[str] | None, roles: _Roles) -> list[str]:
    if target is None:
        return columns_to_learn(rows, roles.free, roles.aside)
    columns = [target] if isinstance(target, str) else target
    for name in columns:
        if name not in roles.free:
            raise DataError(f"{rows.file} has no column {name!r} to learn.{nearest(name, roles.free)} "
                            f"Its columns: {', '.join(rows.header)}.")
    if len(set(columns)) < len(columns) or not columns:
        raise UserError(f"data.target={target} names no column, or one twice")
    return columns


def _said(rows: Rows, roles: _Roles, targets: str, unused: Sequence[str]) -> str:
    """What was understood of a table, in a line; `targets` says what is learned."""
    left = [(repr(name) if name else "a column without a name") +
            (f" ({roles.aside[name]})" if name in roles.aside else "") for name in unused]
    parts = [f"pictures from {', '.join(map(repr, sorted(roles.pictures)))}", targets, roles.division_words,
             f"not used: {', '.join(left)}" if left else ""]
    return f"{readable(rows.file.name)}: {'; '.join(filter(None, parts))}"


def _sources(targets: TableTargets, roles: _Roles, *, fixed: Collection[str], measured: bool) -> Splits:
    """The sources of a table by split; `fixed` are the targets whose classes the settings fix, `measured` as of
    `_with_roles`."""
    rows, root = targets.rows, targets.rows.file.parent
    paths = rows.column(picture_column(rows))
    whole = Files([root / path for path in paths], targets.targets, targets.classes, root=root,
                  groups=None if roles.group is None else np.array(rows.column(roles.group), dtype=str))
    splits = {"all": whole} if rows.splits is None else _divided(rows.splits, whole)
    for name in of_kind(targets.targets, "label") if not measured else ():
        _check_labels(rows, splits, name, fixed=name in fixed)
    unused = [name for name in rows.header if name not in
              {*roles.pictures, *roles.division, roles.group, *targets.columns}]
    account: dict[str, Any] = {
        "table": str(rows.file), **targets.account, "unused": unused,
        "pictures": {name: len(source) for name, source in splits.items()},
        "notes": [_said(rows, roles, targets.words, unused), *targets.notes]}
    return Splits(dict(splits), account)


def _divided(given: Sequence[str], whole: Files) -> dict[str, Files]:
    numbers = {name: [row for row, split in enumerate(given) if split == name] for name in ("train", "valid", "test")}
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
