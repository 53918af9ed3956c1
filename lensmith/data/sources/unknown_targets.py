"""Targets by their names, where a set gives several and some pictures lack one: what stands for what is not known.

A label is UNKNOWN, tags and numbers are NaN, a mask is IGNORED in every pixel, and of boxes there is a crowd over the
whole picture for every class: a region that neither costs nor counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.base.pictures import Header
from lensmith.data.sources.mask_files import MaskFiles, MaskSource
from lensmith.data.sources.sample import Collection
from lensmith.values.boxes import Boxes
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

_WORD = re.compile(r"[^\W\d]\w*")


def check_part_name(name: str, where: str) -> None:
    """Raise a DataError where a part has a name that is not a word: it becomes that of losses, scores and weights."""
    if not _WORD.fullmatch(name):
        raise DataError(f"{where}: {name!r} cannot be the name of a part: accepted is one word of letters, digits and "
                        "_ that begins with a letter; rename it")


@dataclass(frozen=True)
class NoMask:
    """The mask of a picture that has none."""

    def read(self, size: tuple[int, int]) -> np.ndarray:
        return np.full(size, IGNORED, dtype=np.uint8)


def spread_over(value: Value, rows: np.ndarray, headers: Sequence[Header | None], *, classes: int) -> Value:
    """A stacked value of the pictures `rows` (int64 [k], each once) as one of all pictures, the others unknown.

    `headers` are those of all pictures, None where one cannot be read; they are asked for boxes alone, which are in
    the pixels of the files. `classes` is the number of the target's classes.
    """
    number = len(headers)
    if isinstance(value, Boxes):
        return _with_crowds(value, torch.from_numpy(rows), headers, classes=classes)
    if isinstance(value, MaskFiles):
        masks: list[MaskSource] = [NoMask()] * number
        for row, mask in zip(rows.tolist(), value.masks, strict=True):
            masks[row] = mask
        return MaskFiles(tuple(masks))
    if isinstance(value, Label):
        return Label(_filled(value.index, rows, number, UNKNOWN))
    if isinstance(value, Tags):
        return Tags(_filled(value.present, rows, number, torch.nan))
    if isinstance(value, Numbers):
        return Numbers(_filled(value.values, rows, number, torch.nan))
    assert isinstance(value, Mask)
    return Mask(_filled(value.classes, rows, number, IGNORED))


def _filled(own: Tensor, rows: np.ndarray, number: int, unknown: float) -> Tensor:
    """[number, ...]: `own` [k, ...] at its rows, `unknown` elsewhere."""
    whole = torch.full((number, *own.shape[1:]), unknown, dtype=own.dtype)
    whole[torch.from_numpy(rows)] = own
    return whole


def _with_crowds(boxes: Boxes, rows: Tensor, headers: Sequence[Header | None], *, classes: int) -> Boxes:
    assert boxes.image is not None
    number = len(boxes.classes)
    crowd = boxes.crowd if boxes.crowd is not None else torch.zeros(number, dtype=torch.bool)
    own = Boxes(boxes.corners, boxes.classes, image=rows[boxes.image], crowd=crowd, area=boxes.area)
    without = np.setdiff1d(np.arange(len(headers)), rows.numpy())
    seen = [(row, header) for row in without.tolist() if (header := headers[row]) is not None]
    edges = torch.tensor([[0, 0, header.width, header.height] for _, header in seen], dtype=torch.float32).view(-1, 4)
    corners = edges.repeat_interleave(classes, 0)
    crowds = Boxes(corners, torch.arange(classes).repeat(len(seen)),
                   image=torch.tensor([row for row, _ in seen], dtype=torch.int64).repeat_interleave(classes),
                   crowd=torch.ones(len(corners), dtype=torch.bool),
                   area=None if boxes.area is None else corners[:, 2] * corners[:, 3])
    return own.join(crowds)


def known_in(source: Collection, target: str) -> np.ndarray:
    """bool [n]: of which pictures of a set its target says something.

    Of boxes it says nothing where every class has one region, all of them crowds at the same place. Where they are the
    only target all are known, since pictures of which nothing is known are left out: such a region is then a crowd.
    """
    value, number = source.targets[target], len(source)
    if isinstance(value, Label):
        return np.asarray((value.index != UNKNOWN).numpy())
    if isinstance(value, Tags | Numbers):
        own = value.present if isinstance(value, Tags) else value.values
        return np.asarray((~own.isnan()).any(1).numpy())
    if isinstance(value, MaskFiles):
        return np.array([not isinstance(mask, NoMask) for mask in value.masks], dtype=bool)
    if isinstance(value, Mask):
        return np.array([bool((mask != IGNORED).any()) for mask in value.classes], dtype=bool)
    if not isinstance(value, Boxes) or value.image is None or value.crowd is None or len(source.targets) == 1:
        return np.ones(number, dtype=bool)
    image, classes = value.image, len(source.classes[target])
    boxes, crowds = torch.bincount(image, minlength=number), torch.bincount(image[value.crowd], minlength=number)
    first = torch.searchsorted(image, image)    # of each box's picture
    apart = torch.bincount(image[(value.corners != value.corners[first]).any(1)], minlength=number)
    different = torch.bincount(torch.unique(torch.stack((image, value.classes)), dim=1)[0], minlength=number)
    silent = (boxes == classes) & (crowds == classes) & (different == classes) & (apart == 0)
    return np.asarray((~silent).numpy())


def told_of(source: Collection) -> dict[str, dict[str, Any]]:
    """For each target of a set its `kind`, and of how many pictures it is `known` and `unknown`."""
    found = {}
    for name, value in source.targets.items():
        said = int(known_in(source, name).sum())
        kind = "mask" if isinstance(value, MaskFiles) else type(value).__name__.lower()
        found[name] = {"kind": kind, "known": said, "unknown": len(source) - said}
    return found


def counts_of(source: Collection) -> dict[str, dict[str, Any]]:
    """What told_of tells, and, of targets with classes that can be counted, `per_class`: how many pictures show each,
    of boxes how many objects are of it, without the crowds."""
    found = told_of(source)
    for name, value in source.targets.items():
        names = source.classes[name]
        counted = _per_class(value, len(names))
        if counted is not None:
            found[name]["per_class"] = dict(zip(names, counted.tolist(), strict=True))
    return found


def _per_class(value: Value, classes: int) -> Tensor | None:
    """int64 [classes], None where nothing can be counted."""
    if isinstance(value, Label):
        return torch.bincount(value.index[value.index != UNKNOWN], minlength=classes)
    if isinstance(value, Tags):
        return (value.present >= 0.5).sum(0)
    if isinstance(value, Boxes):
        own = value.classes if value.crowd is None else value.classes[~value.crowd]
        return torch.bincount(own, minlength=classes)
    return None
