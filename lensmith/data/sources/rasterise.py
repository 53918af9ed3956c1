"""Objects as polygons or run-length encoding (RLE), rasterised into the mask of their picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel

from lensmith.base.errors import DataError, count
from lensmith.base.orientation import TURNED, upright_pixels, upright_points
from lensmith.base.picture_headers import Header

_FARTHEST = 1e6    # pixels: no picture is so large


@dataclass(frozen=True, eq=False)
class RLE:
    """A mask as COCO's RLE: the lengths of runs, column by column, of which the first lies outside of the object."""

    size: tuple[int, int]    # height, width
    counts: np.ndarray       # int64 [runs]
    where: str               # the entry of its file

    def inside(self) -> np.ndarray:
        """bool [height, width]."""
        height, width = self.size
        values = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(values, self.counts).reshape(width, height).T


def rle_of(inside: np.ndarray, where: str) -> RLE:
    """The RLE of pixels, bool [height, width]."""
    runs = inside.T.ravel()
    changes = np.flatnonzero(np.diff(runs, prepend=False))
    height, width = inside.shape
    return RLE((height, width), np.diff(np.concatenate(([0], changes, [len(runs)]))), where)


class PackedRLE(BaseModel):
    """COCO's RLE in a file: a list of lengths, or packed text."""

    size: tuple[int, int]
    counts: list[int] | str


Shape = np.ndarray | RLE    # a polygon, float64 [corners, 2], x and y in pixels or in fractions; or RLE
Outline = Sequence[Shape]    # the parts of one object


def in_pixels(outline: Outline, edges: np.ndarray | None) -> Outline:
    """The parts with polygons in float32, which takes half the memory. Polygons in fractions of a picture become pixels
    by its `edges` (width and height); None where they are in pixels already."""
    scale = 1.0 if edges is None else edges
    return [shape if isinstance(shape, RLE) else (shape * scale).astype(np.float32) for shape in outline]


def upright_outline(outline: Outline, orientation: int, edges: np.ndarray) -> Outline:
    """The parts of an object in a picture as its file stores it, in the pixels of the picture as it is shown, of which
    `edges` are the width and height."""
    upright: list[Shape] = []
    for shape in outline:
        if isinstance(shape, RLE):
            runs = upright_pixels(shape.inside(), orientation).T.ravel()
            changes = np.flatnonzero(np.diff(runs, prepend=False, append=True))    # the last run ends with the picture
            size = (shape.size[1], shape.size[0]) if orientation in TURNED else shape.size
            upright.append(RLE(size, np.diff(np.concatenate(([0], changes, [len(runs)]))), shape.where))
        else:
            points = upright_points(shape, np.full(len(shape), orientation), np.broadcast_to(edges, shape.shape))
            upright.append(points.astype(shape.dtype))
    return upright


