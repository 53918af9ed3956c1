"""Large pictures at their own size: by overlapping tiles, or as a whole by a fully convolutional classifier."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.base.pictures import MOST_PIXELS, BadPicture, Form, Place, read_header
from lensmith.engine.plan.plan import Plan
from lensmith.ship.predict.predict_files import read
from lensmith.ship.predict.prediction import Prediction
from lensmith.ship.predict.score_map import ScoreMap, mapping
from lensmith.ship.predict.tiles import tiling
from lensmith.tasks.task import Task
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

_Said = tuple[dict[str, Value], ScoreMap | None]
_Look = Callable[[Tensor, Place], _Said]    # what a network says of a whole picture [channels, height, width]


def has_map(task: Task) -> bool:
    """Whether it is that of a fully convolutional classifier, which takes pictures at their own size."""
    return task.window is not None


def predict_tiles(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
                  names: dict[str, tuple[str, ...]], scale: float,
                  only: Mapping[str, Tensor] | None = None) -> Iterator[Prediction]:
    """A prediction for each file, of tiles of the form's size that overlap by a quarter; the pictures are first made
    `scale` times as large. The rest as of `predict`. Raises UserError for a task without places, or a scale that cannot
    be."""
    if not (math.isfinite(scale) and 0 < scale <= 16):
        raise UserError(f"predict.tiles={scale:g} is how large the picture is made before it is divided: accepted is "
                        "above 0 up to 16; 1 takes its own pixels, 0.5 makes it half as large")
    divide, (name,) = tiling(network, task, form=form, plan=plan), task.needs

    def look(image: Tensor, place: Place) -> _Said:
        found = divide(image, place.size)
        if only is not None and isinstance(found, Boxes):
            found = found.chosen(torch.isin(found.classes, only[name]))
        return {name: found}, None

    return _each(files, look, form=form, names=names, scale=lambda size: scale)


def predict_whole(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
                  names: dict[str, tuple[str, ...]]) -> Iterator[Prediction]:
    """A prediction for each file at its own size by a network that `has_map`; smaller ones are enlarged to the form's.
    The rest as of `predict`."""
    answer = mapping(network, task, form=form, plan=plan)
    return _each(files, lambda image, place: answer(image), form=form, names=names,
                 scale=lambda size: max(1.0, form.height / size[0], form.width / size[1]))


def _each(files: Sequence[Path | Image.Image], look: _Look, *, form: Form, names: dict[str, tuple[str, ...]],
          scale: Callable[[tuple[int, int]], float]) -> Iterator[Prediction]:
    for number, file in enumerate(files):
        from_memory = isinstance(file, Image.Image)
        name = f"picture {number}" if from_memory else str(file)
        try:
            image, place = _scaled(file, form, name, scale)
        except BadPicture as error:
            yield Prediction(name, error=str(error), from_memory=from_memory)
            continue
        values, places = look(image, place)
        yield Prediction(name, values, names, from_memory=from_memory, size=place.size, map=places)


def _scaled(file: Path | Image.Image, form: Form, name: str,
            scale: Callable[[tuple[int, int]], float]) -> tuple[Tensor, Place]:
    """The whole picture, `scale` of its (height, width) times as large."""
    if isinstance(file, Image.Image):
        wide, high = ImageOps.exif_transpose(file).size if 0 not in file.size else (1, 1)    # `read` tells the reason
    else:
        header = read_header(file)
        high, wide = header.height, header.width
    factor = scale((high, wide))
    height, width = max(1, round(high * factor)), max(1, round(wide * factor))
    if height * width > MOST_PIXELS:
        raise BadPicture(f"would have {width} x {height} pixels, {factor:g} times as large; at most {MOST_PIXELS:,} "
                         "are accepted")
    return read(file, replace(form, height=height, width=width, fit="squash"), name)
