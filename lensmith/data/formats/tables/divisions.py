"""The columns of a table that divide its pictures: by the word train, by is_valid or is_test, by numbered folds."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.data.formats.given_splits import SPLITS, split_named
from lensmith.data.formats.tables.read_table import Rows, plain_name, refuse_empty_cells

_FLAGS = {"is_train": "train", "is_training": "train", "is_valid": "valid", "is_val": "valid",
          "is_validation": "valid", "is_test": "test", "is_testing": "test"}
_FOLD = ("fold", "folds", "fold_id", "kfold", "k_fold", "cv_fold")
_MOST_FOLDS = 50
TRUE, FALSE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")    # in lower case


def divided(rows: Rows, split: str | bool, fold: str | int | None, *,
            measured: bool = False) -> tuple[Rows, list[str], str]:
    """The table with the split of each row, the columns that say it, and how in words; without any where it has none.

    `split` is the setting data.split: the name of the column, false for none, and by itself `split`, for which any
    column stands that is called or filled like one: with words for train and test, is_valid, or folds, of which `fold`
    is valid. A table that is only `measured` on and has no row for training is one whole. Raises DataError with the
    line of a cell that names no split, UserError for a fold that there is not.
    """
    column = split_column(rows, split)
    if split is False:
        division = None
    elif column is not None:
        division = _named(rows, column, fold)
    else:
        division = _by_words(rows) or _by_flags(rows) or _by_folds(rows, rows.column_called(*_FOLD), fold)
    if division is None and fold is not None:
        raise UserError(f"data.fold={fold} needs a column of folds, which {rows.file} has not, or data.split=NAME to "
                        "say which it is")
    if division is None:
        return rows, [], ""
    columns, splits, words = division
    if "train" not in splits and measured:
        return rows, columns, f"{words}, without train: measured as a whole"
    if "train" not in splits:
        raise DataError(f"{rows.file} gives no picture the split 'train': there is nothing to learn from")
    return replace(rows, splits=splits), columns, words


_Division = tuple[list[str], list[str], str]    # the columns, the split of each row, and how in words


def split_column(rows: Rows, split: str | bool) -> str | None:
    """The column that the setting data.`split` names; None where there is none, or it is not to be read."""
    if isinstance(split, bool) or split == "split":
        return rows.column_called("split") if split else None
    if split not in rows.header:
        raise DataError(f"{rows.file} has no column {split!r} for the split.{nearest(split, rows.header)} Its columns: "
                        f"{', '.join(rows.header)}; data.split=false reads none.")
    return split


def _named(rows: Rows, column: str, fold: str | int | None) -> _Division:
    """The division by the column that is called split, or that the setting names."""
    refuse_empty_cells(rows, column, hint=", or read no split with data.split=false")
    cells = rows.column(column)
    are_folds = fold is not None or (plain_name(column) in _FOLD and not all(map(split_named, cells)))
    if are_folds and (by_fold := _by_folds(rows, column, fold)) is not None:
        return by_fold
    if plain_name(column) in _FLAGS and _all_in(cells, (*TRUE, *FALSE)):
        return [column], [_by_flag(cell, _FLAGS[plain_name(column)]) for cell in cells], _words_of_flag(rows, column)
    for cell, line in zip(cells, rows.lines, strict=True):
        if split_named(cell) is None:
            raise DataError(f"{rows.file}, line {line}: unknown split {cell!r}.{nearest(cell.lower(), SPLITS)} "
                            "Accepted: train, valid (or val, validation), test. Another column is named by data.split; "
                            "false reads none.")
    return [column], [split_named(cell) or "train" for cell in cells], f"divided by {column!r}"


def _by_words(rows: Rows) -> _Division | None:
    """By the only column whose every cell is a word for a split, with train and another among them."""
    named = [(name, list(map(split_named, rows.column(name)))) for name in rows.header]
    found = [(name, [split for split in splits if split is not None]) for name, splits in named
             if None not in splits and "train" in splits and len(set(splits)) > 1]
    if len(found) > 1 and any(splits != found[0][1] for _, splits in found):
        raise DataError(f"{rows.file} has several columns that divide it, and not alike "
                        f"({', '.join(name for name, _ in found)}): say which with data.split=NAME, or false for none")
    return ([found[0][0]], found[0][1], f"divided by {found[0][0]!r}") if found else None


def _by_flags(rows: Rows) -> _Division | None:
    """By columns called is_valid, is_test or is_train that hold true and false alone."""
    columns = [name for name in rows.header if plain_name(name) in _FLAGS and
               _all_in(rows.column(name), (*TRUE, *FALSE)) and len({cell.lower() for cell in rows.column(name)}) > 1]
    if not columns:
        return None
    splits = ["train"] * len(rows.cells)
    # A picture of the test is in no other part, and one that is not for training is valid where nothing says test.
    for name in sorted(columns, key=lambda name: ("train", "valid", "test").index(_FLAGS[plain_name(name)])):
        kind = _FLAGS[plain_name(name)]
        splits = [given if _by_flag(cell, kind) == "train" else _by_flag(cell, kind)
                  for given, cell in zip(splits, rows.column(name), strict=True)]
    return columns, splits, "divided by " + " and ".join(_words_of_flag(rows, name).removeprefix("divided by ")
                                                         for name in columns)


def _by_flag(cell: str, kind: str) -> str:
    says = cell.lower() in TRUE
    if kind == "train":
        return "train" if says else "valid"
    return kind if says else "train"


def _words_of_flag(rows: Rows, name: str) -> str:
    kind = _FLAGS[plain_name(name)]
    shown = next((cell for cell in rows.column(name) if (cell.lower() in TRUE) == (kind != "train")), "")
    return f"divided by {name!r} ({shown} is {'valid' if kind == 'train' else kind})"


def _by_folds(rows: Rows, column: str | None, fold: str | int | None) -> _Division | None:
    """By a column of folds, of which one is valid: `fold`, or by itself the first."""
    if column is None:
        return None
    refuse_empty_cells(rows, column, hint=", or read no split with data.split=false")
    cells = rows.column(column)
    folds = sorted(set(cells), key=_by_size(cells))
    if not 1 < len(folds) <= _MOST_FOLDS:
        return None
    valid = folds[0] if fold is None else next((cell for cell in folds if _same(cell, fold)), None)
    if valid is None:
        raise UserError(f"data.fold={fold} is no fold of the column {column!r} of {rows.file}; its folds are "
                        f"{', '.join(folds)}")
    return [column], ["valid" if cell == valid else "train" for cell in cells], \
        f"divided by {column!r} ({valid} is valid, the other {len(folds) - 1} train; data.fold)"


def _by_size(cells: Sequence[str]) -> Callable[[str], tuple[float, str]]:
    """The key that orders folds: by size where all are numbers, else by the alphabet."""
    try:
        sizes = {cell: float(cell) for cell in cells}
    except ValueError:
        sizes = {}
    return lambda cell: (sizes.get(cell, 0.0), cell)


def _same(cell: str, fold: str | int) -> bool:
    """Whether a cell names the fold of the setting: 2 is 2.0 too."""
    return cell == str(fold) or cell.removesuffix(".0") == str(fold)


def _all_in(cells: Sequence[str], words: Sequence[str]) -> bool:
    return bool(cells) and all(cell.lower() in words for cell in cells)
