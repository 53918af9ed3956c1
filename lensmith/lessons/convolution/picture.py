"""The picture of a lesson: a user's own brought to few pixels, or a small drawn one."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.base.picture_errors import BadPicture
from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import Form, bring, decode
from lensmith.lessons.convolution.arithmetic import Pair, Planes

_FINE = 8      # the drawn picture is drawn so many times larger, and its edges are then mixed as a camera would


@dataclass(frozen=True)
class LessonPicture:
    """A picture of few pixels, as the product's own decode gives it."""

    name: str
    own_size: Pair    # rows, columns of the file
    colours: Tensor   # uint8 [3, height, width]
    gray: Tensor      # uint8 [1, height, width]

    @property
    def size(self) -> Pair:
        """Rows and columns."""
        return self.colours.shape[1], self.colours.shape[2]

    def planes(self, channels: int) -> Tensor:
        """uint8 [1 or 3, height, width]"""
        return self.gray if channels == 1 else self.colours


def read_lesson_picture(path: Path | None, edge: int) -> LessonPicture:
    """A picture whose longer edge has at most `edge` pixels; without a path the drawn one. Raises DataError for a file
    that cannot be read."""
    if path is None:
        image = drawn_picture(edge)
        colours, gray = (bring(image, Form(channels, edge, edge, "squash"))[0] for channels in (3, 1))
        return LessonPicture("a drawn picture", (edge, edge), colours, gray)
    try:
        header = read_header(path)
        scale = min(1.0, edge / max(header.height, header.width))
        height, width = (max(1, round(own * scale)) for own in (header.height, header.width))
        colours, gray = (decode(path, Form(channels, height, width, "squash"))[0] for channels in (3, 1))
    except BadPicture as error:
        raise DataError(f"{path} {error}: name another picture") from error
    return LessonPicture(path.name, (header.height, header.width), colours, gray)


def as_numbers(planes: Tensor) -> Planes:
    """Whole numbers [channels][rows][columns] of a uint8 picture."""
    return planes.to(torch.int32).tolist()


def busiest_patch(plane: Tensor, size: Pair) -> Pair:
    """The (row, column) of the patch of this size in which neighbouring pixels of [height, width] differ most."""
    values = plane.float()
    slopes = torch.zeros_like(values)
    slopes[1:] += (values[1:] - values[:-1]).abs()
    slopes[:, 1:] += (values[:, 1:] - values[:, :-1]).abs()
    sums = torch.nn.functional.avg_pool2d(slopes[None, None], size, 1)[0, 0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    return row, column


def drawn_picture(edge: int) -> Image.Image:
    """A house under the sun: edges of every direction, even areas, all colours."""
    large = edge * _FINE
    image = Image.new("RGB", (large, large), (158, 206, 240))
    draw = ImageDraw.Draw(image)

    def at(*fractions: float) -> list[float]:
        return [fraction * large for fraction in fractions]

    draw.ellipse(at(-0.3, 0.62, 0.75, 1.5), fill=(96, 160, 72))
    draw.ellipse(at(0.35, 0.7, 1.5, 1.6), fill=(74, 134, 62))
    draw.ellipse(at(0.68, 0.07, 0.9, 0.29), fill=(252, 206, 60))
    draw.rectangle(at(0.2, 0.46, 0.58, 0.82), fill=(236, 222, 198))
    draw.polygon(at(0.13, 0.48, 0.39, 0.2, 0.65, 0.48), fill=(190, 62, 46))
    draw.rectangle(at(0.27, 0.54, 0.37, 0.65), fill=(60, 84, 118))
    draw.rectangle(at(0.43, 0.58, 0.53, 0.82), fill=(108, 68, 44))
    draw.rectangle(at(0.79, 0.56, 0.84, 0.84), fill=(98, 66, 44))
    draw.ellipse(at(0.69, 0.34, 0.94, 0.64), fill=(40, 104, 58))
    return image
