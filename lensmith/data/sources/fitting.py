"""Between a file's pixels and those of the network: targets brought there, values brought back, padding cut away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lensmith.base.picture_headers import Header
from lensmith.base.pictures import Form, Place, fit_after, fit_of
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.kinds import TARGETS
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.sample import Batch, Source
from lensmith.values import OBJECTS, of_kind
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.value import Value

Fitted = TypeVar("Fitted", Files, InMemory, Source)
_STRIDE = 32    # pixels: networks take pictures whose edges are multiples of it


def fit_source(source: Fitted, headers: Sequence[Header], form: Form) -> Fitted:
    """The source with its targets in the pixels of `form`; they come in those of its files, of which `headers` say the
    sizes. Masks that lie in files are read: raises DataError and UserError as `read_masks` does."""
    sizes = np.array([(header.height, header.width) for header in headers], dtype=np.int64).reshape(-1, 2)
    if isinstance(source, Files):
        source = source.subset(range(len(source)))
        source.sizes = sizes
    fit_by_size = {size: fit_of(size, form) for size in {(int(height), int(width)) for height, width in sizes}}
    fits = torch.tensor([fit_by_size[int(height), int(width)] for height, width in sizes]).view(-1, 4)
    targets = {name: TARGETS[value.kind].to_form(value, headers, fits, form) for name, value in source.targets.items()}
    if any(value is not source.targets[name] for name, value in targets.items()):
        source = source.subset(range(len(source)))
        source.targets = targets
    return source


def in_files(values: Mapping[str, Value], places: Sequence[Place]) -> dict[str, Value]:
    """Stacked values of the network's pictures as those of the files that they came from."""
    if not len(places) or not of_kind(values, *OBJECTS):
        return dict(values)
    fits = torch.tensor([place.fit for place in places])
    sizes = torch.tensor([place.size for place in places], dtype=torch.float32)
    return {name: value.in_files(fits, sizes) for name, value in values.items()}


def corners_in_file(corners: Sequence[float], place: Place) -> tuple[float, ...]:
    """x0 y0 x1 y1 in the network's pixels as those of the file, cut off at its edges."""
    number = torch.zeros(1, dtype=torch.int64)
    box = Boxes(torch.tensor([corners], dtype=torch.float32), number, image=number)
    found = box.in_files(torch.tensor([place.fit]), torch.tensor([place.size], dtype=torch.float32))
    return tuple(found.corners[0].tolist())


def boxes_of_files(source: Source, form: Form, target: str = "boxes") -> tuple[Boxes, Tensor]:
    """The boxes of a fitted source in the pixels of its files again, and the files' sizes, int64 [n, 2], (height,
    width)."""
    boxes = source.targets[target]
    assert isinstance(boxes, Boxes)
    boxes = boxes.boxes() if isinstance(boxes, Masks) else boxes
    places = [source.place(i) for i in range(len(source))]
    sizes = torch.tensor([place.size for place in places], dtype=torch.int64).view(-1, 2)
    if isinstance(source, InMemory):    # from what was made of the files before
        step = fit_of((source.images.shape[2], source.images.shape[3]), form)
        fits = [fit_after(place.fit, step) for place in places]
    else:
        fit_by_size = {size: fit_of(size, form) for size in {place.size for place in places}}
        fits = [fit_by_size[place.size] for place in places]
    return boxes.in_files(torch.tensor(fits).view(-1, 4), sizes.float()), sizes


def shown_areas(places: Sequence[Place], number: int, size: tuple[int, int]) -> np.ndarray:
    """int64 [number, 4]: x0 y0 x1 y1 of what each picture of `size` (height, width) shows, without the padding around
    it; the whole picture where its place is not known."""
    height, width = size
    whole = np.tile(np.array([0, 0, width, height], dtype=np.int64), (number, 1))
    if not len(places):
        return whole
    fit = np.array([place.fit for place in places])
    file_size = np.array([place.size[::-1] for place in places])
    first = np.rint(fit[:, 2:]).astype(np.int64)
    last = np.rint(fit[:, 2:] + file_size * fit[:, :2]).astype(np.int64)
    area = np.concatenate((np.maximum(first, 0), np.minimum(last, (width, height))), 1)
    # Where a file's size is not known, or its picture was made smaller since, nothing follows from its place.
    is_known = np.concatenate((file_size > 0, area[:, 2:] > area[:, :2]), 1).all(1, keepdims=True)
    return np.where(is_known, area, whole)


def trimmed(batch: Batch) -> Batch:
    """The batch without the padding that surrounds all of its pictures; its edges stay multiples of 32 pixels."""
    size = batch.images.shape[2], batch.images.shape[3]
    areas = shown_areas(batch.places, len(batch), size)
    low, high = areas[:, :2].min(0), areas[:, 2:].max(0)
    (left, right), (top, bottom) = (_span(int(low[axis]), int(high[axis]), size[1 - axis]) for axis in range(2))
    if (right - left, bottom - top) == size[::-1]:
        return batch
    matrix = torch.zeros(len(batch), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1
    matrix[:, 0, 2], matrix[:, 1, 2] = -left, -top
    images: Tensor = batch.images[:, :, top:bottom, left:right].contiguous()
    places = [replace(place, fit=(*place.fit[:2], place.fit[2] - left, place.fit[3] - top)) for place in batch.places]
    return replace(batch, images=images, places=places, targets={
        name: value.warp(matrix.to(images.device), (bottom - top, right - left)) for name, value in
        batch.targets.items()})


def _span(first: int, last: int, edge: int) -> tuple[int, int]:
    """The pixels from `first` to `last` and as many around them as make a multiple of 32, within `edge`."""
    length = min(edge, -(-(last - first) // _STRIDE) * _STRIDE)
    start = min(max(0, first - (length - (last - first)) // 2), edge - length)
    return start, start + length
