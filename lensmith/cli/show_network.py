"""A network as `inspect` shows it: a line a layer that fits a terminal, the sums, and what is wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lensmith.base.progress import duration
from lensmith.cli.terminal import print_table, show

if TYPE_CHECKING:
    from lensmith.study.inspect.layers import Inspection, Row

_WIDTH = 100    # characters of a line
_LEAST = 12     # characters of a layer's name that are left of it at least
_UNITS = (("G", 1e9), ("M", 1e6), ("k", 1e3))


def show_operator(operator: Any) -> None:
    """What the checks of an operator say, and the lines that mend it."""
    show(operator.schema)
    print_table(("check", "result", "what"), [(check.name, check.result, check.words) for check in operator.checks])
    for check in operator.checks:
        if check.lines:
            for line in ("", f"{check.name}: write", "", *check.lines.splitlines()):
                show(line)


def show_layers(inspection: "Inspection") -> None:
    """The layers of a network, one a line, and their sums. Numbers are rounded; `--json` has them whole."""
    rows, totals = inspection.rows, inspection.totals
    columns = _columns(rows)
    taken = sum(max(map(len, (name, *cells))) + 2 for name, cells in columns.items())
    names = [_shortened(row.name, max(_LEAST, _WIDTH - taken)) for row in rows]
    print_table(("layer", *columns), zip(names, *columns.values(), strict=True))
    kept = "" if totals.kept_bytes is None else f", {totals.kept_bytes / 1e6:,.2f} MB kept where it learns"
    show(f"{totals.parameters:,} parameters ({4 * totals.parameters / 1e6:,.2f} MB), "
         f"{totals.multiply_adds / 1e6:,.2f} million multiply-adds, "
         f"{totals.activation_bytes / 1e6:,.2f} MB of activations for one picture{kept}")
    if totals.seconds is not None:
        show(f"{1000 * totals.seconds:,.2f} ms a picture on this machine ({duration(totals.seconds * 1000)} for 1,000 "
             "one by one)")


def show_faults(inspection: "Inspection") -> None:
    """What is wrong, a line each, but for the gravest, which ends the command."""
    shown = inspection.faults[1:] if inspection.totals.problem else inspection.faults
    for fault in shown:
        show(f"{'wrong' if fault.grave else 'note'}: {fault.sentence()}")


def _columns(rows: list["Row"]) -> dict[str, list[str]]:
    """The cells by column; a column that says nothing of any layer is left out."""
    files = {row.line.rpartition(":")[0] for row in rows if row.line}
    columns = {
        "kind": [row.kind for row in rows],
        "output": ["fails" if row.problem else " x ".join(map(str, row.shape)) or "-" for row in rows],
        "params": [_number(row.parameters) for row in rows],
        "mul-adds": [_number(row.multiply_adds) for row in rows],
        "memory": [_number(row.activation_bytes, "B") for row in rows],
        "kept": ["-" if row.kept_bytes is None else _number(row.kept_bytes, "B") for row in rows],
        "field": ["-" if row.receptive_field is None else str(row.receptive_field) for row in rows],
        "time": ["-" if row.share is None else f"{100 * row.share:.1f} %" for row in rows],
        "line": [_line(row.line, alone=len(files) == 1) for row in rows],
    }
    return {name: cells for name, cells in columns.items()
            if name not in ("kept", "time", "line") or set(cells) != {"-"}}


def _line(place: str, *, alone: bool) -> str:
    """`14`, where all lines are of one file, else `my_net.py:14`."""
    file, _, number = place.rpartition(":")
    return (number if alone else f"{Path(file).name}:{number}") if place else "-"


def _number(value: int, unit: str = "") -> str:
    """`30.8k`, `0`, `1.20M`: three figures."""
    for prefix, size in _UNITS:
        if value >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{prefix}{unit}"
    return f"{value}{unit}" if value else "0"


def _shortened(name: str, width: int) -> str:
    """The name, without its beginning where it is too long: its end says which layer it is."""
    return name if len(name) <= width else f"…{name[1 - width:]}"
