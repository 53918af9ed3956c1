"""How a run ran: the plan with every candidate that was timed, and what to change where it waited for pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from lensmith.engine.learner import Report

_ROWS = 100      # tensors that the report names; weights.json has them all
WAITING = 0.1    # share of an epoch's time from which waiting is worth a word


def advice(report: Report, kept: str, augment: Mapping[str, Any]) -> str:
    """What to change where an epoch waited for its pictures too long; empty where it did not. `kept` is where decoded
    pictures are: in "memory", in a "file" of the cache, or "not" at all; `augment` the recipe's section."""
    if report.waited is None or report.waited <= WAITING:
        return ""
    told = f"epoch {report.epoch} waited {report.waited:.0%} of its time for pictures"
    if kept == "not":
        return (f"{told}, which are decoded anew each epoch: let them be kept (loading.memory, loading.disk), take "
                "more loading.workers, or smaller pictures with pictures.size")
    if report.epoch == 1:
        return f"{told}, which were decoded meanwhile; they are kept, and the next epochs take them as they are"
    if kept == "file":
        return f"{told}, which come from the disk: a larger share of the memory (loading.memory) may hold them"
    taking = [name for name in ("mosaic", "zoom", "resized_crop", "rotate", "hue", "saturation", "contrast",
                                "brightness", "erase", "mixup", "cutmix", "crop_padding") if augment.get(name)]
    if taking:
        return f"{told}, perhaps for their augmentation: see what it takes without augment.{', augment.'.join(taking)}"
    return f"{told}: other work on this machine, or a network so small that no batch comes faster; try a larger "\
        "loading.batch"


def candidates(plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(how, milliseconds, what became of it) of every candidate in a plan.json, the chosen one first."""
    rows = []
    for row in plan.get("timings") or ():
        if not isinstance(row, Mapping):
            continue
        words = [str(row.get("precision")), str(row.get("layout")), f"threads {row.get('threads')}"]
        words += ["compiled"] * bool(row.get("compiled"))
        words += [str(one).replace("_", " ") for one in _listed(row.get("rewrites"))]
        found = row.get("milliseconds")
        shown = f"{found:.2f}" if isinstance(found, int | float) else "–"
        rows.append((", ".join(words), shown, str(row.get("verdict"))))
    return rows


def fitting(weights: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a weights.json says: its notes, and a row for each tensor that was not simply taken; None where there is
    none. -> {"notes": [...], "rows": [(tensor, shape, shape in the file, what became of it)], "more": number}"""
    if not weights:
        return None
    rows = [row for row in _listed(weights.get("tensors")) if isinstance(row, Mapping) and row.get("became") != "taken"]
    shown = [(str(row.get("tensor") or row.get("in_file")), str(row.get("shape") or "–"),
              str(row.get("shape_in_file") or "–"), str(row.get("became"))) for row in rows[:_ROWS]]
    return {"notes": [str(note) for note in _listed(weights.get("notes"))], "rows": shown,
            "more": len(rows) - len(shown)}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
