"""How a run went: the candidates that were timed, the weights that were taken, what to change where it waited."""

from collections.abc import Mapping, Sequence
from typing import Any

from lensmith.engine.learner import Report

_ROWS = 100      # tensors that the report names; weights.json has them all
WAITING = 0.1    # fraction of an epoch's time above which waiting for pictures is worth a word


def advice(report: Report, kept: str, augment: Mapping[str, Any]) -> str:
    """What to change where an epoch waited too long for its pictures; empty where it did not.

    `kept` says where decoded pictures are: in "memory", in a "file" of the cache, or "not" at all. `augment` is the
    recipe's section.
    """
    if report.waited is None or report.waited <= WAITING:
        return ""
    wait = f"epoch {report.epoch} waited {report.waited:.0%} of its time for pictures"
    if kept == "not":
        return (f"{wait}, which are decoded anew each epoch: let them be kept (loading.memory, loading.disk), take "
                "more loading.workers, or smaller pictures with pictures.size")
    if report.epoch == 1:
        return f"{wait}, which were decoded meanwhile; they are kept, and the next epochs take them as they are"
    if kept == "file":
        return f"{wait}, which come from the disk: a larger share of the memory (loading.memory) may hold them"
    costly = [name for name in ("mosaic", "zoom", "resized_crop", "rotate", "hue", "saturation", "contrast",
                                "brightness", "erase", "mixup", "cutmix", "crop_padding") if augment.get(name)]
    if costly:
        return f"{wait}, perhaps for their augmentation: see what it takes without augment.{', augment.'.join(costly)}"
    return f"{wait}: other work on this machine, or a network so small that no batch comes faster; try a larger "\
        "loading.batch"


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
