"""Masks that lie in files: the class of each pixel, and all masks brought to the form of the pictures."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lensmith.base.device import free_memory
from lensmith.base.errors import DataError, UserError
from lensmith.base.orientation import TURNED, upright_pixels
from lensmith.base.picture_headers import BadPicture, Header, read_header
from lensmith.base.pictures import Form, bring_classes, read_stored
from lensmith.data.sources.picture_files import readable
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

IDS = 1 << 16         # the numbers that a pixel of a mask may hold
UNLISTED = 256        # in a table of ids: no class, and not void either
LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".jp2", ".avif")    # they may change the values of pixels
_BLUR = 64            # a JPEG of quality 75 moves black and white by up to so much beside an edge
_BETWEEN = 0.02       # of the pixels of a mask in black and white may be moved farther
_FRACTION = 0.5       # of the free memory that masks may take; pictures, which can be streamed, have the rest

Colours = dict[tuple[int, int, int], int]    # red, green, blue -> id


class MaskOfAnotherSize(DataError):
    """A mask that has not the size of its picture."""


class StrayId(DataError):
    """A mask with an id or a colour that nothing says the class of."""


class MaskSource(Protocol):
    """Where the mask of one picture comes from."""

    def read(self, size: tuple[int, int], orientation: int = 1) -> np.ndarray:
        """uint8 [height, width]: the class of each pixel, 255 where it neither counts nor costs, of an upright picture
        of this (height, width), which its EXIF `orientation` has turned. A mask of the picture before is turned with
        it. Raises DataError that names the file."""

    def is_stored(self, header: Header) -> bool:
        """Whether the mask is of the picture as its file stores it, before its EXIF rotation."""


@dataclass(frozen=True, eq=False)
class Coding:
    """What the ids of a set's masks mean."""

    table: np.ndarray                # uint16 [65536]: id -> class, 255 for void
    colours: Colours | None          # of masks in colours
    listed: str                      # who names the classes, and which ids they have, for messages

    @classmethod
    def of(cls, classes: dict[int, int], void: Sequence[int], *, colours: Colours | None, listed: str) -> Self:
        """The coding of ids -> class numbers, and of those that are void."""
        table = np.full(IDS, UNLISTED, dtype=np.uint16)
        table[list(classes)] = list(classes.values())
        table[list(void)] = IGNORED
        return cls(table, colours, listed)


@dataclass(frozen=True)
class PixelMask:
    """A file of ids or colours."""

    path: Path
    coding: Coding

    def read(self, size: tuple[int, int], orientation: int = 1) -> np.ndarray:
        classes = self.classes()
        (height, width), (high, wide) = size, classes.shape
        if (high, wide) != size and (wide, high) == size and orientation in TURNED:
            return upright_pixels(classes, orientation)
        if (high, wide) != size:
            raise MaskOfAnotherSize(f"mask {readable(self.path)} is {wide} x {high} pixels (width x height), and its "
                                    f"picture {width} x {height}: a mask has the size of its picture")
        return classes

    def is_stored(self, header: Header) -> bool:
        if header.orientation not in TURNED or header.height == header.width:
            return False
        try:
            mask = read_header(self.path)
        except BadPicture:    # told where it is read
            return False
        return (mask.height, mask.width) == (header.width, header.height)

    def classes(self) -> np.ndarray:
        """The classes at the size of the file, uint8 [height, width]."""
        ids = ids_of(self.path, self.coding.colours)
        classes = self.coding.table[ids]
        if (classes == UNLISTED).any():
            y, x = np.argwhere(classes == UNLISTED)[0]
            raise StrayId(f"mask {readable(self.path)} holds the id {ids[y, x]} at x={x}, y={y}, which is none of "
                          f"{self.coding.listed}: add it there, or say what it is with data.ids or data.void")
        return classes.astype(np.uint8)


_ANY_OBJECT = Coding(np.minimum(np.arange(IDS), 1).astype(np.uint16), None, "")    # any id but 0 is the object


@dataclass(frozen=True)
class ObjectsMask:
    """The mask that files with one object each make together: class 1 in any object, else 0."""

    paths: tuple[Path, ...]

    def is_stored(self, header: Header) -> bool:
        return any(PixelMask(path, _ANY_OBJECT).is_stored(header) for path in self.paths)

    def read(self, size: tuple[int, int], orientation: int = 1) -> np.ndarray:
        classes = np.zeros(size, dtype=np.uint8)
        for path in self.paths:
            classes |= PixelMask(path, _ANY_OBJECT).read(size, orientation)
        return classes


@dataclass(frozen=True)
class MaskFiles(Value):
    """The masks of a set's pictures before these have their form; `read_masks` makes a Mask of them."""

    kind: ClassVar[str] = "mask"
    spatial: ClassVar[bool] = True

    masks: tuple[MaskSource, ...]    # one a picture

    def _tensors(self) -> dict[str, Tensor]:
        return {}

    def take(self, rows: Tensor) -> Self:
        return type(self)(tuple(self.masks[row] for row in rows.tolist()))

    def __getitem__(self, row: int) -> Self:
        return type(self)((self.masks[row],))


