"""Pictures of a store gathered into a batch, shifted, bordered and mirrored: `lensmith::gather_crop_flip`."""

import numpy as np
import torch
from torch import Tensor
from torch.library import custom_op


def gather_lines(pictures: Tensor, rows: Tensor, x: Tensor, y: Tensor, flipped: Tensor) -> Tensor:
    """The pictures `rows` of a store, shifted by whole pixels from the mirrored border, some mirrored left to right.

    `pictures` uint8 or uint16 [n, channels, height, width]; `rows`, `x` (right) and `y` (down) int64 [batch]; `flipped`
    bool [batch]. Target pixel (u, v) shows source pixel (u + x, v + y), or (width - 1 - u + x, v + y) where flipped.
    What lies beyond an edge is mirrored at the edge pixel. -> [batch, channels, height, width], contiguous.

    Raises IndexError for a row that does not exist, or a shift by as much as the picture is wide or high. This form for
    the CPU copies whole lines, wherever they begin, with NumPy. That takes fewer instructions than one index a pixel,
    and starts no OpenMP threads, which in a loading thread would wait for the cores on which the network learns.
    """
    count, channels, height, width = pictures.shape
    row, right, down = rows.numpy(), x.numpy(), y.numpy()
    beyond = np.abs(right)    # pixels of each line that lie beyond the left or right edge
    _check(row, beyond, np.abs(down), pictures.shape)
    if not pictures.is_contiguous():
        return plain_gather_crop_flip(pictures, rows, x, y, flipped)
    stored = pictures.numpy()
    area, bits = height * width, stored.itemsize
    # Element i is the line of `width` pixels that begins at pixel i of the store, also within a picture's line.
    lines = np.ndarray((stored.size - width + 1,), np.dtype((np.void, width * bits)), stored, strides=(bits,))
    within = (height - 1 - np.abs(height - 1 - np.abs(np.arange(height) + down[:, None]))) * width + right[:, None]
    starts = (row[:, None] * (channels * area) + np.arange(0, channels * area, area))[:, :, None] + within[:, None]
    # Lines of the first and the last picture may leave the store, and with a shift by half a width the mirrored part
    # leaves its line. These pictures are computed by the plain form below.
    other = np.flatnonzero((row == 0) | (row == count - 1) | (2 * beyond >= width))
    if len(other):
        starts.clip(0, len(lines) - 1, out=starts)
        beyond[other] = 0
    moved = lines[starts.reshape(-1)].view(stored.dtype).reshape(len(row), channels * height, width)
    # A shifted line has run into its neighbour by `beyond` pixels. What belongs there is in the line itself: the pixel
    # at the same distance on the other side of the edge pixel.
    which = np.repeat(np.arange(len(row)), beyond)
    sign, edge = np.sign(right)[which], np.where(right > 0, width - 1 - right, -right)[which]
    distance = (np.arange(1, len(which) + 1) - np.repeat(beyond.cumsum() - beyond, beyond)) * sign
    moved[which, :, edge + distance] = moved[which, :, edge - distance]
    mirrored = np.flatnonzero(flipped.numpy())
    moved[mirrored] = moved[mirrored][:, :, ::-1]
    batch = torch.from_numpy(moved.reshape(len(row), channels, height, width))
    if len(other):
        chosen = torch.from_numpy(other)
        plain = plain_gather_crop_flip(pictures, rows[chosen], x[chosen], y[chosen], flipped[chosen])
        batch.numpy()[other] = plain.numpy()
    return batch


# On the CPU, where nothing is compiled, `gather_lines` is called directly: the first call of an operator written in
# Python imports PyTorch's compiler, which takes as long as importing PyTorch.
gather_crop_flip = custom_op("lensmith::gather_crop_flip", gather_lines, mutates_args=(), device_types="cpu")


@gather_crop_flip.register_fake
def _(pictures: Tensor, rows: Tensor, x: Tensor, y: Tensor, flipped: Tensor) -> Tensor:
    return pictures.new_empty((len(rows), *pictures.shape[1:]))


def plain_gather_crop_flip(pictures: Tensor, rows: Tensor, x: Tensor, y: Tensor, flipped: Tensor) -> Tensor:
    """As `gather_crop_flip`, by one index a pixel: the form for CUDA, against which the other is checked. It does not
    notice shifts that are too large."""
    height, width = pictures.shape[-2:]
    columns = torch.arange(width, device=pictures.device)
    columns = _mirrored(torch.where(flipped[:, None], columns.flip(0), columns) + x[:, None], width)
    lines = _mirrored(torch.arange(height, device=pictures.device) + y[:, None], height)
    positions = (lines[:, :, None] * width + columns[:, None, :]).view(len(rows), 1, -1)
    # PyTorch does not gather uint16; int16 has the same bytes.
    raw = pictures.view(torch.int16) if pictures.dtype == torch.uint16 else pictures
    taken = raw.index_select(0, rows)
    moved = taken.flatten(2).gather(2, positions.expand(-1, taken.shape[1], -1)).view(taken.shape)
    return moved.view(pictures.dtype)


gather_crop_flip.register_kernel(("cuda", "mps"), plain_gather_crop_flip)


def _mirrored(position: Tensor, length: int) -> Tensor:
    """Positions beyond an edge, mirrored at the edge pixel: -p for p below 0, 2 (length - 1) - p beyond the end."""
    return (length - 1) - ((length - 1) - position.abs()).abs()


def _check(row: np.ndarray, across: np.ndarray, down: np.ndarray, shape: torch.Size) -> None:
    """Raises IndexError. Lines are read from any position of the store, so that nothing else would notice."""
    count, _, height, width = shape
    for name, values, limit in (("row", row.view(np.uint64), count), ("shift across", across, width),
                                ("shift down", down, height)):    # A negative row is huge as uint64.
        if len(values) and values.max() >= limit:
            raise IndexError(f"a {name} of {values.max().astype(np.int64)} is out of range for pictures of "
                             f"{count} x {height} x {width}")
