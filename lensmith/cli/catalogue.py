"""What there is to choose from: the entries of each table, the data sets and where they lie, and the runs there are."""

import re
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, choose
from lensmith.data.formats import FORMATS
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.run_folder import Run
from lensmith.engine.schedule import SCHEDULES
from lensmith.models.adapters.torchvision_classifiers import TORCHVISION
from lensmith.models.adapters.torchvision_detectors import WHOLE
from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS
from lensmith.models.backbones import BACKBONES
from lensmith.rl.algorithms import ALGORITHMS
from lensmith.rl.worlds import WORLDS
from lensmith.tasks import TASKS


def entries(what: str, *, runs: Path = Path("runs")) -> list[dict[str, Any]]:
    """One row for each entry of a table, or each run folder under `runs`."""
    tables: dict[str, dict[str, Any]] = {"backbones": BACKBONES, "tasks": TASKS, "optimizers": OPTIMIZERS,
                                         "schedules": SCHEDULES, "worlds": WORLDS, "algorithms": ALGORITHMS}
    if what == "runs":
        return _runs(runs)
    if what == "data":
        return [{"name": name, "here": _folder_of(name)} for name in FORMATS]
    table = choose({**tables, "data": {}, "runs": {}}, what, "list")
    return [{"name": name, "what": _first_sentence(name, entry)} for name, entry in table.items()]


def _folder_of(name: str) -> str | None:
    """The folder that a data set lies in on this machine; None where it is not there. Nothing of it is read."""
    entry = FORMATS[name]
    if entry.needs:
        return "give a path" if "path" in entry.needs else f"give {entry.needs[0]}"
    if entry.find is None:
        return "drawn"
    try:
        return str(entry.find(name))
    except DataError:
        return None


def _first_sentence(name: str, entry: Any) -> str:
    if any(name in table for table in (TORCHVISION, WHOLE, WHOLE_INSTANCES, SEGMENTERS)):
        return f"torchvision's {name}"
    text = " ".join((entry.__doc__ or "").split())
    # The first sentence; "et al. 1998" and "et al. Nature" do not end one.
    return re.split(r"(?<!al)\. (?=[A-Z`])", text)[0].rstrip(".")


def _runs(folder: Path) -> list[dict[str, Any]]:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name the one that holds your runs with --runs")
    rows = []
    for path in sorted(folder.glob("*/recipe.toml")):
        facts = _facts(path.parent / "run.json")
        rows.append({"run": str(path.parent), "status": facts.get("status", "unknown"),
                     "epochs": facts.get("epochs"), "score_name": facts.get("score_name"),
                     "score": facts.get("score"), "seconds": facts.get("seconds")})
    return rows


def _facts(path: Path) -> dict[str, Any]:
    """What run.json says; nothing where there is none yet, the status "damaged" where it cannot be understood."""
    try:
        return Run(path.parent).facts(path.name)
    except UserError:
        return {"status": "damaged"}
