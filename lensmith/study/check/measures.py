"""What is measured of decoded pictures, many of one size at a time: thumbnails, light and sharpness."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

EDGE = 32       # pixels of a thumbnail, each way
COLOURS = 8     # pixels of its colours, each way
_DARKEST, _LIGHTEST = 0.01, 0.99    # the quantiles that stand for black and white: a few pixels do not count
_BITS = 22      # of Pillow's weights when it resizes


@dataclass(frozen=True)
class Measures:
    """Of each picture what `Pictures` keeps under the same name."""

    light: np.ndarray               # uint8 [n, 32, 32]
    colours: np.ndarray | None      # uint8 [n, 2, 8, 8]; None of gray pictures
    darkest: np.ndarray             # int64 [n]
    lightest: np.ndarray            # int64 [n]
    contrast: np.ndarray            # float32 [n]
    sharpness: np.ndarray           # float32 [n]; NaN where flat


def measured(pictures: np.ndarray) -> Measures:
    """`pictures` uint8 [n, 1 or 3, height, width] -> their measures, by the luma and the colours of JPEG."""
    number, channels, height, width = pictures.shape
    colours = None
    if channels == 1:
        light = pictures[:, 0]
    else:    # one tall picture: each call of Pillow takes as long as converting a small one
        tall = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)).reshape(number * height, width, 3)
        planes = np.asarray(Image.fromarray(tall).convert("YCbCr")).reshape(number, height, width, 3)
        light = np.ascontiguousarray(planes[..., 0])
        colours = np.stack([squared(planes[..., plane], COLOURS) for plane in (1, 2)], 1)
    darkest, lightest = _quantiles(light)
    values = light.astype(np.float32)
    contrast = values.std((1, 2))
    sharpness = np.full(number, np.nan, np.float32)
    some = contrast > 0
    if min(height, width) > 2 and some.any():
        across = values[:, :, 2:] - 2 * values[:, :, 1:-1] + values[:, :, :-2]
        down = values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]
        squares = np.square(across).mean((1, 2)) + np.square(down).mean((1, 2))
        sharpness[some] = squares[some] / (2 * contrast[some] ** 2)
    return Measures(squared(light, EDGE), colours, darkest, lightest, contrast, sharpness)


def squared(planes: np.ndarray, edge: int) -> np.ndarray:
    """uint8 [n, height, width] -> uint8 [n, edge, edge], bilinear and antialiased, as Pillow does it: to the bit, or 1
    apart where one axis grows and the other shrinks, which it may take in the other order."""
    for axis in (2, 1):
        if planes.shape[axis] != edge:
            weights = _weights(planes.shape[axis], edge)
            sums = planes.astype(np.float64) @ weights.T if axis == 2 else weights @ planes.astype(np.float64)
            planes = np.floor((sums + 2 ** (_BITS - 1)) / 2 ** _BITS).clip(0, 255).astype(np.uint8)
    return planes


@lru_cache(maxsize=256)
def _weights(length: int, edge: int) -> np.ndarray:
    """float64 [edge, length], whole numbers: how much of each pixel of a line goes into each of `edge` ones."""
    scale = length / edge
    centres = (np.arange(edge) + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None]) / max(1.0, scale)
    weights = np.maximum(0, 1 - distances)
    whole: np.ndarray = np.floor(weights / weights.sum(1, keepdims=True) * 2 ** _BITS + 0.5)
    return whole


def _quantiles(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The luma of the 1 % and of the 99 % quantile of each picture."""
    number = len(light)
    places = light.reshape(number, -1) + 256 * np.arange(number)[:, None]
    counts = np.bincount(places.ravel(), minlength=256 * number).reshape(number, 256).cumsum(1)
    of = counts[0, -1]
    return (counts < _DARKEST * of).sum(1), (counts < _LIGHTEST * of).sum(1)
