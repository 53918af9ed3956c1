"""A mask of the network's picture as one of the file that it came from."""

import torch
from torch import Tensor

from lensmith.base.pictures import Place
from lensmith.values.value import IGNORED, Mask

_AT_ONCE = 1 << 22    # numbers of all classes that are held at a time


def in_file(mask: Mask, place: Place) -> Mask:
    """A single mask as one of the file's own size: uint8 [height, width], IGNORED where the network saw nothing.

    Where the mask has `scores` these are interpolated bilinearly and the likeliest class is taken, so that outlines
    come out smooth; else each pixel takes the class of the nearest. The ground around a letterboxed picture has no part
    in it.
    """
    found = torch.full(place.size, IGNORED, dtype=torch.uint8)
    (rows, seen_rows), (columns, seen_columns) = (
        _sources(place.size[axis], mask.classes.shape[axis], place.fit[1 - axis], place.fit[3 - axis])
        for axis in range(2))
    if not len(rows) or not len(columns):
        return Mask(found)
    if mask.scores is None:
        classes = mask.classes[rows.round().long()][:, columns.round().long()].to(torch.uint8)
    else:
        step = max(1, _AT_ONCE // (len(mask.scores) * len(columns)))
        classes = torch.cat([between(between(mask.scores, part, 1), columns, 2).argmax(0).to(torch.uint8)
                             for part in rows.split(step)])
    found[seen_rows, seen_columns] = classes
    return Mask(found)


def _sources(length: int, edge: int, scale: float, shift: float) -> tuple[Tensor, slice]:
    """Where the pixels of a file lie among the `edge` cells of an axis, in cells from the first one's middle, for those
    that the network saw; and which these are."""
    place = (torch.arange(length, dtype=torch.float64) + 0.5) * scale + shift
    seen = ((place > 0) & (place < edge)).nonzero()[:, 0]
    if not len(seen):
        return place[:0], slice(0, 0)
    first, last = max(0, round(shift)), min(edge, round(shift + length * scale))
    inside = (place[seen] - 0.5).clamp(first, max(first, last - 1))
    return inside, slice(int(seen[0]), int(seen[-1]) + 1)


def between(scores: Tensor, places: Tensor, axis: int) -> Tensor:
    """The scores at places between the cells of an axis."""
    low = places.floor().long()
    high = (low + 1).clamp(max=scores.shape[axis] - 1)
    shape = [1] * scores.ndim
    shape[axis] = -1
    share = (places - low).to(scores.dtype).view(shape)
    return torch.lerp(scores.index_select(axis, low), scores.index_select(axis, high), share)
