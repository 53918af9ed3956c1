"""Large pictures at their own size: by overlapping tiles, or as a whole by a fully convolutional classifier."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.base.orientation import upright
from lensmith.base.picture_headers import BadPicture, accept_pixels, read_header
from lensmith.base.pictures import Form, Place
from lensmith.engine.plan.plan import Plan
from lensmith.ship.predict.predict_files import of_classes, read_picture
from lensmith.ship.predict.prediction import Prediction
from lensmith.ship.predict.score_map import Output, mapping
from lensmith.ship.predict.tiles import tiling
from lensmith.tasks.task import Task

_Look = Callable[[Tensor, Place], Output]    # what a network says of a whole picture [channels, height, width]


def has_map(task: Task) -> bool:
    """Whether the task is that of a fully convolutional classifier, which takes pictures at their own size."""
    return task.window is not None


def predict_tiles(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
                  names: dict[str, tuple[str, ...]], scale: float,
                  only: Mapping[str, Tensor] | None = None) -> Iterator[Prediction]:
    """A prediction for each file, made of tiles of the form's size that overlap by a quarter.

    The pictures are first made `scale` times as large. All else is as of `predict_pictures`. Raises UserError for a
    task whose answer says nothing about places in the picture, and for a scale that cannot be.
    """
    if not (math.isfinite(scale) and 0 < scale <= 16):
        raise UserError(f"predict.tiles={scale:g} is how large the picture is made before it is divided: accepted is "
                        "above 0 up to 16; 1 takes its own pixels, 0.5 makes it half as large")
    answer, (target,) = tiling(network, task, form=form, plan=plan), task.needs

    def look(image: Tensor, place: Place) -> Output:
        return of_classes({target: answer(image, place.size)}, only or {}), None

    return _each(files, look, form=form, names=names, scale=lambda size: scale)


def predict_whole(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
                  names: dict[str, tuple[str, ...]]) -> Iterator[Prediction]:
    """A prediction for each file at its own size by a network that `has_map`; smaller ones are enlarged to the form's.

    All else is as of `predict_pictures`.
    """
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
        values, score_map = look(image, place)
        yield Prediction(name, values, names, from_memory=from_memory, size=place.size, map=score_map)


def _scaled(file: Path | Image.Image, form: Form, name: str,
            scale: Callable[[tuple[int, int]], float]) -> tuple[Tensor, Place]:
    """The whole picture, `scale` of its (height, width) times as large."""
    if isinstance(file, Image.Image):
        # `read_picture` tells why a picture without pixels is refused.
        width, height = upright(file).size if 0 not in file.size else (1, 1)
    else:
        accept_pixels(form.most_pixels)
        header = read_header(file)
        height, width = header.height, header.width
    factor = scale((height, width))
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    if height * width > form.most_pixels:
        raise BadPicture(f"would have {width} x {height} pixels, {factor:g} times as large; at most "
                         f"{form.most_pixels:,} are accepted")
    return read_picture(file, replace(form, height=height, width=width, fit="squash"), name)