def read_masks(files: MaskFiles, headers: Sequence[Header], form: Form) -> Mask:
    """The masks, stacked, uint8 [n, height, width], each brought to `form` as its picture is, by the class at each
    pixel's centre; the padding of a letterbox is void. `headers` are those of the pictures.

    Raises DataError for a mask that does not fit its picture, UserError where they are too large for the memory.
    """
    number = len(files.masks) * form.height * form.width
    if number > _FRACTION * free_memory():
        raise UserError(f"{len(files.masks):,} masks of {form.height} x {form.width} pixels take {number / 1e6:,.0f} "
                        f"MB, more than {_FRACTION:.0%} of the free memory, and are kept there: take a smaller "
                        "pictures.size")
    classes = np.empty((len(files.masks), *form.size), dtype=np.uint8)

    def read(row: int) -> None:
        header = headers[row]
        mask = files.masks[row].read((header.height, header.width), header.orientation)
        classes[row] = bring_classes(mask, form, padding=IGNORED)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(read, range(len(files.masks))):
            pass
    return Mask(torch.from_numpy(classes))


def ids_of(path: Path, colours: Colours | None) -> np.ndarray:
    """The ids in a file, whole numbers [height, width]: the values of gray pixels, the numbers of a palette's, or, with
    `colours`, what the colours of RGB and palette files stand for. Raises DataError."""
    try:
        image = read_stored(path)
    except BadPicture as error:
        raise DataError(f"mask {readable(path)} {error}: mend it, or take it away") from error
    if path.suffix.lower() in LOSSY:
        return _black_and_white(image, path)
    if image.mode in ("LA", "RGBA"):
        image = _alpha_alone(image)
    if image.mode in ("RGB", "RGBA") or (image.mode == "P" and colours is not None):
        # By RGBA: Pillow warns where a palette with transparency is brought to RGB.
        pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGBA"))[:, :, :3]
        return _ids_of_colours(pixels, colours, path)
    if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N"):
        raise DataError(f"mask {readable(path)} has pixels of the kind {image.mode}: save it as gray or palette PNG, "
                        "where each pixel is the number of its class")
    ids = np.asarray(image)
    if ids.dtype == bool:
        return ids.astype(np.uint8)
    if ids.dtype.itemsize > 2 and ids.size and (ids.min() < 0 or ids.max() >= IDS):
        raise DataError(f"mask {readable(path)} holds the id {ids.min() if ids.min() < 0 else ids.max()}: accepted are "
                        f"0 to {IDS - 1:,}")
    return ids


def _alpha_alone(image: Image.Image) -> Image.Image:
    """The mask in a picture with transparency: its alpha where the colours are the same everywhere, else without it."""
    *colours, alpha = image.split()
    if all(low == high for low, high in (each.getextrema() for each in colours)) and len(set(alpha.getextrema())) > 1:
        return alpha
    return image.getchannel("L") if image.mode == "LA" else image


def _black_and_white(image: Image.Image, path: Path) -> np.ndarray:
    """The ids 0 and 255 of a mask that a lossy format has blurred; raises DataError where it can hold others."""
    pixels = np.asarray(image.convert("RGB"))
    gray = pixels[:, :, 1]
    coloured = np.abs(pixels.astype(np.int16) - gray[:, :, None]).max(initial=0) > _BLUR
    between = ((gray > _BLUR) & (gray < 255 - _BLUR)).mean() if gray.size else 0.0
    small_ids = 0 < gray.max(initial=0) < 255 - _BLUR    # 1 and 2 would be black like 0
    if coloured or small_ids or between > _BETWEEN:
        kind = "colours" if coloured else f"{len(np.unique(gray))} values up to {gray.max()}"
        raise DataError(f"mask {readable(path)} is in a format that changes the values of pixels, and holds {kind}, "
                        "where only black and white would be certain: save masks as PNG")
    return np.where(gray < 128, 0, 255).astype(np.uint8)


def _ids_of_colours(pixels: np.ndarray, colours: Colours | None, path: Path) -> np.ndarray:
    """Of uint8 [height, width, 3]; gray pixels in three channels are ids where no colours are known."""
    if colours is None:
        if (pixels[:, :, :1] == pixels).all():
            return pixels[:, :, 0]
        raise DataError(f"mask {readable(path)} is in colours (RGB), and nothing says which class each of them is: put "
                        "a class_dict.csv with the columns name,r,g,b into the set's folder, or name such a file with "
                        "data.classes")
    weights = np.array([65_536, 256, 1], dtype=np.int32)
    listed = np.array(sorted(colours), dtype=np.int32).reshape(-1, 3)
    listed_codes, codes = listed @ weights, pixels.astype(np.int32) @ weights
    rows = np.searchsorted(listed_codes, codes).clip(max=len(listed_codes) - 1)
    if (listed_codes[rows] != codes).any():
        y, x = np.argwhere(listed_codes[rows] != codes)[0]
        raise StrayId(f"mask {readable(path)} holds the colour {','.join(map(str, pixels[y, x]))} at x={x}, y={y}, "
                      "which is none of the list of classes: add it there, or mend the mask (was it resized, or a "
                      "JPEG?)")
    return np.array([colours[red, green, blue] for red, green, blue in listed.tolist()], dtype=np.uint16)[rows]


def ids_in(paths: Sequence[Path], colours: Colours | None) -> list[dict[int, int]]:
    """Of each file the ids that occur in it, with the number of their pixels; read on all cores. Raises DataError."""
    def count_ids(path: Path) -> dict[int, int]:
        counts = np.bincount(ids_of(path, colours).ravel())
        return {int(index): int(counts[index]) for index in counts.nonzero()[0]}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(count_ids, paths))
