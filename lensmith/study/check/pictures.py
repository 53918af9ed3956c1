"""One pass over all pictures of a set: of each a thumbnail, what its file is, and how light and sharp it is."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lensmith.base.orientation import TURNED, orientation_in_header
from lensmith.base.picture_headers import BadPicture, read_file, read_header, readable_picture
from lensmith.base.pictures import Form, decode, decode_opened, refit, to_pil
from lensmith.base.pixel_kinds import pixel_kind
from lensmith.base.progress import ProgressLine
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.sample import Source
from lensmith.data.store.file_hashes import LENGTH, content_hash
from lensmith.study.check.measures import COLOURS, EDGE, measured

_LOOKED_AT = 128   # pixels: the shorter edge at which larger pictures are decoded, and light and sharpness measured
_LONGEST = 512     # pixels: the longer edge then, at most
_TOGETHER = 64     # pictures that a thread gets at a time


@dataclass(frozen=True)
class Pictures:
    """What one pass leaves of the pictures; row i of every array is picture i. 1.2 KB a picture.

    Rows whose pixels cannot be read are in `reasons`, and are 0 in the arrays of pixels.
    """

    light: np.ndarray          # uint8 [n, 32, 32]: the luma of the whole picture, stretched to a square
    colours: np.ndarray        # uint8 [n, 2, 8, 8]: Cb and Cr of it; 128 is gray
    sizes: np.ndarray          # int32 [n, 2]: height, width after the EXIF rotation; 0 where the header cannot be read
    contents: np.ndarray       # uint8 [n, 16]: the hash of the file, or of the pixels in memory
    modes: np.ndarray          # int16 [n]: row of `mode_names`
    mode_names: tuple[str, ...]    # Pillow's mode, with the bits where they are more than 8: `L`, `RGB 16 bits`
    orientations: np.ndarray   # int8 [n]: as EXIF counts them; 1 where nothing turns the picture
    darkest: np.ndarray        # uint8 [n]: the luma of the 1 % quantile
    lightest: np.ndarray       # uint8 [n]: that of the 99 % quantile
    contrast: np.ndarray       # float32 [n]: the standard deviation of the luma, of 255
    sharpness: np.ndarray      # float32 [n]: the mean square of second differences over the variance; NaN where flat
    reasons: Mapping[int, str]     # why a picture cannot be read, by row

    def __len__(self) -> int:
        return len(self.light)

    @property
    def readable(self) -> np.ndarray:
        """bool [n]: which pictures could be decoded."""
        flags = np.ones(len(self), dtype=bool)
        flags[list(self.reasons)] = False
        return flags


class _Reader:
    """Fills the arrays; each thread writes rows of its own."""

    def __init__(self, number: int, most_pixels: int):
        self.most_pixels = most_pixels
        self.light = np.zeros((number, EDGE, EDGE), np.uint8)
        self.colours = np.full((number, 2, COLOURS, COLOURS), 128, np.uint8)
        self.sizes = np.zeros((number, 2), np.int32)
        self.contents = np.zeros((number, LENGTH), np.uint8)
        self.modes, self.mode_names = np.zeros(number, np.int16), dict[str, int]()
        self.orientations = np.ones(number, np.int8)
        self.darkest, self.lightest = np.zeros(number, np.uint8), np.zeros(number, np.uint8)
        self.contrast, self.sharpness = np.zeros(number, np.float32), np.full(number, np.nan, np.float32)
        self.reasons: dict[int, str] = {}

    def read(self, source: Any, index: int, row: int) -> np.ndarray | None:
        """Look at picture `index` of a source, which is `row` of the arrays -> uint8 [1 or 3, height, width], which is
        not measured yet; None where it cannot be read."""
        try:
            if isinstance(source, Files):
                picture = self._decoded(read_file(source.paths[index]), row)
            else:
                picture = self._of_memory(source[index].image, row)
        except BadPicture as error:
            self.reasons[row] = str(error)
            return None
        return picture.numpy()

    def _decoded(self, content: bytes, row: int) -> Tensor:
        self.contents[row] = np.frombuffer(content_hash(content), np.uint8)
        with readable_picture(content, self.most_pixels) as image:
            bits = pixel_kind(image).bits
            orientation = orientation_in_header(image)
            width, height = image.size[::-1] if orientation in TURNED else image.size
            self._note(row, (height, width), image.mode, bits)
            self.orientations[row] = orientation
            picture = decode_opened(image, content, _form((height, width), bits, self.most_pixels))[0]
        return _stretched(picture)

    def _of_memory(self, picture: Tensor, row: int) -> Tensor:
        channels, height, width = picture.shape
        bits = 16 if picture.dtype == torch.uint16 else 8
        self.contents[row] = np.frombuffer(content_hash(np.ascontiguousarray(picture.numpy()).tobytes()), np.uint8)
        self._note(row, (height, width), {1: "L", 3: "RGB"}.get(channels, "RGBA"), bits)
        form = _form((height, width), bits, self.most_pixels)
        return _stretched(picture if form.size == (height, width) and channels in (1, 3) else refit(picture, form))

    def _note(self, row: int, size: tuple[int, int], mode: str, bits: int) -> None:
        name = mode if bits <= 8 else f"{mode.partition(';')[0]} {bits} bits"
        self.sizes[row] = size
        self.modes[row] = self.mode_names.setdefault(name, len(self.mode_names))

    def measure(self, pictures: Mapping[int, np.ndarray]) -> None:
        """Measure decoded pictures, uint8 [1 or 3, height, width] by row, those of one size together."""
        rows_of_shape: dict[tuple[int, ...], list[int]] = {}
        for row, picture in pictures.items():
            rows_of_shape.setdefault(picture.shape, []).append(row)
        for rows in rows_of_shape.values():
            found = measured(np.stack([pictures[row] for row in rows]))
            self.light[rows] = found.light
            if found.colours is not None:
                self.colours[rows] = found.colours
            self.darkest[rows], self.lightest[rows] = found.darkest, found.lightest
            self.contrast[rows], self.sharpness[rows] = found.contrast, found.sharpness


def read_pictures(sources: Mapping[str, Source], *, most_pixels: int, tell: Callable[[str], object]) -> Pictures:
    """Look at every picture of the sources, one after another in the arrays, on all cores. `tell` is called with a line
    every few seconds."""
    places = [(source, index) for source in sources.values() for index in range(len(source))]
    reader, progress = _Reader(len(places), most_pixels), ProgressLine("looked at", len(places), tell)

    def read(start: int) -> int:
        pictures = {row: picture for row in range(start, min(start + _TOGETHER, len(places)))
                    if (picture := reader.read(*places[row], row)) is not None}
        reader.measure(pictures)
        return start

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(read, range(0, len(places), _TOGETHER)):
            progress(done)
    return Pictures(reader.light, reader.colours, reader.sizes, reader.contents, reader.modes,
                    tuple(reader.mode_names), reader.orientations, reader.darkest, reader.lightest, reader.contrast,
                    reader.sharpness, dict(sorted(reader.reasons.items())))


def picture_to_show(source: Any, index: int, longest: int) -> Image.Image | None:
    """Picture `index` of a source, its longer edge at most `longest` pixels; None where it cannot be read."""
    try:
        if not isinstance(source, Files):
            image = to_pil(_stretched(source[index].image))
        else:
            header = read_header(source.paths[index])
            scale = min(1.0, longest / max(header.height, header.width))
            height, width = (max(1, round(edge * scale)) for edge in (header.height, header.width))
            form = Form(3, height, width, "squash", 16 if header.deep else 8)
            image = to_pil(_stretched(decode(source.paths[index], form)[0]))
    except BadPicture:
        return None
    image.thumbnail((longest, longest))
    return image


def _form(size: tuple[int, int], bits: int, most_pixels: int) -> Form:
    """The form in which a picture of this (height, width) is looked at: its own, or smaller with the same shape."""
    scale = min(1.0, _LOOKED_AT / min(size))
    height, width = (min(_LONGEST, max(1, round(edge * scale))) for edge in size)
    return Form(3, height, width, "squash", 16 if bits > 8 else 8, most_pixels=most_pixels)


def _stretched(picture: Tensor) -> Tensor:
    """uint8 of a picture; of one with 16 bits the values that it uses from black to white, since 10 or 12 of them are
    often all that a file has."""
    if picture.dtype != torch.uint16:
        return picture
    values = picture.to(torch.float32)
    low, high = float(values.min()), float(values.max())
    return ((values - low) * (255 / max(1.0, high - low))).round().to(torch.uint8)
