"""The typical sizes of the objects in a data set, which are the anchors of a detector."""

import torch
from torch import Tensor

# The sizes on COCO at 416 x 416 (Redmon and Farhadi 2018, "YOLOv3", section 2.3), for data without any object.
COCO = ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0), (30.0, 61.0), (62.0, 45.0), (59.0, 119.0), (116.0, 90.0),
        (156.0, 198.0), (373.0, 326.0))
_ROUNDS = 100    # k-means converges in ten to thirty


def shape_iou(one: Tensor, other: Tensor) -> Tensor:
    """[n, m]: the IoU of boxes with extents [n, 2] and boxes with extents [m, 2], centre on centre."""
    shared = torch.minimum(one[:, None], other[None]).prod(2)
    return shared / (one.prod(1)[:, None] + other.prod(1)[None] - shared).clamp(min=1e-9)


def cluster(extents: Tensor, count: int) -> Tensor:
    """float32 [count, 2]: typical extents (width, height) of those given, float [n, 2], the smallest area first.

    They are the centres of k-means with 1 - IoU as the distance (Redmon and Farhadi 2017, "YOLO9000", section 2). It
    begins at the quantiles of the area, so that the result depends on the extents alone and not on their order. Where
    there are fewer distinct extents than `count`, their halves and doubles are added; where there is none, the sizes on
    COCO are taken.
    """
    extents = extents[(extents > 0).all(1)].double()
    if not len(extents):
        extents = torch.tensor(COCO, dtype=torch.float64)
    while len(extents.unique(dim=0)) < count:
        extents = torch.cat((extents / 2, extents, extents * 2))
    extents = _ordered(extents)
    distinct = _ordered(extents.unique(dim=0))
    starts = extents[_quantiles(len(extents), count)]
    if len(starts.unique(dim=0)) < count:    # one extent is so frequent that it is several quantiles
        starts = distinct[_quantiles(len(distinct), count)]
    centres, members = starts, None
    for _ in range(_ROUNDS):
        nearest = shape_iou(extents, centres).argmax(1)
        if members is not None and torch.equal(nearest, members):
            break
        members = nearest
        sizes = torch.bincount(members, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, members, extents)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    return _ordered(centres).float()


def _ordered(extents: Tensor) -> Tensor:
    """The extents by area, then by width: an order that does not depend on the one given."""
    by_width = extents[extents[:, 0].argsort(stable=True)]
    return by_width[by_width.prod(1).argsort(stable=True)]


def _quantiles(length: int, count: int) -> Tensor:
    return ((torch.arange(count) + 0.5) / count * length).long()
