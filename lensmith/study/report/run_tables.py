"""How a run went, as tables: the candidates that were timed, and the weights that were taken."""

from collections.abc import Mapping, Sequence
from typing import Any

_ROWS = 100      # tensors that the report names; weights.json has them all


def candidates(plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(how, milliseconds, what became of it) of every candidate in a plan.json, the chosen one first."""
    rows = []
    for row in plan.get("timings") or ():
        if not isinstance(row, Mapping):
            continue
        words = [str(row.get("precision")), str(row.get("layout")), f"threads {row.get('threads')}"]
        words += ["compiled"] * bool(row.get("compiled"))
        words += [str(rewrite).replace("_", " ") for rewrite in _listed(row.get("rewrites"))]
        milliseconds = row.get("milliseconds")
        time = f"{milliseconds:.2f}" if isinstance(milliseconds, int | float) else "–"
        rows.append((", ".join(words), time, str(row.get("verdict"))))
    return rows


def fitting(weights: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a weights.json says: its notes, and a row for each tensor that was not simply taken; None where it is empty.

    -> {"notes": [...], "rows": [(tensor, shape, shape in the file, what became of it)], "more": rows left out}
    """
    if not weights:
        return None
    rows = [row for row in _listed(weights.get("tensors")) if isinstance(row, Mapping) and row.get("became") != "taken"]
    shown = [(str(row.get("tensor") or row.get("in_file")), str(row.get("shape") or "–"),
              str(row.get("shape_in_file") or "–"), str(row.get("became"))) for row in rows[:_ROWS]]
    return {"notes": [str(note) for note in _listed(weights.get("notes"))], "rows": shown,
            "more": len(rows) - len(shown)}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
