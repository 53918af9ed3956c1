"""What there is to choose from, the runs there are, and the layers of any network by its name."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, choose
from lensmith.data.formats import FORMATS
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.schedule import SCHEDULES
from lensmith.models.adapters.torchvision_classifiers import TORCHVISION
from lensmith.models.adapters.torchvision_detectors import WHOLE
from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS
from lensmith.models.adapters.user_code import constructor, find_attribute
from lensmith.models.backbones import BACKBONES, find_backbone
from lensmith.models.network import Network
from lensmith.recipe import schema as recipes
from lensmith.study.inspect.layers import Row, Summary, inspect, summary
from lensmith.study.inspect.operators import Operator, check_operator, is_operator
from lensmith.tasks import TASKS
from lensmith.training.trained import load

_SIDE = 224    # pixels: the picture a network is shown where none is named, ImageNet's


def entries(what: str, *, runs: Path = Path("runs")) -> list[dict[str, Any]]:
    """One row for each entry of a table, or each run folder under `runs`."""
    tables: dict[str, dict[str, Any]] = {"backbones": BACKBONES, "tasks": TASKS, "optimizers": OPTIMIZERS,
                                         "schedules": SCHEDULES}
    if what == "runs":
        return _runs(runs)
    if what == "data":
        return [{"name": name, "here": _whereabouts(name)} for name in FORMATS]
    table = choose({**tables, "data": {}, "runs": {}}, what, "list")
    return [{"name": name, "what": _what(name, entry)} for name, entry in table.items()]


def _whereabouts(name: str) -> str | None:
    """The folder that a data set lies in on this machine; None where it is not there. Nothing of it is read."""
    known = FORMATS[name]
    if known.needs:
        return "give a path" if "path" in known.needs else f"give {known.needs[0]}"
    if known.find is None:
        return "drawn"
    try:
        return str(known.find(name))
    except DataError:
        return None


def _what(name: str, entry: Any) -> str:
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
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        facts = None
    return facts if isinstance(facts, dict) else {"status": "damaged"}


@dataclass(frozen=True)
class Layers:
    """The layer table of one network for one size of picture."""

    rows: list[Row]
    totals: Summary


def layers(name: str, settings: Sequence[str] = (), *, size: int | None = None, channels: int | None = None,
           classes: int = 10, trusted: bool = True) -> Layers:
    """The layers of a network of the tables, of `my_net.py:Net`, or of a run folder, whose own size is the default."""
    found = inspected(name, settings, size=size, channels=channels, classes=classes, trusted=trusted)
    if isinstance(found, Operator):
        raise UserError(f"{name} is an operator, which has no layers: `lensmith inspect {name}` checks it")
    return found


def inspected(name: str, settings: Sequence[str] = (), *, size: int | None = None, channels: int | None = None,
              classes: int = 10, trusted: bool = True) -> Layers | Operator:
    """As `layers`, and where `my_op.py:op` names an operator of torch.library, what its checks found."""
    if (Path(name) / "recipe.toml").is_file():
        if settings:
            raise UserError(f"{name} is a run folder, whose network is as it was trained: leave {settings[0]!r} out, "
                            "or name a network instead")
        trained = load(name, device="cpu", trust=trusted)
        form = trained.form
        rows = inspect(trained.network, channels or form.channels, height=size or form.height,
                       width=size or form.width)
        return Layers(rows, summary(rows))
    place, _, _ = name.rpartition(":")
    outside = bool(place) and place not in ("timm", "smp")
    entry: Any
    if outside:
        module, found = find_attribute(name, trusted=True)
        if is_operator(found):
            if settings:
                raise UserError(f"{name} is an operator, which has no settings: leave {settings[0]!r} out")
            return check_operator(found, module, place)
        # A module that does not fit is what one wants to see layer by layer, so nothing is asked of it here.
        entry = constructor(found, name)
    else:
        entry = find_backbone(name, trusted=True)
    items = [f"backbone.{item.removeprefix('backbone.')}" for item in settings]
    given = recipes.override({}, items, ("backbone",)).get("backbone", {})
    section = recipes.settle(given, entry, f"backbone {name!r}", given=("inputs", "size", "outputs"))
    edge, depth = size or _SIDE, channels or 3
    backbone = recipes.call(section, entry, inputs=depth, size=(edge, edge), outputs=classes)
    network = backbone if outside else \
        Network(backbone, _head(backbone, classes), mean=[0.0] * depth, deviation=[1.0] * depth)
    rows = inspect(network, depth, height=edge, width=edge)
    return Layers(rows, summary(rows))


def _head(backbone: Any, classes: int) -> Any:
    """That of the task which a network that comes whole is for; of a backbone the one that tells classes apart."""
    # A network for masks refuses boxes by a `detector` of its own.
    task = next((one for given, one in (("instance_detector", "instances"), ("segmenter", "segmentation"),
                                        ("detector", "detection")) if hasattr(backbone, given)), None)
    if task is None:
        return backbone.classifier(classes)
    return TASKS[task](tuple(f"class {number}" for number in range(classes))).head(backbone)
