"""What the gallery of the worst errors has to know of a kind of target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

SHOWN = 0.25    # the least score of a predicted object that counts and is drawn


@dataclass(frozen=True)
class ErrorKind:
    """How wrong a prediction is, and how that is told.

    `how_wrong` and `scaled_by` take stacked values, the other functions single ones.
    """

    # (truth, predicted, pictures, classes): float [pictures, columns], how wrong; larger is worse, 0 is no error
    how_wrong: Callable[[Any, Any, int, int], Tensor]
    # (truth, predicted, names): both as text
    both_in_words: Callable[[Any, Any, Sequence[str]], tuple[str, str]]
    note: str          # what stands above the pictures: which errors these are, and what is to be seen
    score: str = ""    # a format for how wrong a prediction is, "" where its text says enough
    # (picture, truth, predicted, names, size): pictures side by side; `size` (height, width) is that of the values'
    # pixels. None where the picture is shown as it is.
    draw_both: Callable[[Image.Image, Any, Any, Sequence[str], tuple[int, int]], list[Image.Image]] | None = None
    # (truth): [batch, columns], of which the standard deviation over all pictures becomes the unit of each column of
    # `how_wrong`; None where these have one unit already
    scaled_by: Callable[[Any], Tensor] | None = None
