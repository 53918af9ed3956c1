"""Which columns of a table hold what a trained network predicts, where it is measured on the table."""

from collections.abc import Sequence

from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.tables.column_kinds import LABEL, UNKNOWN, Kind
from lensmith.data.formats.tables.read_table import Rows, plain_name
from lensmith.values import OBJECTS


def known_target(rows: Rows, free: Sequence[str], known: KnownClasses) -> tuple[list[str] | None, Kind]:
    """The columns among `free` and the kind of what a network knows, as data.target and data.kind; None and "auto"
    where the table says it as any other.

    The columns are those that are called as its quantities, tags or targets, else the only one, or that which is called
    label, in which every cell is one of its classes. Five ages of a network that learned ages are no label, though
    whole numbers of few values are one elsewhere, and a column with one class in every line is no constant.
    """
    if len(known.classes) > 1:
        return (list(known.classes) if set(known.classes) <= set(free) else None), "auto"
    (target, names), = known.classes.items()
    if target in ("numbers", "tags", "label") and set(names) <= set(free):    # a column each
        return list(names), target    # type: ignore[return-value]
    if target in ("numbers", "tags"):
        return None, target    # type: ignore[return-value]
    if target != "label" and target not in OBJECTS:
        return None, "auto"
    kind: Kind = "label" if target == "label" else "boxes"
    columns = [name for name in free if _holds_only(rows.column(name), names)]
    called = [name for name in columns if plain_name(name) in LABEL]
    chosen = called or columns
    return (chosen, kind) if len(chosen) == 1 else (None, "auto")


def _holds_only(cells: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether every cell that is filled is one of the classes, and any is."""
    filled = {cell for cell in cells if cell in classes or cell.casefold() not in UNKNOWN}
    return bool(filled) and filled <= set(classes)
