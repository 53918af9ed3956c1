"""Objects whose pixels still lie in polygons and RLE, and these rasterised in the form of the pictures."""

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
from lensmith.data.sources.rasterise import RLE, Outline, polygon_pixels
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks

_FRACTION = 0.5    # of the free memory that masks may take; pictures, which can be streamed, have the rest


@dataclass(frozen=True)
class OutlinedObjects(Boxes):
    """The objects of a set before their pictures have their form; `rasterised` makes Masks of them."""

    kind: ClassVar[str] = "masks"

    outline: Tensor = field(kw_only=True)                # int64 [n]: which of `outlines` is the object's
    outlines: Sequence[Outline] = field(kw_only=True)    # in the pixels of the files

    def _tensors(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in super()._tensors().items() if name != "outlines"}


def with_outlines(boxes: Boxes, outlines: Sequence[Outline]) -> OutlinedObjects:
    """The boxes, each with its outline: there are as many of them as boxes."""
    return OutlinedObjects(boxes.corners, boxes.classes, boxes.scores, boxes.image, boxes.crowd, boxes.area,
                           outline=torch.arange(len(outlines)), outlines=outlines)


def rasterised(objects: OutlinedObjects, fits: Tensor, sizes: np.ndarray, form: Form) -> Masks:
    """The objects with their pixels in `form`: those whose centres lie in the outline. An object that meets no centre
    has the pixel in the middle of its box, so that none is without pixels.

    objects: their corners are in the pixels of `form` already.
    fits: float [pictures, 4], as of Place.fit.
    sizes: int64 [pictures, 2], the height and width of the files.

    Raises DataError for RLE of another size, UserError where the masks do not fit into the memory.
    """
    assert objects.image is not None
    total = len(objects.classes) * form.height * -(-form.width // 8)
    if total > _FRACTION * free_memory():
        raise UserError(f"the masks of {count(len(objects.classes), 'object')}, {form.height} x {form.width} pixels "
                        f"each, take {total / 1e6:,.0f} MB, more than {_FRACTION:.0%} of the free memory, and are kept "
                        "there: take a smaller pictures.size")
    bits = np.zeros((len(objects.classes), form.height, -(-form.width // 8)), dtype=np.uint8)
    image, outline, corners = objects.image.tolist(), objects.outline.tolist(), objects.corners.numpy()
    fit_of_picture = fits.tolist()

    def rasterise(row: int) -> None:
        picture = image[row]
        inside = _inside(objects.outlines[outline[row]], fit_of_picture[picture], tuple(sizes[picture].tolist()), form)
        if not inside.any():
            x, y = ((corners[row, :2] + corners[row, 2:]) / 2).astype(np.int64)
            inside[min(y, form.height - 1), min(x, form.width - 1)] = True
        bits[row] = np.packbits(inside, axis=1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(rasterise, range(len(image)), chunksize=64):
            pass
    return Masks(objects.corners, objects.classes, objects.scores, objects.image, objects.crowd, objects.area,
                 bits=torch.from_numpy(bits))


def _inside(outline: Outline, fit: Sequence[float], size: tuple[int, ...], form: Form) -> np.ndarray:
    """bool [height, width]: the pixels of `form` in any part of an object of a file of `size` (height, width)."""
    scale_x, scale_y, left, top = fit
    inside = np.zeros(form.size, dtype=bool)
    for shape in outline:
        if isinstance(shape, RLE):
            if shape.size != size:
                raise DataError(f"{shape.where}: the RLE is of {shape.size[1]} x {shape.size[0]} pixels "
                                f"(width x height), and the picture has {size[1]} x {size[0]}")
            inside |= bring_classes(shape.inside(), form, padding=0)
            continue
        (first, start), pixels = polygon_pixels(shape * (scale_x, scale_y) + (left, top), form.size)
        inside[first : first + pixels.shape[0], start : start + pixels.shape[1]] |= pixels
    # An outline may leave its picture; the padding around it belongs to no object.
    last = (min(form.height, round(top + size[0] * scale_y)), min(form.width, round(left + size[1] * scale_x)))
    inside[: max(0, round(top))] = inside[last[0]:] = False
    inside[:, : max(0, round(left))] = inside[:, last[1]:] = False
    return inside
