"""Tables from which one target is learned: a label, tags or numbers, in one column or several of a kind."""

from collections.abc import Callable, Mapping, Sequence

from lensmith.base.errors import DataError
from lensmith.data.formats.given_splits import LISTED
from lensmith.data.formats.tables.column_kinds import (
    CellReading,
    CellSettings,
    Kind,
    decide_kind,
    is_tags_name,
    value_of,
    with_unknown_cells,
)
from lensmith.data.formats.tables.read_table import Rows, picture_column
from lensmith.data.formats.tables.repeated_pictures import account_of, one_row_each, refuse_contradictions
from lensmith.data.formats.tables.several_labels import SIGNS, guess_delimiter
from lensmith.data.formats.tables.several_targets import TableTargets


def read_one_target(rows: Rows, columns: list[str], kind: Kind, classes: list[str] | None,
                    settings: CellSettings) -> TableTargets:
    """The target in `columns`, without the rows that do not say it; `kind` is the setting data.kind. Raises DataError,
    UserError."""
    if len(columns) == 1 and (kind == "tags" or (kind == "auto" and is_tags_name(columns[0]))):
        # An empty cell of tags says that there are none, unlike one that says nan.
        rows = rows.with_column(columns[0], [cell or SIGNS[0] for cell in rows.column(columns[0])])
    rows = with_unknown_cells(rows, columns, settings, classes)
    known = _filled(rows, columns)
    if not known.cells:
        raise DataError(f"{rows.file}: column {columns[0]!r} is empty in every line: there is nothing to learn")
    reading = decide_kind(known, columns, settings) if kind == "auto" else _as_asked(known, columns, kind, settings)
    table = one_row_each(rows, group=rows.column_called("group"), join=joining(dict.fromkeys(columns, reading)))
    refuse_contradictions(table, columns)
    kept = _filled(table.rows, columns)
    names, value, notes = value_of(kept, columns, reading, classes, settings)
    picture = picture_column(rows)
    without = sorted(set(table.rows.column(picture)) - set(kept.column(picture)))
    account = {"target": columns, "kind": reading.kind, "kind_because": reading.rule, **account_of(table, columns)}
    if without:
        account["without_target"] = {"count": len(without), "pictures": without[:LISTED]}
    words = f"{reading.kind} from {', '.join(map(repr, columns))} ({reading.rule})"
    return TableTargets(kept, {reading.kind: value}, {reading.kind: names}, set(columns), account, words,
                        notes)


def _filled(rows: Rows, columns: Sequence[str]) -> Rows:
    """The rows of which some cell in `columns` is not empty."""
    return rows.take([i for i, cells in enumerate(zip(*map(rows.column, columns), strict=True)) if any(cells)])


def _as_asked(rows: Rows, columns: Sequence[str], kind: Kind, settings: CellSettings) -> CellReading:
    """How cells of the kind that data.kind names are read."""
    assert kind in ("label", "tags", "numbers")
    delimiter = settings.delimiter
    if delimiter is None and kind == "tags" and len(columns) == 1:
        delimiter = guess_delimiter(rows.column(columns[0]), called_several=True)
    return CellReading(kind, f"data.kind={kind}", delimiter or SIGNS)


def joining(readings: Mapping[str, CellReading]) -> Callable[[str, Sequence[str]], str | None]:
    """What `one_row_each` joins different cells of a column by: tags are listed, other values contradict each other."""
    def join(column: str, cells: Sequence[str]) -> str | None:
        reading = readings.get(column)
        return reading.delimiter[0].join(cells) if reading is not None and reading.kind == "tags" else None

    return join