@dataclass(frozen=True, eq=False)
class Outlines:
    """The objects of one picture, rasterised in their order, a later one over an earlier one, on a background."""

    objects: Sequence[tuple[int, Shape]]    # class and shape
    background: int                         # class of the pixels in no object
    relative: bool                          # polygons are in fractions of the picture's width and height
    declared: tuple[int, int] | None = None    # height, width of the picture that the objects were drawn on

    def is_stored(self, header: Header) -> bool:
        """Whether the objects are of the picture before its EXIF rotation."""
        return header.orientation in TURNED and header.height != header.width and \
            self.declared == (header.width, header.height)

    def read(self, size: tuple[int, int], orientation: int = 1) -> np.ndarray:
        """uint8 [height, width]: the class of each pixel. Raises DataError for RLE of another size."""
        if self.is_stored(Header(*size, gray=False, deep=False, orientation=orientation)):
            return upright_pixels(replace(self, declared=None).read((size[1], size[0])), orientation)
        height, width = size
        mask = np.full(size, self.background, dtype=np.uint8)
        for number, shape in self.objects:
            if isinstance(shape, RLE):
                if shape.size != size:
                    raise DataError(f"{shape.where}: the RLE is of {shape.size[1]} x {shape.size[0]} pixels "
                                    f"(width x height), and the picture has {width} x {height}")
                mask[shape.inside()] = number
                continue
            corners = shape * (width, height) if self.relative else shape
            (top, left), inside = polygon_pixels(corners, size)
            mask[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = number
        return mask


def polygon_pixels(corners: np.ndarray, size: tuple[int, int]) -> tuple[tuple[int, int], np.ndarray]:
    """The pixels of a picture of `size` (height, width) whose centres lie inside a polygon, by the even-odd rule.

    `corners` float64 [corners, 2], x and y in pixels from the picture's corner, the last joined to the first. -> top
    and left of the part that can be inside, and bool [rows, columns] of it.
    """
    height, width = size
    after = np.roll(corners, -1, 0)
    low, high = np.minimum(corners[:, 1], after[:, 1]), np.maximum(corners[:, 1], after[:, 1])
    first, last = (np.ceil(edge - 0.5).clip(0, height).astype(np.int64) for edge in (low, high))
    counts = last - first    # rows whose middle an edge crosses
    edge = np.repeat(np.arange(len(corners)), counts)
    if not len(edge):
        return (0, 0), np.zeros((0, 0), dtype=bool)
    row = np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts) + first[edge]
    step = after[edge] - corners[edge]
    crossing = corners[edge, 0] + (row + 0.5 - corners[edge, 1]) * step[:, 0] / step[:, 1]
    column = np.ceil(crossing - 0.5).clip(0, width).astype(np.int64)    # the first pixel to the right of the crossing
    top, left = int(row.min()), int(column.min())
    turns = np.zeros((int(row.max()) + 1 - top, int(column.max()) + 1 - left), dtype=bool)
    np.logical_xor.at(turns, (row - top, column - left), True)
    inside = np.logical_xor.accumulate(turns, axis=1)
    return (top, left), inside[:, : width - left]


def polygon_from(numbers: Sequence[float], where: str) -> np.ndarray:
    """float64 [corners, 2]; raises DataError for what is no polygon."""
    if len(numbers) < 6 or len(numbers) % 2:
        raise DataError(f"{where}: {count(len(numbers), 'number')} for a polygon: x and y of at least three points are "
                        "expected")
    corners = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    beyond = ~(np.abs(corners) <= _FARTHEST)
    if beyond.any():
        raise DataError(f"{where}: the polygon holds {corners[beyond][0]:g}, which is no place in a picture")
    return corners


def shapes_from(segmentation: list[list[float]] | PackedRLE | None, where: str) -> list[Shape]:
    """The parts of an object of a COCO file, none where it gives no shape. Raises DataError."""
    if isinstance(segmentation, PackedRLE):
        return [rle_from(segmentation.counts, segmentation.size, where)]
    return [polygon_from(corners, where) for corners in segmentation or ()]


def rle_from(counts: list[int] | str, size: Sequence[int], where: str) -> RLE:
    """RLE out of a list of lengths, or of the text that COCO packs them into. Raises DataError where they do not fill
    `size`, (height, width)."""
    height, width = size
    lengths = _unpacked(counts, where) if isinstance(counts, str) else counts
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise DataError(f"{where}: the RLE covers {sum(lengths):,} pixels, and {width} x {height} are "
                        f"{height * width:,}")
    return RLE((height, width), np.array(lengths, dtype=np.int64), where)


def _unpacked(text: str, where: str) -> list[int]:
    """The lengths in COCO's packed RLE (cocodataset/cocoapi, maskApi.c). A character is 48 plus five bits, the lowest
    bits of a number first; a sixth bit says that one more follows. From the fourth run on the number is the difference
    to the length of the last run but one."""
    counts: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 50:
            raise DataError(f"{where}: the RLE cannot be unpacked at {character!a}")
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                number -= 1 << shift
            counts.append(number + counts[-2] if len(counts) > 2 else number)
            number = shift = 0
    if shift:
        raise DataError(f"{where}: the RLE ends in the middle of a number")
    return counts
