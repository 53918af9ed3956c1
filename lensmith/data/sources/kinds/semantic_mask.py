"""Masks of a data set, in their files or read already: unknown is void in every pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lensmith.base.errors import count
from lensmith.base.picture_headers import Header
from lensmith.base.pictures import Form
from lensmith.data.sources.kinds.target_kind import spread_rows, warp_to_form
from lensmith.data.sources.mask_files import MaskFiles, MaskSource, read_masks
from lensmith.data.sources.sample import Collection
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value


@dataclass(frozen=True)
class NoMask:
    """The mask of a picture that has none."""

    def is_stored(self, header: Header) -> bool:
        return False

    def read(self, size: tuple[int, int], orientation: int = 1) -> np.ndarray:
        return np.full(size, IGNORED, dtype=np.uint8)


def spread(value: Mask | MaskFiles, rows: np.ndarray, headers: Sequence[Header | None], classes: int) -> Value:
    if not isinstance(value, MaskFiles):
        return Mask(spread_rows(value.classes, rows, len(headers), IGNORED))
    masks: list[MaskSource] = [NoMask()] * len(headers)
    for row, mask in zip(rows.tolist(), value.masks, strict=True):
        masks[row] = mask
    return MaskFiles(tuple(masks))


def known(source: Collection, target: str) -> np.ndarray:
    value = source.targets[target]
    if isinstance(value, MaskFiles):
        return np.array([not isinstance(mask, NoMask) for mask in value.masks], dtype=bool)
    assert isinstance(value, Mask)
    return np.array([bool((mask != IGNORED).any()) for mask in value.classes], dtype=bool)


def known_in_words(values: Sequence[Mask], names: Sequence[str]) -> str:
    """`masks of 3 classes`"""
    return f"masks of {count(len(names), 'class')}"


def to_form(value: Mask | MaskFiles, headers: Sequence[Header], fits: Tensor, form: Form) -> Value:
    """Masks that lie in files are read: raises DataError and UserError as `read_masks` does."""
    if isinstance(value, MaskFiles):
        return read_masks(value, headers, form)
    return warp_to_form(value, headers, fits, form)
