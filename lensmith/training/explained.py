"""A trained network's answers explained: of pictures that are named, or of the worst errors of its report."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from lensmith.base.errors import UserError
from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import Form
from lensmith.data.sources.fitting import boxes_of_files
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import Run
from lensmith.models.network import Network
from lensmith.recipe.open_data import Data
from lensmith.ship.predict.predict_files import read_picture
from lensmith.ship.predict.thresholds import deciding
from lensmith.study.explain.explained_picture import ExplainedPicture, Explainer, ToExplain, check_asked
from lensmith.study.explain.kept_likeness import KeptLikeness
from lensmith.study.explain.quick_forward import quick_forward
from lensmith.tasks.task import Task
from lensmith.values import OBJECTS, of_kind
from lensmith.values.boxes import Boxes

WORST = 6    # errors of the report that are explained


def make_explainer(network: nn.Module, task: Task, names: Mapping[str, Sequence[str]], asked: ToExplain, *,
                   plan: Plan) -> Explainer:
    """What explains a network's answers. Raises UserError for a network that came as a file, and for a method or a
    setting that there is not."""
    check_asked(asked)
    if not isinstance(network, Network):
        raise UserError("the layers of a file cannot be looked into: explain the run folder that it was exported from")
    return Explainer(network, deciding(task, threshold=None, overlap=None), names, asked, quick_forward(network, plan),
                     KeptLikeness.of(network))


def explain_pictures(explainer: Explainer, pictures: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
                     own_data: Callable[[], Data], tell: Callable[[str], object]) -> Iterator[ExplainedPicture]:
    """Each picture that can be read, explained; `tell` is called with a line on one that cannot.

    own_data: opens the data that the network learned from, of which come true boxes where they are asked for. Where it
        raises UserError, none are known.

    Raises UserError for a method, layer or class that cannot be explained.
    """
    plan.settle()
    truth: dict[str, dict[str, Boxes]] = {}
    if explainer.asked.check and explainer.task.objects:
        with suppress(UserError):    # the data have gone or changed, or there were none
            truth = boxes_of_pictures(own_data(), pictures)
    for number, source in enumerate(pictures):
        name = f"picture {number}" if isinstance(source, Image.Image) else str(source)
        try:
            image, place = read_picture(source, form, name)
        except BadPicture as error:
            tell(f"{name} {error}")
            continue
        yield explainer.explain(image.to(plan.device), place, source, truth.get(os.path.realpath(name), {}))


def boxes_of_pictures(data: Data, pictures: Sequence[Path | Image.Image]) -> dict[str, dict[str, Boxes]]:
    """The true boxes of those pictures that are files of a run's data, in the pixels of the files, by real path and
    target."""
    wanted = {os.path.realpath(picture) for picture in pictures if not isinstance(picture, Image.Image)}
    found: dict[str, dict[str, Boxes]] = {}
    for split, source in data.splits.items():
        if data.roots.get(split) is None:
            continue
        root = os.path.realpath(str(data.roots[split]))
        for target in of_kind(source.targets, *OBJECTS):
            boxes, _ = boxes_of_files(source, data.form, target)
            for row in range(len(source)):
                path = os.path.join(root, source.place(row).file)
                if path in wanted:
                    found.setdefault(path, {})[target] = boxes[row]
    return found


def worst_pictures(run: Run, data: Path) -> list[Path]:
    """The files of the worst errors that the run's report shows, worst first, a few. `data` is the folder or the file
    of the run's data. Raises UserError where there are none, or they are gone."""
    found: list[Path] = []
    source = run.facts("data.json").get("source") or {}
    given = source.get("picture_folders")
    # Names stand below the folder of a set; of a table or an annotation file below that beside it, or below others.
    folders = [data, data.parent, *map(Path, map(str, given.values() if isinstance(given, dict) else ()))]
    metrics: dict[str, Any] = run.facts("metrics.json")
    for measured in (metrics.get("test"), metrics.get("valid")):
        rows = measured.get("worst") if isinstance(measured, dict) else None
        for row in rows or []:
            paths = [folder / str(row.get("file", "")) for folder in folders]
            path = next((path for path in paths if os.path.isfile(path)), None)
            if path is not None and path not in found:
                found.append(path)
    if not found:
        raise UserError(f"{run} lists no wrong answer whose picture is a file that is still there: name pictures, as "
                        f"lensmith explain {run} photos/*.jpg")
    return found[:WORST]


def best_epoch(run: Run) -> int | None:
    """The epoch whose weights the run has as its best; None where it does not say."""
    epoch = run.facts("run.json").get("best_epoch")
    return epoch if isinstance(epoch, int) else None
