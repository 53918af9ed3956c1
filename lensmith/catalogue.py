"""What there is to choose from, the runs there are, and the layers of any network by its name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from lensmith import recipe as recipes
from lensmith.api import load
from lensmith.base.errors import DataError, UserError, choose
from lensmith.data import DATASETS
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.schedule import SCHEDULES
from lensmith.models import BACKBONES, find_backbone
from lensmith.models.network import Network
from lensmith.models.outside import find_module
from lensmith.study.inspect import Row, Summary, inspect, summary
from lensmith.tasks import TASKS

_SIDE = 224    # pixels: the picture a network is shown where none is named, ImageNet's


def entries(what: str, *, runs: Path = Path("runs")) -> list[dict[str, Any]]:
    """One row for each entry of a table, or each run folder under `runs`."""
    tables: dict[str, dict[str, Any]] = {"backbones": BACKBONES, "tasks": TASKS, "optimizers": OPTIMIZERS,
                                         "schedules": SCHEDULES}
    if what == "runs":
        return _runs(runs)
    if what == "data":
        return [{"name": name, "here": _whereabouts(name)} for name in DATASETS]
    table = choose({**tables, "data": {}, "runs": {}}, what, "list")
    return [{"name": name, "what": _first_sentence(entry)} for name, entry in table.items()]


def _whereabouts(name: str) -> str | None:
    """The folder that a data set lies in on this machine; None where it is not there."""
    entry = DATASETS[name]
    if any(parameter.default is parameter.empty for parameter in signature(entry).parameters.values()):
        return "give a path"
    try:
        return str(entry().account.get("folder", "drawn"))
    except DataError:
        return None


def _first_sentence(entry: Any) -> str:
    while hasattr(entry, "func"):    # functools.partial
        entry = entry.func
    text = " ".join((entry.__doc__ or "").split())
    return text.split(". ")[0].rstrip(".")


def _runs(folder: Path) -> list[dict[str, Any]]:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name the one that holds your runs with --runs")
    rows = []
    for path in sorted(folder.glob("*/recipe.toml")):
        try:
            facts = json.loads((path.parent / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            facts = {}
        rows.append({"run": str(path.parent), "status": facts.get("status", "unknown"),
                     "epochs": facts.get("epochs"), "score_name": facts.get("score_name"),
                     "score": facts.get("score"), "seconds": facts.get("seconds")})
    return rows


@dataclass(frozen=True)
class Layers:
    """The layer table of one network for one size of picture."""

    rows: list[Row]
    totals: Summary


def layers(name: str, settings: Sequence[str] = (), *, size: int | None = None, channels: int | None = None,
           classes: int = 10, trusted: bool = True) -> Layers:
    """The layers of a network of the tables, of `my_net.py:Net`, or of a run folder, whose own size is the default."""
    if (Path(name) / "recipe.toml").is_file():
        trained = load(name, device="cpu", trust=trusted)
        form = trained.form
        rows = inspect(trained.network, channels or form.channels, height=size or form.height,
                       width=size or form.width)
        return Layers(rows, summary(rows))
    place, _, _ = name.rpartition(":")
    outside = bool(place) and place != "timm"
    # A module that does not fit is what one wants to see layer by layer, so nothing is asked of it here.
    entry: Any = find_module(name, trusted=True) if outside else find_backbone(name, trusted=True)
    given = recipes.override({}, [f"backbone.{item}" for item in settings], ("backbone",)).get("backbone", {})
    section = recipes.settle(given, entry, f"backbone {name!r}", given=("inputs", "size", "outputs"))
    edge, depth = size or _SIDE, channels or 3
    backbone = recipes.call(section, entry, inputs=depth, size=(edge, edge), outputs=classes)
    network = backbone if outside else \
        Network(backbone, backbone.classifier(classes), mean=[0.0] * depth, deviation=[1.0] * depth)
    rows = inspect(network, depth, height=edge, width=edge)
    return Layers(rows, summary(rows))
