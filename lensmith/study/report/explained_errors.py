"""What the network looked at in its worst errors, as `lensmith explain RUN` has left it in the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lensmith.base.html_page import jpeg_data
from lensmith.base.picture_errors import BadPicture
from lensmith.base.viewing import open_viewable
from lensmith.engine.run_folder import EXPLAINED, EXPLANATIONS, Run

_SHOWN = 60           # maps on the page
_EDGE = 384           # pixels: the longer edge of a map there
_LARGEST = 256 << 20  # bytes of the file of a map, which has the size of its picture


def errors_looked_into(run: Run, metrics: Mapping[str, Any], best_epoch: object) -> dict[str, Any] | None:
    """The section of the report; None where nothing was explained. `best_epoch` is that of the weights which the run
    has now. A map whose file is missing, damaged or outside the folder has no picture."""
    facts = run.facts(EXPLANATIONS)
    rows = facts.get("explanations", [])
    if not rows:
        return None
    worst = [row for measured in metrics.values() if measured for row in measured.get("worst") or ()]
    others = facts.get("best_epoch") != best_epoch
    return {
        "rows": [{**row, "data": _drawn(run.folder / EXPLAINED, row["picture"]), "truth": _truth(row["file"], worst),
                  "name": Path(row["file"]).name} for row in rows[:_SHOWN]],
        "more": max(0, len(rows) - _SHOWN),
        "others": f"They are of the weights after epoch {facts.get('best_epoch')}, and the best are those after epoch "
                  f"{best_epoch} by now:" if others else "",
    }


def _truth(file: str, worst: Sequence[Mapping[str, Any]]) -> str:
    """What is true of a picture, as the gallery of errors says it; empty where it is not in it any more."""
    return next((str(row["truth"]) for row in worst if file == row["file"] or file.endswith(f"/{row['file']}")), "")


def _drawn(folder: Path, name: str) -> str:
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve()) and path.suffix == ".png" and path.is_file()
        return jpeg_data(open_viewable(path, least=1, most=_EDGE)) \
            if inside and path.stat().st_size <= _LARGEST else ""
    except (BadPicture, OSError, ValueError):    # a name may be too long, or have a NUL
        return ""
