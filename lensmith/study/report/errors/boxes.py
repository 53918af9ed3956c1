"""Wrong boxes: the worse, the more were missed or found in vain."""

from collections import Counter
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from lensmith.study.report.errors.error_kind import SHOWN
from lensmith.tasks.metrics.box_matching import right_and_wrong
from lensmith.values.boxes import Boxes
from lensmith.values.drawing import draw_boxes, surest


def how_wrong(truth: Boxes, predicted: Boxes, pictures: int, classes: int) -> Tensor:
    """float [pictures, 1]: the true objects that were missed, and the summed scores of those found where none is."""
    right, wrong = right_and_wrong(truth, predicted, pictures, classes, score=SHOWN)
    assert truth.image is not None
    counting = torch.ones(len(truth.image), dtype=torch.bool) if truth.crowd is None else ~truth.crowd
    return (torch.bincount(truth.image[counting], minlength=pictures) - right + wrong)[:, None]


def both_in_words(truth: Boxes, predicted: Boxes, names: Sequence[str]) -> tuple[str, str]:
    """`2 cat, 1 dog`, of each; `nothing` without any."""
    return _counts(truth, names), _counts(surest(predicted, SHOWN), names)


def _counts(boxes: Boxes, names: Sequence[str]) -> str:
    counts = Counter(boxes.classes.tolist())
    return ", ".join(f"{number} {names[kind]}" for kind, number in sorted(counts.items())) or "nothing"


def draw_both(picture: Image.Image, truth: Boxes, predicted: Boxes, names: Sequence[str],
         size: tuple[int, int]) -> list[Image.Image]:
    """The truth, and beside it what was predicted."""
    scale = picture.width / size[1], picture.height / size[0]
    return [draw_boxes(picture, boxes, names, scale=scale) for boxes in (truth, surest(predicted, SHOWN))]
