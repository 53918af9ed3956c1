"""What the cells of a table's columns hold: a label, tags or numbers, and by which rule."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.data.formats.class_names import alike, ordered
from lensmith.data.formats.tables.divisions import FALSE, TRUE
from lensmith.data.formats.tables.number_cells import NumberStyle, is_whole, number_style
from lensmith.data.formats.tables.read_table import Rows, plain_name
from lensmith.data.formats.tables.several_labels import SIGNS, delimiter_in_words, guess_delimiter, labels_of
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.value import Value

Kind = Literal["auto", "label", "tags", "numbers", "boxes"]
# The names of columns that tell their kind.
LABEL = ("label", "class", "target", "category")
TAGS = ("tags", "labels")
UNKNOWN = ("", "nan", "-nan", "na", "n/a", "#n/a", "<na>", "null", "nat")    # what says that nothing is known
_NO_NUMBER = ("none", "?", "-", "--")    # says so in a column of numbers, and may be a class in another
_MANY = 20    # a column of more different whole numbers is taken for a quantity, unless it is called label
_LABEL_NAME = re.compile(r"(.+_)?(label|class|target|category)(_?(name|id|idx|index|number|no|code))?")
_TAGS_NAME = re.compile(r"(.+_)?(tags|labels|classes|categories|targets|genres|keywords)")


@dataclass(frozen=True)
class CellReading:
    """How the cells of a target's columns are read: settings of the recipe, or what follows from the cells."""

    kind: Literal["label", "tags", "numbers"]
    rule: str                      # by which it is of this kind
    delimiter: str = SIGNS         # of tags in one column: what stands between them


@dataclass(frozen=True)
class CellSettings:
    """The settings of data that say how cells are read."""

    delimiter: str | None = None
    decimal: str | None = None
    unknown: Sequence[str] | None = None


def is_label_name(name: str) -> bool:
    """Whether a column is called after a label: class_name, target_id, age_class."""
    return _LABEL_NAME.fullmatch(plain_name(name)) is not None


def with_unknown_cells(rows: Rows, columns: Sequence[str], settings: CellSettings,
                       classes: Sequence[str] | None) -> Rows:
    """The table with empty cells in `columns` wherever one says that nothing is known: nan, NA, null, or what the
    setting data.unknown lists. A text that is one of `classes` is kept."""
    for name in columns:
        cells = rows.column(name)
        words = UNKNOWN if settings.unknown is None else tuple(map(str.casefold, settings.unknown))
        if settings.unknown is None and holds_numbers(rows, name, settings.decimal):
            words += _NO_NUMBER
        rows = rows.with_column(name, ["" if cell.casefold() in words and cell not in (classes or ()) else cell
                                       for cell in cells])
    return rows


def is_tags_name(name: str) -> bool:
    """Whether a column is called after several labels: tags, labels, finding_labels, genres."""
    return _TAGS_NAME.fullmatch(plain_name(name)) is not None


def decide_kind(rows: Rows, columns: Sequence[str], settings: CellSettings) -> CellReading:
    """The kind of target, and the rule by which it is; raises DataError where the columns are of several kinds, or one
    could be either of two.

    - Several columns are tags where every cell is 0 or 1, or true or false, else numbers.
    - A column called tags holds tags. So does one that is called labels, unless each cell holds one, and any other of
      which the cells plainly hold several (`guess_delimiter`), or for which data.delimiter says what separates them.
    - A column called label, class, target or category holds labels, whatever its numbers look like.
    - A column of which most cells are numbers, and any has a decimal sign or a unit, holds numbers; of 0.0 and 1.0
      alone labels.
    - A column of whole numbers with more than 20 different values holds numbers, and any other one labels.
    """
    if len(columns) > 1:
        return _kind_of_several(rows, columns, settings)
    column = columns[0]
    cells = [cell for cell in rows.column(column) if cell]
    style = number_style(cells, separator=rows.separator, decimal=settings.decimal)
    numbers = [number for cell in cells if (number := style.number(cell)) is not None]
    several = _tags_by_rule(column, cells, settings, numbers=len(numbers) * 2 > len(cells))
    if several is not None:
        return several
    called_label = plain_name(column) in LABEL or is_label_name(column) or is_tags_name(column)
    with_point = bool(style.unit) or not all(map(is_whole, numbers))
    different = set(numbers)
    if called_label:
        if with_point and len(different) > _MANY and len(different) * 2 > len(cells) and \
                not all(map(_is_whole_float, numbers)):
            raise DataError(f"{rows.file}: column {column!r} is called like a label and holds {len(different):,} "
                            f"different numbers with a decimal sign or unit in {count(len(cells), 'line')}: say "
                            "data.kind=numbers for a quantity, or data.kind=label")
        return CellReading("label", f"the column is called {column!r}" + (", and each cell holds one" if
                                                                      is_tags_name(column) else ""))
    if len(numbers) * 2 > len(cells):
        if with_point and not (different <= {"0.0", "1.0"} and len(numbers) == len(cells)):
            written = style.in_words() or "some with a decimal point"
            return CellReading("numbers", f"most cells are numbers, {written}")
        if len(different) > _MANY:
            return CellReading("numbers", f"whole numbers of {len(different)} different values, more than {_MANY}")
    return _label_of_texts(rows, column, cells, numbers=len(numbers))


