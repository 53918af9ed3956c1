"""A trained network's answers explained: of pictures that are named, or of the worst errors of its report."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from lensmith.base.cache_folder import cache_folder, keep_text
from lensmith.base.errors import UserError
from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import Run
from lensmith.models.network import Network
from lensmith.models.weights import weights_fingerprint
from lensmith.ship.predict.predict_files import read_picture
from lensmith.ship.predict.thresholds import deciding
from lensmith.study.explain.explained_picture import ExplainedPicture, ToExplain, check_asked, explain_picture
from lensmith.tasks.task import Task

WORST = 6    # errors of the report that are explained


def explain_pictures(network: nn.Module, task: Task, pictures: Sequence[Path | Image.Image], asked: ToExplain, *,
                     form: Form, plan: Plan, names: Mapping[str, Sequence[str]],
                     tell: Callable[[str], object] = lambda text: None) -> Iterator[ExplainedPicture]:
    """Each picture that can be read, explained; `tell` is called with a line on one that cannot.

    Raises UserError for a network that came as a file, and for a method, layer or class that cannot be explained.
    """
    check_asked(asked)
    if not isinstance(network, Network):
        raise UserError("the layers of a file cannot be looked into: explain the run folder that it was exported from")
    plan.settle()
    task = deciding(task, threshold=None, overlap=None)
    kept = cache_folder() / "explain" / f"{weights_fingerprint(network)}.json"
    asked = replace(asked, likeness=_read(kept))
    before = len(asked.likeness)
    for number, source in enumerate(pictures):
        name = f"picture {number}" if isinstance(source, Image.Image) else str(source)
        try:
            image, place = read_picture(source, form, name)
        except BadPicture as error:
            tell(f"{name} {error}")
            continue
        yield explain_picture(network, task, image.to(plan.device), place, names=names, asked=asked, source=source)
        if len(asked.likeness) > before:
            before = len(asked.likeness)
            keep_text(kept, json.dumps(asked.likeness) + "\n")


def _read(kept: Path) -> dict[str, float]:
    """What the test by random weights found of this network before; nothing where the file is not there or damaged."""
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def worst_pictures(run: Run, data: Path) -> list[Path]:
    """The files of the worst errors that the run's report shows, worst first, a few. `data` is the folder in which they
    are named. Raises UserError where there are none, or they are gone."""
    found: list[Path] = []
    metrics: dict[str, Any] = run.facts("metrics.json")
    for measured in (metrics.get("test"), metrics.get("valid")):
        rows = measured.get("worst") if isinstance(measured, dict) else None
        for row in rows or []:
            path = data / str(row.get("file", ""))
            if path.is_file() and path not in found:
                found.append(path)
    if not found:
        raise UserError(f"{run} lists no wrong answer whose picture is a file that is still there: name pictures, as "
                        f"lensmith explain {run} photos/*.jpg")
    return found[:WORST]
