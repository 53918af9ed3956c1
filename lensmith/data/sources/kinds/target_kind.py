"""What a data set has to know of a kind of target, and what several kinds do alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import count
from lensmith.base.picture_headers import Header
from lensmith.base.pictures import Form
from lensmith.data.sources.sample import Collection
from lensmith.values.value import Value


def warp_to_form(value: Any, headers: Sequence[Header], fits: Tensor, form: Form) -> Value:
    """The value after the maps `fits`, which bring the pictures to `form`; itself where all have that size already."""
    if all((header.height, header.width) == form.size for header in headers):
        return value
    warped: Value = value.warp(fit_matrices(fits), form.size)
    return warped


def classes_in_words(values: Sequence[Value], names: Sequence[str]) -> str:
    """`3 classes`"""
    return count(len(names), "class")


@dataclass(frozen=True)
class TargetKind:
    """A kind of target as data sets need it. Values are stacked, one row a picture."""

    # (value, rows, headers, classes): the value of the pictures `rows` (int64 [k], each once) as one of all pictures,
    # unknown in the others. Of a picture that cannot be read the header is None.
    spread: Callable[[Any, np.ndarray, Sequence[Header | None], int], Value]
    # (source, target): bool [n], of which pictures the target is known
    known: Callable[[Collection, str], np.ndarray]
    # (value, classes): int64 [classes], how many pictures or objects show each class; None where nothing is counted
    per_class: Callable[[Any, int], Tensor] | None = None
    # (source, targets): int64 [n], the stratum of each picture by those targets; None where a set is not divided by it
    strata: Callable[[Any, Sequence[str]], np.ndarray] | None = None
    # (value, headers, fits, form): the value in the pixels of `form`; `fits` float [n, 4] as of Place.fit
    to_form: Callable[[Any, Sequence[Header], Tensor, Form], Value] = warp_to_form
    # (values, names): what is known of the pictures of several splits, in words; the values are stacked, one a split
    known_in_words: Callable[[Sequence[Any], Sequence[str]], str] = classes_in_words


def spread_rows(values: Tensor, rows: np.ndarray, pictures: int, unknown: float) -> Tensor:
    """[pictures, ...]: `values` [k, ...] at their rows, `unknown` elsewhere."""
    whole = torch.full((pictures, *values.shape[1:]), unknown, dtype=values.dtype)
    whole[torch.from_numpy(rows)] = values
    return whole


def fit_matrices(fits: Tensor) -> Tensor:
    """float [n, 2, 3]: what takes the pixels of files to those of the network, of `fits` [n, 4] as of Place.fit."""
    matrices = torch.zeros(len(fits), 2, 3)
    matrices[:, 0, 0], matrices[:, 1, 1], matrices[:, :, 2] = fits[:, 0], fits[:, 1], fits[:, 2:]
    return matrices
