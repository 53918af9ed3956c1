"""Wrong labels: the worse, the higher the probability of the wrong class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lensmith.values.labels import UNKNOWN, Label


def how_wrong(truth: Label, predicted: Label, pictures: int, classes: int) -> Tensor:
    """float [pictures, 1]: the probability of the class that was predicted; 0 where it is right or not known."""
    wrong = (truth.index != predicted.index) & (truth.index != UNKNOWN)
    return (wrong * (predicted.scores.amax(1) if predicted.scores is not None else torch.ones(len(wrong))))[:, None]


def both_in_words(truth: Label, predicted: Label, names: Sequence[str]) -> tuple[str, str]:
    """`cat`, `dog (93%)`"""
    probability = f" ({predicted.scores.max().item():.0%})" if predicted.scores is not None else ""
    return names[int(truth.index)], names[int(predicted.index)] + probability