def _tags_by_rule(column: str, cells: Sequence[str], settings: CellSettings, *, numbers: bool) -> CellReading | None:
    """Tags, where a column holds them; `numbers`: whether most of its cells are numbers."""
    called_several = is_tags_name(column)
    given = settings.delimiter
    delimiter = given if given is not None and (called_several or any(given in cell for cell in cells)) else None
    if delimiter is None and (called_several or not numbers):
        delimiter = guess_delimiter(cells, called_several=called_several)
    divided_by = f"{'data.delimiter is' if delimiter == given else 'guessed: its cells are divided by'} " \
        f"{delimiter_in_words(delimiter)}" if delimiter is not None else ""
    without = called_several and any(not cell.strip(SIGNS) for cell in cells)    # some cells say that there are none
    if plain_name(column) != "tags" and delimiter is None and not without:
        return None
    called = f"the column is called {column!r}" if called_several else ""
    return CellReading("tags", ", ".join(filter(None, (called, divided_by))), delimiter or SIGNS)


def _label_of_texts(rows: Rows, column: str, cells: Sequence[str], *, numbers: int) -> CellReading:
    """A label, for want of anything else; raises DataError where nearly every cell is another text."""
    different = len(set(cells))
    if numbers * 2 <= len(cells) and different > 2 * _MANY and different * 2 > len(cells):
        raise DataError(f"{rows.file}: column {column!r} holds {different:,} different texts in "
                        f"{count(len(cells), 'line')}, which are no labels: say which column is learned with "
                        "data.target, what separates several labels with data.delimiter, or data.kind=label")
    return CellReading("label", f"{different} different values")


def _kind_of_several(rows: Rows, columns: Sequence[str], settings: CellSettings) -> CellReading:
    if all(_flag(cell) is not None for name in columns for cell in rows.column(name) if cell):
        one_each = all(sum(_flag(cell) or 0 for cell in row) == 1
                       for row in zip(*map(rows.column, columns), strict=True))
        return CellReading("tags", f"{count(len(columns), 'column')} of 0 and 1" +
                       (", one of them 1 in each line, so that data.kind=label learns classes" if one_each else ""))
    for name in columns:
        if not holds_numbers(rows, name, settings.decimal):
            raise DataError(f"{rows.file} has several columns that could be learned ({', '.join(columns)}), and "
                            f"{name!r} does not hold numbers: say which one with data.target")
    return CellReading("numbers", f"{count(len(columns), 'column')} of numbers")


def _flag(cell: str) -> int | None:
    """1 or 0 as a cell says it, also as true or false; None where it says neither."""
    return 1 if cell.lower() in TRUE else 0 if cell.lower() in FALSE else None


def _is_whole_float(number: str) -> bool:
    return re.fullmatch(r"[+-]?\d+\.0*", number) is not None


def holds_numbers(rows: Rows, name: str, decimal: str | None = None) -> bool:
    """Whether at least half of a column's cells that are not empty are numbers."""
    cells = [cell for cell in rows.column(name) if cell.casefold() not in (*UNKNOWN, *_NO_NUMBER)]
    style = number_style(cells, separator=rows.separator, decimal=decimal)
    return bool(cells) and sum(style.number(cell) is not None for cell in cells) * 2 >= len(cells)


def value_of(rows: Rows, columns: Sequence[str], reading: CellReading, classes: Sequence[str] | None,
             settings: CellSettings) -> tuple[tuple[str, ...], Value, list[str]]:
    """The names of the classes or quantities, the stacked target, and what has to be said of them.

    `classes` fixes the names of classes. An empty cell of several columns is NaN. Raises DataError with the line of a
    cell that cannot be used, UserError for settings that do not fit.
    """
    kind = reading.kind
    if classes is not None and (len(set(classes)) < len(classes) or len(classes) < 2):
        raise UserError(f"data.classes={classes} must hold at least two names, none of them twice")
    if classes is not None and (kind == "numbers" or (kind == "tags" and len(columns) > 1)):
        raise UserError(f"data.classes has no meaning here, where the columns {', '.join(columns)} name the {kind}: "
                        "leave it out")
    if kind == "numbers":
        styles = [number_style(list(filter(None, rows.column(name))), separator=rows.separator,
                               decimal=settings.decimal) for name in columns]
        values = [_numbers(rows, name, style) for name, style in zip(columns, styles, strict=True)]
        notes = [_how_written(rows, name, style) for name, style in zip(columns, styles, strict=True)
                 if style.guessed or (len(columns) > 1 and style.in_words())]
        return tuple(columns), Numbers(torch.tensor(values).T.contiguous()), notes
    if len(columns) > 1 and kind == "tags":
        return tuple(columns), Tags(_flags(rows, columns)), []
    if len(columns) > 1:
        return _one_hot(rows, columns)
    if kind == "tags":
        names, tags = _tags(rows, columns[0], reading.delimiter, classes)
        return names, tags, alike(names, "the table")
    cells = rows.column(columns[0])
    if classes is None and all(map(_is_whole_float, cells)):    # as pandas writes whole numbers beside empty cells
        cells = [cell.partition(".")[0] for cell in cells]
    names = tuple(classes) if classes is not None else ordered(set(cells))
    index = {name: i for i, name in enumerate(names)}
    if classes is not None:    # 1.0 is the class 1
        cells = [cell if cell in index or not _is_whole_float(cell) else cell.partition(".")[0] for cell in cells]
    for cell, line in zip(cells, rows.lines, strict=True):
        if cell not in index:
            raise _not_in_classes(rows, line, "label", cell, names)
    label = Label(torch.tensor([index[cell] for cell in cells], dtype=torch.int64))
    return names, label, alike(names, "the table", Counter(cells))


