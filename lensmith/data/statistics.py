"""Mean and deviation of the pictures, per channel, in their own units: what the network standardises by."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from lensmith.data.memory import InMemory, take_pictures
from lensmith.data.sample import Dataset

_ENOUGH = 4_000    # pictures looked at to estimate the two numbers: their error is then below 1 %
_AT_ONCE = 16      # pictures that are summed together


def statistics(dataset: Dataset) -> tuple[list[float], list[float]]:
    """(mean, deviation), one number a channel, of all pictures or of 4,000 evenly chosen ones.

    The sums are whole numbers without rounding, so that it is the same to the bit whether the pictures are kept in
    memory or streamed. A channel that never changes gets deviation 1, so that standardising it gives 0 and not a
    division by zero.
    """
    total: list[int] = []
    square: list[int] = []
    pixels = 0
    for part in _parts(dataset):
        values = part.to(torch.int64)
        found, squared = values.sum((0, 2, 3)).tolist(), values.square().sum((0, 2, 3)).tolist()
        total = [one + more for one, more in zip(total or [0] * len(found), found, strict=True)]
        square = [one + more for one, more in zip(square or [0] * len(found), squared, strict=True)]
        pixels += values.numel() // values.shape[1]
    mean = [one / pixels for one in total]
    deviation = [math.sqrt((two * pixels - one * one) / pixels**2) for one, two in zip(total, square, strict=True)]
    return mean, [one if one > 1e-3 else 1.0 for one in deviation]


def _parts(dataset: Dataset) -> Iterator[Tensor]:
    """The chosen pictures, [some, channels, height, width]."""
    number = min(len(dataset), _ENOUGH)
    rows = torch.arange(number) * len(dataset) // number
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for some in rows.split(_AT_ONCE):
            if isinstance(dataset, InMemory):
                yield take_pictures(dataset.images, some)
            else:
                yield torch.stack([sample.image for sample in pool.map(dataset.__getitem__, some.tolist())])
