"""Wrong masks: the worse, the larger the fraction of the pixels that are wrong."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from lensmith.values.drawing import draw_mask
from lensmith.values.semantic_mask import IGNORED, Mask


def how_wrong(truth: Mask, predicted: Mask, pictures: int, classes: int) -> Tensor:
    """float [pictures, 1]: the fraction of the known pixels that were taken for another class; 0 where none is known.
    """
    known = truth.classes != IGNORED
    wrong = known & (truth.classes.long() != predicted.classes.long())
    return (wrong.sum((1, 2)) / known.sum((1, 2)).clamp(min=1))[:, None]


def both_in_words(truth: Mask, predicted: Mask, names: Sequence[str]) -> tuple[str, str]:
    """The known pixels of each: `ground 81 %, disc 19 %`."""
    known = truth.classes != IGNORED
    return _fractions(truth.classes[known], names), _fractions(predicted.classes[known], names)


def _fractions(classes: Tensor, names: Sequence[str]) -> str:
    """How much of the pixels each class has, the most first, from half a percent on."""
    counts = torch.bincount(classes.long(), minlength=len(names))
    order = counts.argsort(descending=True, stable=True).tolist()
    percents = [(names[number], 100 * int(counts[number]) / max(1, len(classes))) for number in order]
    return ", ".join(f"{name} {percent:.0f} %" for name, percent in percents if percent >= 0.5)


def draw_both(picture: Image.Image, truth: Mask, predicted: Mask, names: Sequence[str],
         size: tuple[int, int]) -> list[Image.Image]:
    """The picture, the truth, and what was predicted where the truth is known."""
    judged = Mask(predicted.classes.long().where(truth.classes != IGNORED, IGNORED))
    return [picture.convert("RGB"), *(draw_mask(picture, mask, names) for mask in (truth, judged))]
