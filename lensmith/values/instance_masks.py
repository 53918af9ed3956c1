"""Objects with the pixels of each: a value beside the boxes, what is done to its masks, and their run lengths."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.pictures import Place
from lensmith.values.boxes import Boxes
from lensmith.values.semantic_mask import sampling_grid

_AT_ONCE = 1 << 24    # pixels of masks that are worked on at a time, unpacked


@dataclass(frozen=True)
class Masks(Boxes):
    """Objects as boxes with a class each, and the pixels of each.

    Eight pixels are a byte, so that a set's masks fit into memory; what a row is padded with is outside. Measured masks
    stay at the network's size, also where the corners are those of the files.
    """

    bits: Tensor = field(kw_only=True)    # uint8 [n, height, ceil(width / 8)]
    # float [n, rows, columns]: above 0 inside, in cells that cover the picture; where a prediction keeps them
    margins: Tensor | None = field(default=None, kw_only=True)

    @property
    def size(self) -> tuple[int, int]:
        """The height, and the width with what rows are padded with."""
        return self.bits.shape[1], 8 * self.bits.shape[2]

    def pixels(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """bool [k, height, width, padded to whole bytes] of the objects `rows`."""
        return unpacked(self.bits[rows])

    def mask(self, row: int) -> Tensor:
        """bool [height, width, padded to whole bytes]: the pixels of one object."""
        return unpacked(self.bits[row])

    def boxes(self) -> Boxes:
        """The objects without their pixels."""
        return Boxes(self.corners, self.classes, self.scores, self.image, self.crowd, self.area)

    def flip(self, width: int) -> Self:
        parts = [packed(unpacked(bits)[..., :width].flip(-1)) for bits in self._in_parts()]
        return replace(super().flip(width), bits=torch.cat(parts) if parts else self.bits, margins=None)

    def warp(self, matrix: Tensor, size: tuple[int, int]) -> Self:
        edges = torch.tensor([0, 0, size[1], size[0]], dtype=torch.float32, device=self.corners.device)
        return self.place(matrix, edges.expand(len(matrix), 4), size=size)

    def place(self, matrix: Tensor, windows: Tensor, *, least: float = 0.0, edge: float = 1e-3,
              size: tuple[int, int] | None = None) -> Self:
        """As of boxes; `size` (height, width) is of the pictures that are made, else the same as before. Objects of
        which no pixel is left are left out too."""
        assert self.image is not None
        corners, kept = self._placed(matrix, windows, least=least, edge=edge)
        left = replace(self, corners=corners, margins=None)._rows(kept, self.image[kept])
        assert left.image is not None
        size = size or self.size
        straight = bool((matrix[:, 0, 1] == 0).all() and (matrix[:, 1, 0] == 0).all())
        move = _moved if straight else _turned
        left = replace(left, bits=move(left, matrix[left.image], windows[left.image], size))
        return left.chosen((left.bits != 0).flatten(1).any(1)) if len(kept) else left

    def in_files(self, fits: Tensor, sizes: Tensor) -> Self:
        """The corners in the files' pixels; the masks stay as they are, less what lies in the ground around a picture.
        `area`, where there is none, is that of the mask in the files' pixels."""
        assert self.image is not None
        moved = super().in_files(fits, sizes)
        low = fits[:, 2:].round()
        high = (fits[:, 2:] + sizes.flip(1) * fits[:, :2]).round()
        columns, rows = (torch.arange(edge, device=fits.device)[None] for edge in (self.size[1], self.size[0]))
        across = packed((columns >= low[:, :1]) & (columns < high[:, :1]))    # [batch, ceil(width / 8)]
        down = (rows >= low[:, 1:]) & (rows < high[:, 1:])                    # [batch, height]
        bits = self.bits & (across[:, None] * down[:, :, None])[self.image]
        area = self.area
        if area is None:
            area = pixel_counts(bits) / fits[:, :2].prod(1)[self.image]
        return replace(moved, bits=bits, area=area)

    def _in_parts(self) -> Sequence[Tensor]:
        return self.bits.split(max(1, _AT_ONCE // max(1, 8 * self.bits[:1].numel()))) if len(self.bits) else ()


def packed(pixels: Tensor) -> Tensor:
    """uint8 [..., ceil(width / 8)]: bool [..., width], eight a byte, the first the highest bit."""
    missing = -pixels.shape[-1] % 8
    whole = F.pad(pixels.to(torch.uint8), (0, missing)) if missing else pixels.to(torch.uint8)
    return (whole.unflatten(-1, (-1, 8)) << _shifts(pixels.device)).sum(-1, dtype=torch.uint8)


def unpacked(bits: Tensor) -> Tensor:
    """bool [..., 8 * bytes]: what `packed` has packed, with what it was padded with."""
    return (bits[..., None] >> _shifts(bits.device) & 1).flatten(-2).bool()


def _shifts(device: torch.device) -> Tensor:
    return torch.arange(7, -1, -1, dtype=torch.uint8, device=device)


def pixel_counts(bits: Tensor) -> Tensor:
    """float32 [n]: the pixels of each mask [n, height, bytes]."""
    table = torch.tensor([number.bit_count() for number in range(256)], device=bits.device)
    return torch.stack([table[one.int()].sum() for one in bits]).float() if len(bits) else \
        torch.zeros(0, device=bits.device)


def _moved(masks: Masks, matrix: Tensor, windows: Tensor, size: tuple[int, int]) -> Tensor:
    """The bits of the masks of new corners after maps without rotation, `matrix` float [n, 2, 3], cut to `windows`, by
    the pixel in which each new one's centre lies; only what is in the boxes' reach is looked at."""
    height, width = masks.size
    found = torch.zeros(len(matrix), size[0], -(-size[1] // 8), dtype=torch.uint8, device=masks.bits.device)
    # Float64: a whole number stays one.
    plan, limits = matrix.double().tolist(), windows.round().int().tolist()
    for row, (((across, _, left), (_, down, top)), (x0, y0, x1, y1)) in enumerate(zip(plan, limits, strict=True)):
        own = masks.bits[row]
        lines, columns = own.any(1).nonzero()[:, 0], own.any(0).nonzero()[:, 0]
        if not len(lines):
            continue
        reach = [sorted((int(first) * scale + shift, (int(last) + 1) * scale + shift)) for first, last, scale, shift in
                 ((8 * columns[0], 8 * columns[-1] + 7, across, left), (lines[0], lines[-1], down, top))]
        (x0, x1), (y0, y1) = ((max(first, int(low)), min(last, int(high) + 1)) for (first, last), (low, high) in
                              zip(((x0, x1), (y0, y1)), reach, strict=True))
        x0 = max(0, x0) // 8 * 8    # whole bytes, so that the part can be packed into its place
        x1, y0, y1 = min(x1, size[1]), max(0, y0), min(y1, size[0])
        if x1 <= x0 or y1 <= y0:
            continue
        x = ((torch.arange(x0, x1, device=own.device, dtype=torch.float64) + 0.5 - left) / across).floor().long()
        y = ((torch.arange(y0, y1, device=own.device, dtype=torch.float64) + 0.5 - top) / down).floor().long()
        seen = unpacked(own[y.clamp(0, height - 1)])[:, x.clamp(0, width - 1)]
        seen &= ((x >= 0) & (x < width))[None] & ((y >= 0) & (y < height))[:, None]
        if x0 < limits[row][0]:
            seen[:, : limits[row][0] - x0] = False
        found[row, y0:y1, x0 // 8 : -(-x1 // 8)] = packed(seen)
    return found


def _turned(masks: Masks, matrix: Tensor, windows: Tensor, size: tuple[int, int]) -> Tensor:
    """As `_moved`, after any affine maps."""
    rows, columns = (torch.arange(edge, device=matrix.device) + 0.5 for edge in size)
    parts = []
    for start in range(0, len(matrix), step := max(1, _AT_ONCE // (size[0] * size[1]))):
        part = slice(start, start + step)
        grid = sampling_grid(matrix[part], masks.size, size)
        seen = F.grid_sample(masks.pixels(part)[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0] > 0
        x0, y0, x1, y1 = (edge[:, None] for edge in windows[part].unbind(1))
        seen &= ((columns > x0) & (columns < x1))[:, None] & ((rows > y0) & (rows < y1))[:, :, None]
        parts.append(packed(seen))
    return torch.cat(parts) if parts else masks.bits.new_zeros(0, size[0], -(-size[1] // 8))


def in_boxes(margins: Tensor, corners: Tensor, size: tuple[int, int], place: Place | None = None) -> Tensor:
    """uint8 [n, height, ceil(width / 8)]: where margins [n, rows, columns], interpolated bilinearly, are above 0, in
    the objects' boxes alone.

    The cells of `margins` cover the network's picture of `size` (height, width). Without a `place` the masks are of
    that picture; with it of its file, whose pixels the `corners` [n, 4] then are in.
    """
    (scale_x, scale_y, left, top), (height, width) = (place.fit, place.size) if place is not None else \
        ((1.0, 1.0, 0.0, 0.0), size)
    found = np.zeros((len(margins), height, -(-width // 8)), dtype=np.uint8)
    # On the CPU, object by object: only what is in the boxes has to be looked at.
    heights, boxes = margins.float().cpu().numpy(), corners.cpu().numpy()
    above_y, below_y, share_y = _cells(height, scale_y, top, size[0], margins.shape[1])
    above_x, below_x, share_x = _cells(width, scale_x, left, size[1], margins.shape[2])
    # A pixel is in a box where its centre is.
    limits = np.ceil(boxes - 0.5).clip(0, [width, height, width, height]).astype(np.int64).tolist()
    for row, (x0, y0, x1, y1) in enumerate(limits):
        if x1 <= x0 or y1 <= y0:
            continue
        begin = x0 // 8 * 8    # bytes are written as wholes
        down, along = slice(y0, y1), slice(begin, x1)
        low, high = heights[row, above_y[down]], heights[row, below_y[down]]
        lines = low + (high - low) * share_y[down, None]
        low, high = lines[:, above_x[along]], lines[:, below_x[along]]
        inside = low + (high - low) * share_x[along] > 0
        inside[:, : x0 - begin] = False
        found[row, down, begin // 8 : -(-x1 // 8)] = np.packbits(inside, axis=1)
    return torch.from_numpy(found).to(margins.device)


def _cells(length: int, scale: float, shift: float, edge: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For the pixels of an axis the cells, of those that cover a picture's `edge`, between whose middles each lies, and
    the share of the second."""
    place = (((np.arange(length) + 0.5) * scale + shift) * (cells / edge) - 0.5).clip(0, cells - 1)
    low = place.astype(np.int64)
    return low, np.minimum(low + 1, cells - 1), (place - low).astype(np.float32)


def object_in_file(masks: Masks, place: Place, size: tuple[int, int]) -> Masks:
    """The found objects of a single picture of the network's `size` (height, width), corners in the file's pixels
    already, with masks of the file's own size; they have `margins`."""
    assert masks.margins is not None
    bits = in_boxes(masks.margins.float(), masks.corners, size, place)
    return replace(masks, bits=bits, margins=None, area=pixel_counts(bits))


def run_lengths(pixels: np.ndarray) -> list[int]:
    """COCO's run lengths of a mask, bool [height, width]: column by column, the first run outside the object."""
    values = pixels.T.ravel()
    cuts = np.flatnonzero(values[1:] != values[:-1]) + 1
    counts = np.diff(cuts, prepend=0, append=len(values)).tolist()
    return [0, *counts] if len(values) and values[0] else counts


def packed_text(counts: Sequence[int]) -> str:
    """The text that COCO packs run lengths into: five bits a sign from 48 on, the lowest first, the sixth bit for one
    more to follow; from the fourth run on each as the difference to the last but one (cocodataset/cocoapi, maskApi.c).
    """
    text = []
    for i, count in enumerate(counts):
        number = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = number & 31
            number >>= 5
            more = number != (-1 if bits & 16 else 0)
            text.append(chr(48 + (bits | 32 if more else bits)))
    return "".join(text)
