"""Objects whose pixels still lie in outlines and run lengths, and these brought to the form of the pictures."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lensmith.base.device import free_memory
from lensmith.base.errors import DataError, UserError, count
from lensmith.base.pictures import Form, bring_classes
from lensmith.data.sources.rasterise import Outline, Runs, polygon_pixels
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks

_SHARE = 0.5    # of the free memory that masks may take; the pictures, which can be streamed, share the rest


@dataclass(frozen=True)
class OutlinedObjects(Boxes):
    """The objects of a set before their pictures have their form; `painted` makes Masks of them."""

    kind: ClassVar[str] = "masks"

    outline: Tensor = field(kw_only=True)                # int64 [n]: which of `outlines` is the object's
    outlines: Sequence[Outline] = field(kw_only=True)    # in the pixels of the files

    def _tensors(self) -> dict[str, Tensor]:
        return {name: one for name, one in super()._tensors().items() if name != "outlines"}


def with_outlines(boxes: Boxes, outlines: Sequence[Outline]) -> OutlinedObjects:
    """The boxes, each with its own of `outlines`."""
    return OutlinedObjects(boxes.corners, boxes.classes, boxes.scores, boxes.image, boxes.crowd, boxes.area,
                           outline=torch.arange(len(outlines)), outlines=outlines)


def painted(objects: OutlinedObjects, fits: Tensor, sizes: np.ndarray, form: Form) -> Masks:
    """The objects, whose corners are in the pixels of `form` already, with their pixels there: those whose centres lie
    in the outline. One that meets no centre has the pixel in the middle of its box, so that none is without.

    `fits` float [pictures, 4] as of Place.fit and `sizes` int64 [pictures, 2], (height, width), are of the files.
    Raises DataError for run lengths of another size, UserError where the masks do not fit into the memory.
    """
    assert objects.image is not None
    total = len(objects.classes) * form.height * -(-form.width // 8)
    if total > _SHARE * free_memory():
        raise UserError(f"the masks of {count(len(objects.classes), 'object')}, {form.height} x {form.width} pixels "
                        f"each, take {total / 1e6:,.0f} MB, more than {_SHARE:.0%} of the free memory, and are kept "
                        "there: take a smaller pictures.size")
    bits = np.zeros((len(objects.classes), form.height, -(-form.width // 8)), dtype=np.uint8)
    image, own, corners = objects.image.tolist(), objects.outline.tolist(), objects.corners.numpy()
    of_picture = fits.tolist()

    def one(row: int) -> None:
        picture = image[row]
        inside = _inside(objects.outlines[own[row]], of_picture[picture], tuple(sizes[picture].tolist()), form)
        if not inside.any():
            x, y = ((corners[row, :2] + corners[row, 2:]) / 2).astype(np.int64)
            inside[min(y, form.height - 1), min(x, form.width - 1)] = True
        bits[row] = np.packbits(inside, axis=1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(one, range(len(image)), chunksize=64):
            pass
    return Masks(objects.corners, objects.classes, objects.scores, objects.image, objects.crowd, objects.area,
                 bits=torch.from_numpy(bits))


def _inside(outline: Outline, fit: Sequence[float], size: tuple[int, ...], form: Form) -> np.ndarray:
    """bool [height, width]: the pixels of `form` in any part of an object of a file of `size` (height, width)."""
    scale_x, scale_y, left, top = fit
    inside = np.zeros(form.size, dtype=bool)
    for shape in outline:
        if isinstance(shape, Runs):
            if shape.size != size:
                raise DataError(f"{shape.where}: the run lengths are of {shape.size[1]} x {shape.size[0]} pixels "
                                f"(width x height), and the picture has {size[1]} x {size[0]}")
            inside |= bring_classes(shape.inside(), form, padding=0)
            continue
        (first, start), part = polygon_pixels(shape * (scale_x, scale_y) + (left, top), form.size)
        inside[first : first + part.shape[0], start : start + part.shape[1]] |= part
    # An outline may leave its picture, whose ground in a letterbox is no object's.
    last = (min(form.height, round(top + size[0] * scale_y)), min(form.width, round(left + size[1] * scale_x)))
    inside[: max(0, round(top))] = inside[last[0]:] = False
    inside[:, : max(0, round(left))] = inside[:, last[1]:] = False
    return inside
