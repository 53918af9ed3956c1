"""Wrong objects with their pixels, shown with these; all else is as of boxes, whose code matches masks by pixels."""

from collections.abc import Sequence

from PIL import Image

from lensmith.study.report.errors.error_kind import SHOWN
from lensmith.values.drawing import draw_masks, surest
from lensmith.values.instance_masks import Masks


def draw_both(picture: Image.Image, truth: Masks, predicted: Masks, names: Sequence[str],
         size: tuple[int, int]) -> list[Image.Image]:
    """The truth, and beside it what was predicted."""
    scale = picture.width / size[1], picture.height / size[0]
    return [draw_masks(picture, masks, names, width=size[1], scale=scale)
            for masks in (truth, surest(predicted, SHOWN))]
