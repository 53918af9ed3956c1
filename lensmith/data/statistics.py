"""Mean and deviation of the pictures, per channel, in their own units: what the network standardises by."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lensmith.data.memory import InMemory, take_pictures
from lensmith.data.sample import Dataset

_ENOUGH = 2_000    # pictures decoded to estimate the two numbers of a streamed set: their error is then below 1 %


def statistics(dataset: Dataset) -> tuple[list[float], list[float]]:
    """(mean, deviation), one number a channel. All pictures where they lie in memory, else an even choice of them.

    A channel that never changes gets deviation 1, so that standardising it gives 0 and not a division by zero.
    """
    total = square = torch.zeros(())
    pixels = 0
    for part in _parts(dataset):
        values = part.to(torch.int32).double() if part.dtype == torch.uint16 else part.double()
        total, square = total + values.sum((0, 2, 3)), square + values.square().sum((0, 2, 3))
        pixels += values.numel() // values.shape[1]
    mean = total / pixels
    deviation = (square / pixels - mean.square()).clamp(min=0).sqrt()
    return mean.tolist(), [one if one > 1e-3 else 1.0 for one in deviation.tolist()]


def _parts(dataset: Dataset) -> Iterator[Tensor]:
    if isinstance(dataset, InMemory):
        for rows in torch.arange(len(dataset)).split(4_096):
            yield take_pictures(dataset.images, rows)
        return
    step = max(1, len(dataset) // _ENOUGH)
    for i in range(0, len(dataset), step):
        yield dataset[i].image[None]
