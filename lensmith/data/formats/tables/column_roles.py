"""Which columns of a table are to be learned, and which are set aside, each with its reason."""

import re
from collections.abc import Mapping, Sequence

from lensmith.base.errors import DataError
from lensmith.data.formats.tables.column_kinds import LABEL, TAGS, UNKNOWN, holds_numbers, is_label_name
from lensmith.data.formats.tables.number_cells import is_whole
from lensmith.data.formats.tables.read_table import Rows, names_pictures, plain_name

_INDEX = re.compile(r"(unnamed_\d+)*|(row_?)?(index|idx|id|no|nr|number|num)|row|#|level_\d+|uuid|guid")
_GROUPS = 5   # different identifiers, which half as many rows have: they are of people or places, and no class
_LEAST = 3    # rows: fewer do not show that a column counts them


def set_aside(rows: Rows, free: Sequence[str]) -> dict[str, str]:
    """The columns among `free` that are no target unless data.target names them, each with the reason in words."""
    reasons = {}
    for name in free:
        cells = rows.column(name)
        if plain_name(name) in (*LABEL, *TAGS):
            continue
        if _INDEX.fullmatch(plain_name(name)):
            reasons[name] = "an index"
        elif _counts_the_rows(cells):
            reasons[name] = f"it counts the lines from {cells[0]}"
        elif plain_name(name).endswith("_id") and len(cells) >= _LEAST and len(set(cells)) == len(cells):
            reasons[name] = "an identifier, another in each line"
        elif plain_name(name).endswith("_id") and not is_label_name(name) and len(set(cells)) >= _GROUPS and \
                2 * len(set(cells)) >= len(cells):
            reasons[name] = f"an identifier, {len(set(cells))} in {len(cells)} lines; called group it keeps their " \
                "pictures in one split"
        elif plain_name(name) != "mask" and names_pictures(rows, name):
            reasons[name] = "it names files"
        elif len(cells) >= _LEAST and len(set(cells)) == 1 and not holds_numbers(rows, name):
            reasons[name] = f"every line holds {cells[0][:40]!r}" if cells[0] else "it is empty"
        elif all(cell.casefold() in UNKNOWN for cell in cells):
            reasons[name] = "it is empty"
    return reasons


def _counts_the_rows(cells: Sequence[str]) -> bool:
    """Whether a column holds 0, 1, 2 ... or 1, 2, 3 ... from the first row to the last."""
    return len(cells) >= _LEAST and all(map(is_whole, cells[:_LEAST])) and \
        (list(cells) == list(map(str, range(len(cells)))) or list(cells) == list(map(str, range(1, len(cells) + 1))))


def columns_to_learn(rows: Rows, free: Sequence[str], aside: Mapping[str, str]) -> list[str]:
    """The columns of `free` that are learned where data.target names none: the one that is called after labels, else
    all that are not set `aside`. Raises DataError where nothing is left."""
    columns = [name for name in free if name not in aside]
    if not columns and aside:
        name, reason = next(iter(aside.items()))
        raise DataError(f"{rows.file} has no column to learn: {', '.join(map(repr, aside))} "
                        f"{'is' if len(aside) == 1 else 'are'} set aside ({name!r}: {reason}). Where one is a target "
                        f"all the same, name it, as data.target={name!r}")
    if not columns:
        raise DataError(f"{rows.file} has no column to learn beside {', '.join(rows.header)}: a column label, tags, or "
                        "numbers is expected")
    named = [name for name in columns if plain_name(name) in (*LABEL, *TAGS)] or list(filter(is_label_name, columns))
    if len(named) > 1:
        named = _one_of_the_same(rows, named)
    return named if len(named) == 1 else columns


def _one_of_the_same(rows: Rows, names: list[str]) -> list[str]:
    """Of columns that say the same in other words, as the number and the name of a class, the one with the names."""
    ordered = sorted(names, key=lambda name: holds_numbers(rows, name))
    first = rows.column(ordered[0])
    for other in ordered[1:]:
        pairs = set(zip(first, rows.column(other), strict=True))
        if not len(pairs) == len(set(first)) == len(set(rows.column(other))):
            return names
    return ordered[:1]
