"""The objects in a mask: one a number, or all that is not 0, each with its pixels."""

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import read_stored
from lensmith.data.sources.mask_files import ids_of
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import RLE

_VOID = 255    # in a mask of 8 bits that numbers objects


@dataclass(frozen=True)
class MaskedObject:
    """The pixels of an object in a mask, column by column, in order."""

    size: tuple[int, int]    # height, width
    number: int              # that the mask gives it
    pixels: np.ndarray       # int64 [n]: column * height + row
    file: Path

    @property
    def corners(self) -> tuple[float, float, float, float]:
        columns, rows = self.pixels // self.size[0], self.pixels % self.size[0]
        return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)

    def outline(self) -> RLE:
        breaks = np.flatnonzero(np.diff(self.pixels) > 1)
        starts = self.pixels[np.concatenate([[0], breaks + 1])]
        ends = self.pixels[np.concatenate([breaks, [len(self.pixels) - 1]])] + 1
        edges = np.stack([starts, ends], axis=1).ravel()
        counts = np.diff(np.concatenate([[0], edges, [self.size[0] * self.size[1]]]))
        return RLE(self.size, counts.astype(np.int64), readable(self.file))


def objects_in(mask: Path, *, numbered: bool, void: Sequence[int]) -> list[MaskedObject]:
    """The objects in a mask: one a number, or all that is not 0."""
    numbers = _numbers_in(mask)
    size, flat = (numbers.shape[0], numbers.shape[1]), numbers.ravel(order="F")
    if not numbered:
        pixels = flat.nonzero()[0]
        return [MaskedObject(size, 1, pixels, mask)] if len(pixels) else []
    order = np.argsort(flat, kind="stable")    # the pixels of each object together, and each in order
    ids, first = np.unique(flat[order], return_index=True)
    parts = np.split(order, first[1:])
    return [MaskedObject(size, int(id_), pixels, mask) for id_, pixels in zip(ids.tolist(), parts, strict=True)
            if id_ != 0 and id_ not in void]


def _numbers_in(mask: Path) -> np.ndarray:
    """The ids of a mask, whole numbers [height, width]; of a mask in colours each colour but black is one."""
    try:
        image = read_stored(mask)
    except BadPicture as error:
        raise DataError(f"mask {readable(mask)} {error}: mend it, or take it away") from error
    if image.mode not in ("RGB", "RGBA") or mask.suffix.lower() in (".jpg", ".jpeg"):
        return ids_of(mask, None)
    pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    codes = (pixels[:, :, 0] * 256 + pixels[:, :, 1]) * 256 + pixels[:, :, 2]
    colours, numbers = np.unique(codes, return_inverse=True)
    return numbers.reshape(codes.shape) + int(colours[0] != 0)


def numbers_in_each(masks: Sequence[Path]) -> list[set[int]]:
    """The numbers that occur in each of the masks, read on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [set(np.unique(numbers).tolist()) for numbers in pool.map(_numbers_in, masks)]


def void_number(present: Collection[set[int]]) -> tuple[int, ...]:
    """255 where a mask of 8 bits uses it beside other numbers, none of which is 254: it is void then, as in Pascal
    VOC's SegmentationObject. `present` are the numbers in each mask."""
    beside = any(_VOID in ids and len(ids) > 2 for ids in present)
    return (_VOID,) if beside and not any(_VOID - 1 in ids or max(ids) > _VOID for ids in present) else ()
