"""Pictures composed anew: at another scale and position, or four to a picture (mosaic), their boxes with them."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.packed_pixels import scaled
from lensmith.data.batches.pixels import rounded
from lensmith.data.sources.sample import Batch
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

TILES = 4         # of a mosaic
_LEAST = 0.1      # a box that is cut stays where this fraction of its area is still seen
_EDGE = 1.0       # and where it is at least so many pixels wide and high


@dataclass(frozen=True)
class TileLayout:
    """Where each tile of a batch goes, in whole pixels, int64 [batch, tiles]; both rectangles of a tile that is not
    shown are empty."""

    source: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]    # x0 y0 x1 y1 of what is shown of it
    target: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]    # x0 y0 x1 y1 of where it is shown
    mirrored: np.ndarray                                             # bool

    def matrix(self) -> Tensor:
        """float [batch * tiles, 2, 3]: takes the pixels of a tile to those of the picture that it goes into."""
        matrix = np.zeros((*self.mirrored.shape, 2, 3), dtype=np.float64)
        for axis in range(2):
            first, last = (self.source[axis + step] for step in (0, 2))
            start, end = (self.target[axis + step] for step in (0, 2))
            scale = (end - start) / np.maximum(last - first, 1)
            mirrored = self.mirrored if axis == 0 else np.zeros_like(self.mirrored)
            matrix[..., axis, axis] = np.where(mirrored, -scale, scale)
            matrix[..., axis, 2] = np.where(mirrored, end + scale * first, start - scale * first)
        return torch.from_numpy(matrix.reshape(-1, 2, 3)).float()


def lay_out(contents: np.ndarray, size: tuple[int, int], *, zoom: np.ndarray, mirrored: np.ndarray, at: np.ndarray,
            mosaic: np.ndarray) -> TileLayout:
    """Where the tiles go in pictures of `size` (height, width).

    contents: int64 [batch, tiles, 4], x0 y0 x1 y1 of each tile without the padding around it.
    zoom: float [batch, tiles], the factor on a tile's size.
    mirrored: bool [batch, tiles].
    at: float [batch, 2] in 0 .. 1, x and y. Of a mosaic: where in the middle half of the picture the four tiles meet,
        each with the corner of its content. Of a picture alone: where it lies in the room that is left, or which part
        of it is shown where it is larger than the picture; its other tiles are nowhere.
    mosaic: bool [batch], which pictures are put together of all their tiles.
    """
    tiles = contents.shape[1]
    right, below = np.arange(tiles) % 2 == 1, np.arange(tiles) // 2 == 1
    source: list[tuple[np.ndarray, np.ndarray]] = []
    target: list[tuple[np.ndarray, np.ndarray]] = []
    for axis, (extent, later) in enumerate(((size[1], right), (size[0], below))):
        first, last = contents[:, :, axis], contents[:, :, axis + 2]
        length = np.maximum(1, np.rint((last - first) * zoom)).astype(np.int64)
        middle = np.rint(extent * (0.25 + 0.5 * at[:, axis])).astype(np.int64)[:, None]
        alone = np.rint((extent - length) * at[:, axis, None]).astype(np.int64)
        start = np.where(mosaic[:, None], np.where(later, middle, middle - length), alone)
        low = np.where(mosaic[:, None] & later, middle, 0)
        high = np.where(mosaic[:, None] & ~later, middle, extent)
        begin, end = np.maximum(start, low), np.minimum(start + length, high)
        shown = [np.clip(np.rint((edge - start) / zoom), 0, last - first).astype(np.int64) for edge in (begin, end)]
        if axis == 0:
            shown = [np.where(mirrored, (last - first) - shown[1], shown[0]),
                     np.where(mirrored, (last - first) - shown[0], shown[1])]
        nothing = (end <= begin) | (shown[1] <= shown[0])
        if axis == 1:
            nothing |= source[0][0] >= source[0][1]
        nothing |= ~mosaic[:, None] & (np.arange(tiles) > 0)
        source.append((np.where(nothing, 0, first + shown[0]), np.where(nothing, 0, first + shown[1])))
        target.append((np.where(nothing, 0, begin), np.where(nothing, 0, end)))
    (left, across), (top, down) = source
    (x0, x1), (y0, y1) = target
    return TileLayout((left, top, across, down), (x0, y0, x1, y1), mirrored)


def compose(batch: Batch, others: Batch | None, layout: TileLayout, *, padding: int) -> Batch:
    """The pictures of `batch` as `layout` has them, with the value `padding` where no tile is; `others` holds the
    second to fourth tile of each, in a row."""
    images = batch.images
    composed = torch.full_like(images, padding)
    source, target = (np.stack(edges, 2).tolist() for edges in (layout.source, layout.target))
    for row, tiles in enumerate(target):
        for tile, (x0, y0, x1, y1) in enumerate(tiles):
            left, top, right, bottom = source[row][tile]
            if right <= left or bottom <= top:
                continue
            whole = images[row] if tile == 0 or others is None else others.images[row * (TILES - 1) + tile - 1]
            shown = _resized(whole[:, top:bottom, left:right], (y1 - y0, x1 - x0))
            composed[row, :, y0:y1, x0:x1] = shown.flip(-1) if layout.mirrored[row, tile] else shown
    tiles = layout.mirrored.shape[1]
    matrix = layout.matrix().to(images.device)
    windows = torch.from_numpy(np.stack(layout.target, 2).reshape(-1, 4)).float().to(images.device)
    targets = {name: _placed(name, value, others.targets[name] if others is not None else None, matrix, windows,
                             tiles=tiles, size=(images.shape[2], images.shape[3]))
               for name, value in batch.targets.items()}
    return replace(batch, images=composed, targets=targets)


def _resized(crop: Tensor, size: tuple[int, int]) -> Tensor:
    """A crop [channels, height, width] brought to `size`, bilinearly."""
    if crop.shape[1:] == size:
        return crop
    if crop.device.type == "cpu" and crop.dtype == torch.uint8:
        return scaled(crop, size)
    return rounded(F.interpolate(crop[None].float(), size, mode="bilinear", align_corners=False)[0], crop.dtype)


def _placed(name: str, value: Value, others: Value | None, matrix: Tensor, windows: Tensor, *, tiles: int,
            size: tuple[int, int]) -> Value:
    """A target of the pictures that are composed of the tiles: of boxes those of all tiles, cut to what is shown."""
    if isinstance(value, Boxes):
        assert value.image is not None
        every = replace(value, image=value.image * tiles)
        if others is not None:
            assert isinstance(others, Boxes) and others.image is not None
            number = others.image // (TILES - 1) * tiles + 1 + others.image % (TILES - 1)
            every = every.join(replace(others, image=number))
        placed = every.warp_and_cut(matrix, windows, least=_LEAST, edge=_EDGE)
        assert placed.image is not None
        return replace(placed, image=placed.image // tiles)
    if others is not None:
        raise UserError(f"augment.mosaic puts four pictures together, which a {name} target cannot follow: set "
                        "augment.mosaic=0")
    return value.warp(matrix.view(-1, tiles, 2, 3)[:, 0], size)