def _not_in_classes(rows: Rows, line: int, what: str, cell: str, names: Sequence[str]) -> DataError:
    accepted = ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
    return DataError(f"{rows.file}, line {line}: {what} {cell!r} is not in data.classes.{nearest(cell, names)} "
                     f"Accepted: {accepted}.")


def _numbers(rows: Rows, name: str, style: NumberStyle) -> list[float]:
    """The numbers of a column, NaN where a cell is empty; raises DataError for a cell that float32 cannot hold."""
    numbers = []
    for cell, line in zip(rows.column(name), rows.lines, strict=True):
        text = style.number(cell)
        value = math.nan if text is None else float(text)
        if cell and not abs(value) <= torch.finfo(torch.float32).max:
            like = "12 or 0,5" if style.decimal == "," else "12 or 0.5"
            raise DataError(f"{rows.file}, line {line}: column {name!r} holds {cell!r}, which is not a finite number "
                            f"(such as {like})" + (f", in {style.unit} as the others" if style.unit else ""))
        numbers.append(value)
    return numbers


def _how_written(rows: Rows, name: str, style: NumberStyle) -> str:
    """How the numbers of a column are written, and what was guessed of it."""
    if not style.guessed:
        return f"{name!r} is {style.in_words()}"
    example = next(cell for cell in rows.column(name) if "," in cell and style.number(cell) is not None)
    return f"{name!r}: guessed that {example} is {style.number(example)}; data.decimal settles it, as '.' or ','"


def _flags(rows: Rows, columns: Sequence[str]) -> torch.Tensor:
    """float [rows, columns]: 0 or 1, NaN where a cell is empty; raises DataError."""
    flags = torch.full((len(rows.cells), len(columns)), torch.nan)
    for at, name in enumerate(columns):
        for row, (cell, line) in enumerate(zip(rows.column(name), rows.lines, strict=True)):
            flag = _flag(cell)
            if flag is None and cell:
                raise DataError(f"{rows.file}, line {line}: column {name!r} holds {cell!r}; a column for a tag "
                                "holds 0 or 1")
            if flag is not None:
                flags[row, at] = flag
    return flags


def _one_hot(rows: Rows, columns: Sequence[str]) -> tuple[tuple[str, ...], Value, list[str]]:
    """The class of each row by a column for each, of which one is 1; raises UserError where they are not that."""
    several = f"a label is one column, or several of 0 and 1 with one 1 in each line, and data.target has " \
        f"{len(columns)} ({', '.join(columns)})"
    for *cells, line in zip(*map(rows.column, columns), rows.lines, strict=True):
        flags = [_flag(cell) for cell in cells]
        if None in flags or flags.count(1) != 1:
            raise UserError(f"{several}: name one; in line {line} they hold {', '.join(cells)[:80]}")
    return tuple(columns), Label(_flags(rows, columns).argmax(1)), []


def _tags(rows: Rows, column: str, delimiter: str, classes: Sequence[str] | None) -> tuple[tuple[str, ...], Tags]:
    """The names of the tags, and which of them each row has, in a column that lists them."""
    cells = [labels_of(cell, delimiter) for cell in rows.column(column)]
    names = tuple(classes) if classes is not None else ordered({tag for tags in cells for tag in tags})
    if not names:
        raise DataError(f"{rows.file}: column {column!r} has no tag in any line")
    index = {name: i for i, name in enumerate(names)}
    present = torch.zeros(len(cells), len(names))
    for row, (tags, line) in enumerate(zip(cells, rows.lines, strict=True)):
        for tag in tags:
            if tag not in index:
                raise _not_in_classes(rows, line, "tag", tag, names)
            present[row, index[tag]] = 1
    return names, Tags(present)
