"""Objects with the pixels of each, eight pixels to a byte, and their run-length encoding (RLE) as COCO has it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.pictures import Place
from lensmith.values.boxes import Boxes
from lensmith.values.semantic_mask import sampling_grid

_AT_ONCE = 1 << 24    # unpacked pixels of masks that are worked on at a time


@dataclass(frozen=True)
class Masks(Boxes):
    """Objects as boxes with a class each, and the pixels of each.

    Eight pixels share a byte, so that the masks of a whole set fit into memory. Rows are padded to whole bytes, and the
    padding is outside of the object. Measured masks stay at the network's size, even where the corners are in the
    pixels of the files.
    """

    kind: ClassVar[str] = "masks"

    bits: Tensor = field(kw_only=True)    # uint8 [n, height, ceil(width / 8)]
    # float [n, rows, columns], in cells that cover the picture, above 0 inside; None where a prediction keeps none
    margins: Tensor | None = field(default=None, kw_only=True)

    @property
    def size(self) -> tuple[int, int]:
        """The height, and the width with the padding of the rows."""
        return self.bits.shape[1], 8 * self.bits.shape[2]

    def pixels(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """bool [k, height, width, padded to whole bytes] of the objects `rows`."""
        return unpack_bits(self.bits[rows])

    def mask(self, row: int) -> Tensor:
        """bool [height, width, padded to whole bytes]: the pixels of one object."""
        return unpack_bits(self.bits[row])

    def boxes(self) -> Boxes:
        """The objects without their pixels."""
        return Boxes(self.corners, self.classes, self.scores, self.image, self.crowd, self.area)

    def flip(self, width: int) -> Self:
        flipped = [pack_bits(unpack_bits(bits)[..., :width].flip(-1)) for bits in self._chunks()]
        return replace(super().flip(width), bits=torch.cat(flipped) if flipped else self.bits, margins=None)

    def warp(self, matrix: Tensor, size: tuple[int, int]) -> Self:
        edges = torch.tensor([0, 0, size[1], size[0]], dtype=torch.float32, device=self.corners.device)
        return self.warp_and_cut(matrix, edges.expand(len(matrix), 4), size=size)

    def warp_and_cut(self, matrix: Tensor, windows: Tensor, *, least: float = 0.0, edge: float = 1e-3,
                     size: tuple[int, int] | None = None) -> Self:
        """As `Boxes.warp_and_cut`. Objects of which no pixel is left are left out too.

        `size` (height, width) is that of the new pictures, by itself that of the old ones.
        """
        assert self.image is not None
        corners, kept = self._warped_corners(matrix, windows, least=least, edge=edge)
        objects = replace(self, corners=corners, margins=None)._rows(kept, self.image[kept])
        assert objects.image is not None
        size = size or self.size
        axis_aligned = bool((matrix[:, 0, 1] == 0).all() and (matrix[:, 1, 0] == 0).all())
        warp_bits = _axis_aligned_bits if axis_aligned else _affine_bits
        objects = replace(objects, bits=warp_bits(objects, matrix[objects.image], windows[objects.image], size))
        return objects.chosen((objects.bits != 0).flatten(1).any(1)) if len(kept) else objects

    def in_files(self, fits: Tensor, sizes: Tensor) -> Self:
        """The corners in the files' pixels. The masks keep their size and lose what lies in the padding of a letterbox.

        `area`, where there is none, becomes that of the mask in the files' pixels.
        """
        assert self.image is not None
        moved = super().in_files(fits, sizes)
        low = fits[:, 2:].round()
        high = (fits[:, 2:] + sizes.flip(1) * fits[:, :2]).round()
        columns, rows = (torch.arange(edge, device=fits.device)[None] for edge in (self.size[1], self.size[0]))
        across = pack_bits((columns >= low[:, :1]) & (columns < high[:, :1]))    # [batch, ceil(width / 8)]
        down = (rows >= low[:, 1:]) & (rows < high[:, 1:])                    # [batch, height]
        bits = self.bits & (across[:, None] * down[:, :, None])[self.image]
        area = self.area
        if area is None:
            area = pixel_counts(bits) / fits[:, :2].prod(1)[self.image]
        return replace(moved, bits=bits, area=area)

    def in_file(self, place: Place, size: tuple[int, int]) -> Self:
        """The objects of a single picture with masks of the file's own size, made from their `margins`; masks without
        them have that size already."""
        if self.margins is None:
            assert self.bits.shape[1] == place.size[0], "masks without margins keep their size"
            return self
        bits = in_boxes(self.margins.float(), self.corners, size, place)
        return replace(self, bits=bits, margins=None, area=pixel_counts(bits))

    def compact(self, *, scores: bool) -> Self:
        return replace(self, margins=None)

    def _chunks(self) -> Sequence[Tensor]:
        return self.bits.split(max(1, _AT_ONCE // max(1, 8 * self.bits[:1].numel()))) if len(self.bits) else ()


def pack_bits(pixels: Tensor) -> Tensor:
    """uint8 [..., ceil(width / 8)] of bool [..., width]: eight pixels a byte, the first in its highest bit."""
    missing = -pixels.shape[-1] % 8
    padded = F.pad(pixels.to(torch.uint8), (0, missing)) if missing else pixels.to(torch.uint8)
    return (padded.unflatten(-1, (-1, 8)) << _shifts(pixels.device)).sum(-1, dtype=torch.uint8)


def unpack_bits(bits: Tensor) -> Tensor:
    """bool [..., 8 * bytes]: what `pack_bits` has packed, with its padding."""
    return (bits[..., None] >> _shifts(bits.device) & 1).flatten(-2).bool()


def _shifts(device: torch.device) -> Tensor:
    return torch.arange(7, -1, -1, dtype=torch.uint8, device=device)


def pixel_counts(bits: Tensor) -> Tensor:
    """float32 [n]: the pixels of each mask [n, height, bytes]."""
    table = torch.tensor([number.bit_count() for number in range(256)], device=bits.device)
    return torch.stack([table[mask.int()].sum() for mask in bits]).float() if len(bits) else \
        torch.zeros(0, device=bits.device)


def _axis_aligned_bits(masks: Masks, matrix: Tensor, windows: Tensor, size: tuple[int, int]) -> Tensor:
    """The bits of the masks after maps without rotation, `matrix` float [n, 2, 3], cut to `windows` [n, 4].

    Each new pixel takes the old one in which its centre lies. Only the part of the new picture that the object can
    reach is computed.
    """
    height, width = masks.size
    warped = torch.zeros(len(matrix), size[0], -(-size[1] // 8), dtype=torch.uint8, device=masks.bits.device)
    # Float64: a whole number stays one.
    maps, limits = matrix.double().tolist(), windows.round().int().tolist()
    for row, (((across, _, left), (_, down, top)), (x0, y0, x1, y1)) in enumerate(zip(maps, limits, strict=True)):
        bits = masks.bits[row]
        lines, columns = bits.any(1).nonzero()[:, 0], bits.any(0).nonzero()[:, 0]
        if not len(lines):
            continue
        reach = [sorted((int(first) * scale + shift, (int(last) + 1) * scale + shift)) for first, last, scale, shift in
                 ((8 * columns[0], 8 * columns[-1] + 7, across, left), (lines[0], lines[-1], down, top))]
        (x0, x1), (y0, y1) = ((max(first, int(low)), min(last, int(high) + 1)) for (first, last), (low, high) in
                              zip(((x0, x1), (y0, y1)), reach, strict=True))
        x0 = max(0, x0) // 8 * 8    # a whole byte, so that the part can be packed on its own
        x1, y0, y1 = min(x1, size[1]), max(0, y0), min(y1, size[0])
        if x1 <= x0 or y1 <= y0:
            continue
        x = ((torch.arange(x0, x1, device=bits.device, dtype=torch.float64) + 0.5 - left) / across).floor().long()
        y = ((torch.arange(y0, y1, device=bits.device, dtype=torch.float64) + 0.5 - top) / down).floor().long()
        seen = unpack_bits(bits[y.clamp(0, height - 1)])[:, x.clamp(0, width - 1)]
        seen &= ((x >= 0) & (x < width))[None] & ((y >= 0) & (y < height))[:, None]
        if x0 < limits[row][0]:
            seen[:, : limits[row][0] - x0] = False
        warped[row, y0:y1, x0 // 8 : -(-x1 // 8)] = pack_bits(seen)
    return warped


def _affine_bits(masks: Masks, matrix: Tensor, windows: Tensor, size: tuple[int, int]) -> Tensor:
    """As `_axis_aligned_bits`, after any affine maps."""
    rows, columns = (torch.arange(edge, device=matrix.device) + 0.5 for edge in size)
    warped = []
    for start in range(0, len(matrix), step := max(1, _AT_ONCE // (size[0] * size[1]))):
        chunk = slice(start, start + step)
        grid = sampling_grid(matrix[chunk], masks.size, size)
        seen = F.grid_sample(masks.pixels(chunk)[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0] > 0
        x0, y0, x1, y1 = (edge[:, None] for edge in windows[chunk].unbind(1))
        seen &= ((columns > x0) & (columns < x1))[:, None] & ((rows > y0) & (rows < y1))[:, :, None]
        warped.append(pack_bits(seen))
    return torch.cat(warped) if warped else masks.bits.new_zeros(0, size[0], -(-size[1] // 8))


def in_boxes(margins: Tensor, corners: Tensor, size: tuple[int, int], place: Place | None = None) -> Tensor:
    """uint8 [n, height, ceil(width / 8)]: the pixels within the objects' boxes where `margins` are above 0.

    `margins` float [n, rows, columns] are interpolated bilinearly; their cells cover the network's picture of `size`
    (height, width). Without a `place` the masks are of that picture. With a `place` the masks are of its file, and the
    `corners` [n, 4] have to be in the file's pixels.
    """
    (scale_x, scale_y, left, top), (height, width) = (place.fit, place.size) if place is not None else \
        ((1.0, 1.0, 0.0, 0.0), size)
    bits = np.zeros((len(margins), height, -(-width // 8)), dtype=np.uint8)
    # On the CPU, object by object: only what is in the boxes has to be looked at.
    cells, boxes = margins.float().cpu().numpy(), corners.cpu().numpy()
    above_y, below_y, fraction_y = _cells(height, scale_y, top, size[0], margins.shape[1])
    above_x, below_x, fraction_x = _cells(width, scale_x, left, size[1], margins.shape[2])
    # A pixel is in a box where its centre is.
    limits = np.ceil(boxes - 0.5).clip(0, [width, height, width, height]).astype(np.int64).tolist()
    for row, (x0, y0, x1, y1) in enumerate(limits):
        if x1 <= x0 or y1 <= y0:
            continue
        begin = x0 // 8 * 8    # bytes are written as wholes
        down, along = slice(y0, y1), slice(begin, x1)
        low, high = cells[row, above_y[down]], cells[row, below_y[down]]
        lines = low + (high - low) * fraction_y[down, None]
        low, high = lines[:, above_x[along]], lines[:, below_x[along]]
        inside = low + (high - low) * fraction_x[along] > 0
        inside[:, : x0 - begin] = False
        bits[row, down, begin // 8 : -(-x1 // 8)] = np.packbits(inside, axis=1)
    return torch.from_numpy(bits).to(margins.device)


def _cells(length: int, scale: float, shift: float, edge: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of the `length` pixels of an axis the two cells between whose middles it lies, and the second's weight.

    The axis has so many `cells`, which cover a picture's `edge`.
    """
    positions = (((np.arange(length) + 0.5) * scale + shift) * (cells / edge) - 0.5).clip(0, cells - 1)
    low = positions.astype(np.int64)
    return low, np.minimum(low + 1, cells - 1), (positions - low).astype(np.float32)


def rle_counts(pixels: np.ndarray) -> list[int]:
    """COCO's RLE of a mask, bool [height, width]: the lengths of the runs down each column, the first run outside."""
    values = pixels.T.ravel()
    cuts = np.flatnonzero(values[1:] != values[:-1]) + 1
    counts = np.diff(cuts, prepend=0, append=len(values)).tolist()
    return [0, *counts] if len(values) and values[0] else counts


def rle_text(counts: Sequence[int]) -> str:
    """COCO's compressed RLE (cocodataset/cocoapi, maskApi.c).

    Each character, from 48 on, holds five bits of a number, the lowest first; its sixth bit says that more follow. From
    the fourth run on, the number is the difference to the last run but one.
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
