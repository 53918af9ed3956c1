"""Wrong tags: the worse, the further their scores are from the truth."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lensmith.values.labels import Tags


def how_wrong(truth: Tags, predicted: Tags, pictures: int, classes: int) -> Tensor:
    """float [pictures, 1]: the sum over the tags of |score - truth|; 0 where every known tag was predicted rightly."""
    known = ~truth.present.isnan()
    wrong = (((truth.present >= 0.5) != (predicted.present >= 0.5)) & known).any(1)
    scores = predicted.scores if predicted.scores is not None else predicted.present
    return (wrong * torch.where(known, (scores - truth.present).abs(), 0.0).sum(1))[:, None]


def both_in_words(truth: Tags, predicted: Tags, names: Sequence[str]) -> tuple[str, str]:
    """The tags of each, `none` without any."""
    return _present(truth, names), _present(predicted, names)


def _present(tags: Tags, names: Sequence[str]) -> str:
    return ", ".join(name for name, present in zip(names, tags.present.tolist(), strict=True) if present >= 0.5) \
        or "none"
