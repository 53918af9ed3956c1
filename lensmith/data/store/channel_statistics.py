"""Mean and standard deviation of the pictures, per channel, in their own units: what the network standardises by."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import Form
from lensmith.base.threads_without_openmp import one_thread
from lensmith.data.sources.in_memory import InMemory, take_pictures
from lensmith.data.sources.sample import Dataset
from lensmith.data.store.in_background import Filling

# Pictures by which mean and standard deviation are estimated. The mean of a photo lies about half a standard deviation
# from that of all photos, so that the error is 1 % of the standard deviation with 4,000 and 2 % with 1,000. Of photos
# 1,000 are enough, since their decoding is waited for.
_ENOUGH, _ENOUGH_PHOTOS = 4_000, 1_000
_PHOTO = 96 * 96    # pixels: larger pictures are photos here
_SHOWN = 32         # pictures by which it is seen whether they show anything
_AT_ONCE = 16       # pictures that are summed together
_CACHED = 1 << 18   # floats, one megabyte: what a core's own cache holds
_EXACT = 256        # squares of bytes whose sum float32 holds without rounding, in any order: 256 * 255**2 < 2**24


def statistics(dataset: Dataset) -> tuple[list[float], list[float]]:
    """(mean, standard deviation), one number a channel, of all pictures or of 4,000 evenly chosen ones (photos: 1,000).

    The sums are whole numbers without rounding, so that the result is the same to the bit whether the pictures are kept
    in memory or streamed. A channel that never changes gets the standard deviation 1: standardising it gives 0 and no
    division by zero. Raises DataError where no picture can be decoded.
    """
    total: list[int] = []
    square: list[int] = []
    pixels = 0
    for images in _chunks(dataset):
        sums, squares = _sums(images)
        total = [before + more for before, more in zip(total or [0] * len(sums), sums, strict=True)]
        square = [before + more for before, more in zip(square or [0] * len(sums), squares, strict=True)]
        pixels += images[:, 0].numel()
    if not pixels:
        raise DataError("none of the pictures can be decoded: look at a few of them, or name them all with "
                        "pictures.on_bad=refuse")
    mean = [value / pixels for value in total]
    # std^2 = E[x^2] - E[x]^2, by whole numbers as long as possible.
    std = [math.sqrt((squares * pixels - value * value) / pixels**2) for value, squares in
           zip(total, square, strict=True)]
    return mean, [value if value > 1e-3 else 1.0 for value in std]


def _sums(images: Tensor) -> tuple[list[int], list[int]]:
    """The sums of the values and of their squares by channel, exactly, of [some, channels, height, width]."""
    if images.dtype != torch.uint8:
        deep = images.transpose(0, 1).flatten(1).to(torch.int64)
        return deep.sum(1).tolist(), (deep * deep).sum(1).tolist()
    total = np.zeros(images.shape[1], dtype=np.int64)
    square = np.zeros_like(total)
    # NumPy's sums run on this thread alone: several threads of PyTorch would wait for those that decode meanwhile.
    for some in images.flatten(2).split(max(1, _CACHED // max(1, images[:1].numel()))):
        planes = some.numpy()    # [some, channels, pixels]
        whole = planes.shape[2] // _EXACT * _EXACT
        for run in (planes[:, :, :whole].reshape(*planes.shape[:2], -1, _EXACT), planes[:, :, None, whole:]):
            values = run.astype(np.float32)
            total += np.einsum("pcrv->pcr", values).astype(np.int64).sum((0, 2))
            square += np.einsum("pcrv,pcrv->pcr", values, values).astype(np.int64).sum((0, 2))
    return total.tolist(), square.tolist()


def lacking_variation(dataset: Dataset, form: Form) -> str:
    """What is wrong where 32 evenly chosen pictures show nothing, in words: each has one value alone, or all values lie
    within a shade; "" where they show something."""
    some = list(_chunks(dataset, _SHOWN))
    if not some:
        return ""
    values = torch.cat(some).flatten(2).to(torch.float64)    # [pictures, channels, pixels]
    deviation = float(values.transpose(0, 1).flatten(1).std(1).amax())
    black, white = form.shades
    shade = (white - black) / 255
    if bool((values.amax(2) - values.amin(2) < shade).all()):
        what = f"each of {len(values)} pictures that were looked at has one shade alone"
    elif deviation < shade:
        what = f"the values of {len(values)} pictures that were looked at lie within a shade of each other (their " \
            f"standard deviation is {deviation:.2g} between {black:,} and {white:,})"
    else:
        return ""
    return f"the pictures show no variation: {what}; look at some of them, or say how their values are read with " \
        "pictures.bits and pictures.values"


def some_pictures(dataset: Dataset, most: int) -> Tensor:
    """Evenly chosen pictures, at most so many: uint8 or uint16 [number, channels, height, width]."""
    return torch.cat(list(_chunks(dataset, most)))


def _chunks(dataset: Dataset, most: int | None = None) -> Iterator[Tensor]:
    """Evenly chosen pictures without the bad ones, [some, channels, height, width]; None: as many as are enough."""
    if most is None:
        most = _ENOUGH_PHOTOS if _pixels(dataset) > _PHOTO else _ENOUGH
    number = min(len(dataset), most)
    rows = torch.arange(number) * len(dataset) // number
    if isinstance(dataset, Filling):
        dataset.ask(rows)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for some in rows.split(_AT_ONCE):
            if isinstance(dataset, InMemory):
                yield take_pictures(dataset.images, some)
            elif isinstance(dataset, Filling):
                with one_thread():
                    images = dataset.gather(some).images
                yield images
            else:
                decoded = [image for image in pool.map(partial(_image, dataset), some.tolist()) if image is not None]
                if decoded:
                    yield torch.stack(decoded)


def _pixels(dataset: Dataset) -> int:
    """Pixels of one picture, where they are known before one is decoded; else 0."""
    images = dataset.images if isinstance(dataset, InMemory) else dataset.store.images \
        if isinstance(dataset, Filling) else None
    if images is not None:
        return images.shape[2] * images.shape[3]
    form = getattr(dataset, "form", None)
    return form.height * form.width if isinstance(form, Form) else 0


def _image(dataset: Dataset, row: int) -> Tensor | None:
    """The picture of a row; None where it is bad, which is reported when it is trained on."""
    try:
        return dataset[row].image
    except BadPicture:
        return None
