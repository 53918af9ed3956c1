"""Labels of a data set: unknown is -1, and a set is divided by the class."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lensmith.base.picture_headers import Header
from lensmith.data.sources.kinds.target_kind import spread_rows
from lensmith.data.sources.sample import Collection
from lensmith.values import of_kind
from lensmith.values.labels import UNKNOWN, Label


def spread(label: Label, rows: np.ndarray, headers: Sequence[Header | None], classes: int) -> Label:
    return Label(spread_rows(label.index, rows, len(headers), UNKNOWN))


def known(source: Collection, target: str) -> np.ndarray:
    return np.asarray((_label(source, target).index != UNKNOWN).numpy())


def per_class(label: Label, classes: int) -> Tensor:
    return torch.bincount(label.index[label.index != UNKNOWN], minlength=classes)


def strata(source: Collection, targets: Sequence[str]) -> np.ndarray:
    """The class, of several labels that of `stratifying`."""
    return np.unique(_label(source, stratifying(source) or targets[0]).index.numpy(), return_inverse=True)[1]


def stratifying(source: Collection) -> str | None:
    """The label whose classes keep their fractions when a set is divided; None where the set has no label.

    Of several labels it is the one with the most classes among those known of half the pictures, since a finer label (a
    breed) often tells the coarser one (the species); else the label known of most pictures.
    """
    def rank(name: str) -> tuple[bool, int]:
        pictures = int((_label(source, name).index != UNKNOWN).sum())
        often = 2 * pictures >= len(source)
        return often, len(source.classes[name]) if often else pictures

    return max(of_kind(source.targets, "label"), key=rank, default=None)


def _label(source: Collection, target: str) -> Label:
    label = source.targets[target]
    assert isinstance(label, Label)
    return label
