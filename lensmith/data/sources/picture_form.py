"""What the headers of files say before any is decoded, the form for all of them, and what becomes of bad files."""

import statistics
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch

from lensmith.base.device import check_picture_fits
from lensmith.base.errors import DataError, UserError, choose, count
from lensmith.base.picture_headers import MOST_PIXELS, BadPicture, Header, check_pixels, read_header
from lensmith.base.pictures import Fit, Form, Interpolation
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.sample import Source
from lensmith.values.labels import Label

OnBad = Literal["skip", "refuse"]
Kept = TypeVar("Kept", Files, InMemory, Source)
_SMALL = 256          # pixels: pictures of one size up to this keep it
_PHOTO = 224          # pixels: the edge for photos, that of ImageNet's networks
_SCENE = 320          # pixels: the longer edge of letterboxed photos, in which objects are looked for
_STRIDE = 32          # pixels: networks halve their pictures five times
_THREADS = 4          # that read headers, where the disk is waited for
_TRIED = 64           # headers by whose times it is seen whether it is


@dataclass(frozen=True)
class Bad:
    """A picture that cannot be used, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """The header of each sample of one source, None where it is bad."""

    headers: list[Header | None]
    bad: list[Bad]


def survey(source: Source, most_pixels: int | None = None) -> Survey:
    """Read the header of every picture; nothing is decoded, so a truncated body is found only later. A picture of more
    than `most_pixels` is bad."""
    if isinstance(source, Files):
        read = [_within(header, most_pixels) for header in _headers(source.paths)]
        bad = [Bad(source.name(row), reason) for row, reason in enumerate(read) if isinstance(reason, str)]
        return Survey([None if isinstance(header, str) else header for header in read], bad)
    if isinstance(source, InMemory):
        channels, height, width = source.images.shape[1:]
        return Survey([Header(height, width, channels == 1, source.images.dtype == torch.uint16)] * len(source), [])
    raise UserError(f"a data set of type {type(source).__name__} has no headers to read: give pictures.size and "
                    "pictures.channels, or open it as Files or InMemory")


def _headers(paths: Sequence[Path]) -> list[Header | str]:
    """The header of each file, or the reason why it has none.

    Headers are read in Python, so that threads take the interpreter's lock from each other: four of them were three
    times slower than one. They pay where the disk is waited for, which they do side by side.
    """
    read: list[Header | str] = []
    for start in range(0, len(paths), _TRIED):
        began, worked = time.perf_counter(), time.thread_time()
        read += map(_header, paths[start : start + _TRIED])
        if time.perf_counter() - began > 2 * (time.thread_time() - worked):
            with ThreadPoolExecutor(_THREADS) as pool:
                return read + list(pool.map(_header, paths[len(read) :]))
    return read


def _header(path: Path) -> Header | str:
    """The header of a file, or the reason why it has none."""
    try:
        return read_header(path)
    except BadPicture as error:
        return str(error)


def _within(header: Header | str, most_pixels: int | None) -> Header | str:
    """A header, or the reason why the picture is bad, which may be its size."""
    if isinstance(header, str) or most_pixels is None:
        return header
    try:
        check_pixels(header.height, header.width, most_pixels)
    except BadPicture as error:
        return str(error)
    return header


def settle_form(surveys: Iterable[Survey], *, size: int | Sequence[int] | None = None, channels: int | None = None,
           bits: int | None = None, fit: Fit = "crop", interpolation: Interpolation = "bilinear",
           values: tuple[int, int] | None = None, most_pixels: int = MOST_PIXELS) -> Form:
    """The one form for all pictures of a run; what is None follows from their headers.

    size: by itself that of the pictures where all have one, up to 256; else the median of their shorter edges, rounded
        to a multiple of 32, and at most 224; of letterboxed pictures that of the longer edges, and at most 320.
    channels: by itself 1 where every picture is gray, else 3.
    bits: by itself 16 where at least half of the pictures are deep, else 8.
    fit: how another aspect ratio is met.
    interpolation: how another size is met.
    values: those of deep files that are black and white. Without it 16 bits take that all pictures are deep and gray.
    most_pixels: that a file may declare.

    Raises UserError for a size, channels, bits or fit that cannot be.
    """
    headers = [header for survey in surveys for header in survey.headers if header is not None]
    if not headers:
        raise DataError("no picture can be read: there is nothing to choose the pictures' form by")
    if channels is None:
        channels = 1 if all(header.gray for header in headers) else 3
    if bits is None:
        deep = sum(header.deep for header in headers)
        plain = values is None and not all(header.deep and header.gray for header in headers)
        bits = 16 if 2 * deep >= len(headers) and deep and not plain else 8
    if channels not in (1, 3, 4):
        raise UserError(f"pictures.channels={channels} is not possible: accepted are 1 (gray), 3 (RGB) and 4 (RGBA)")
    if bits not in (8, 16):
        raise UserError(f"pictures.bits={bits} is not possible: accepted are 8 and 16")
    choose({"crop": 0, "pad": 0, "squash": 0}, fit, "pictures.fit")
    height, width = _usual_size(headers, fit) if size is None else given_size(size)
    check_picture_fits(channels, height, width)
    return Form(channels, height, width, fit, bits, interpolation, values, most_pixels)


def given_size(size: int | Sequence[int]) -> tuple[int, int]:
    """The (height, width) that a setting stands for; raises UserError where it is no size."""
    edges = [size, size] if isinstance(size, int) else list(size)
    if len(edges) != 2 or min(edges) < 1:
        raise UserError(f"pictures.size={size} is not a size: accepted are one edge in pixels, as 224, or "
                        "[height, width], as [192, 256]")
    return edges[0], edges[1]


def _usual_size(headers: list[Header], fit: Fit) -> tuple[int, int]:
    sizes = {(header.height, header.width) for header in headers}
    if len(sizes) == 1 and max(next(iter(sizes))) <= _SMALL:
        return sizes.pop()
    decisive, most = (max, _SCENE) if fit == "pad" else (min, _PHOTO)
    median = statistics.median(decisive(header.height, header.width) for header in headers)
    edge = min(most, max(_STRIDE, _STRIDE * round(median / _STRIDE)))
    return edge, edge


def refuse(bad: Sequence[Bad]) -> None:
    """Raise a DataError that names the first three bad pictures, where there are any."""
    if bad:
        first = "; ".join(f"{picture.file} {picture.reason}" for picture in bad[:3])
        raise DataError(f"{count(len(bad), 'picture')} cannot be used: {first}{' ...' if len(bad) > 3 else ''}. "
                        "Mend or remove them, or leave them out with pictures.on_bad=skip")


def drop(source: Kept, bad: Sequence[Bad], *, on_bad: OnBad) -> Kept:
    """The source without its bad pictures, which are known by their file.

    Raises DataError where there are any and `on_bad` is "refuse", and where nothing, or nothing of a class, would stay.
    """
    choose({"skip": 0, "refuse": 0}, on_bad, "pictures.on_bad")
    if on_bad == "refuse":
        refuse(bad)
    if not bad:
        return source
    reasons = {picture.file: picture.reason for picture in bad}
    files = [source.place(row).file for row in range(len(source))]
    good = [row for row, file in enumerate(files) if file not in reasons]
    if not good:
        raise DataError(f"none of the {count(len(source), 'picture')} can be used; the first: {bad[0].file} "
                        f"{bad[0].reason}")
    for target, label in source.targets.items():
        if not isinstance(label, Label):
            continue
        index = label.index.numpy()
        lost = np.setdiff1d(index[index >= 0], index[good])
        if len(lost):
            file = files[int(np.argmax(index == lost[0]))]
            raise DataError(f"no picture of class {source.classes[target][lost[0]]!r} can be used; the first: {file} "
                            f"{reasons[file]}. Mend its pictures or take the class out")
    return source.subset(good)
