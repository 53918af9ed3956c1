"""What a compression cost and gained, as the cells of two tables, from what compress.json has."""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("", "score", "95 %", "difference", "file MB", "parameters", "multiply-adds",
           "answers differ by")
LATENCY_COLUMNS = ("one picture", "runtime", "p50 ms", "p95 ms", "times as fast", "memory MB")


def compression(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the report shows of a compress.json; None where nothing was measured.

    -> {"title", "tables": [(columns, rows of cells)], "remarks"}
    """
    rows = content.get("rows") or []
    if not rows:
        return None
    return {"title": f"{content.get('score') or 'score'} on {content.get('split') or 'the held-out pictures'}",
            "tables": [(COLUMNS, score_cells(rows)), (LATENCY_COLUMNS, latency_cells(rows))],
            "remarks": [f"{row.get('name')}: {remark}" for row in rows for remark in row.get("remarks") or ()]}


def score_cells(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows, as compress.json has them, in the columns COLUMNS."""
    return [(str(row.get("name")), _number(row.get("score"), "{:.4f}"), _between(row.get("interval")),
             _difference(row.get("difference")), _number(row.get("file"), "{:.2f}", 1e-6),
             _number(row.get("parameters"), "{:,}"), _number(row.get("multiply_adds"), "{:,}"),
             _number(row.get("outputs_differ"), "{:.2g}")) for row in rows]


def latency_cells(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """(name, runtime, p50 ms, p95 ms, times as fast as the first row, memory MB) of each row and runtime."""
    first = rows[0].get("latency") or {} if rows else {}
    return [(str(row.get("name")), runtime, f"{1e3 * latency['p50']:.2f}", f"{1e3 * latency['p95']:.2f}",
             f"{first[runtime]['p50'] / latency['p50']:.2f}" if runtime in first and latency["p50"] else "-",
             _number(row.get("memory") if runtime == "torch" else (row.get("memory_in") or {}).get(runtime), "{:.1f}",
                     1e-6))
            for row in rows for runtime, latency in (row.get("latency") or {}).items()]


def _number(value: Any, form: str, factor: float = 1) -> str:
    return "-" if value is None else form.format(value * factor if factor != 1 else value)


def _between(ends: Any) -> str:
    return "-" if not ends else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _difference(difference: Any) -> str:
    if not difference:
        return "-"
    if difference.get("low") is None:
        return f"{difference['value']:+.4f}"
    return f"{difference['value']:+.4f} ({difference['low']:+.4f} to {difference['high']:+.4f})"
