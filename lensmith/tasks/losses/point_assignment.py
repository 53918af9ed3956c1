"""Label assignment of detectors: which points or anchors learn to predict which object."""

from typing import NamedTuple

import torch
from torch import Tensor

from lensmith.values.box_arithmetic import iou
from lensmith.values.boxes import Boxes

_LEAST = 1e-30    # divisor of alignments: that of an IoU of 0.001, 1e-18, is far below the usual 1e-9


class Padded(NamedTuple):
    """The objects of a batch, those of each picture padded to the same number; crowd regions are left out."""

    corners: Tensor    # float [batch, objects, 4]
    classes: Tensor    # int64 [batch, objects]
    there: Tensor      # bool [batch, objects]: an object, not padding


def pad(truth: Boxes, pictures: int) -> Padded:
    """The objects of so many `pictures` as one padded table."""
    assert truth.image is not None
    if truth.crowd is not None:
        truth = truth._rows(~truth.crowd, truth.image[~truth.crowd])
    image = truth.image
    assert image is not None
    counts = torch.bincount(image, minlength=pictures)
    within = torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[image]
    objects = int(counts.max()) if len(image) else 0
    corners = truth.corners.new_zeros(pictures, objects, 4)
    classes = truth.classes.new_zeros(pictures, objects)
    corners[image, within], classes[image, within] = truth.corners, truth.classes
    return Padded(corners, classes, torch.arange(objects, device=image.device) < counts[:, None])


def in_crowds(truth: Boxes, centres: Tensor, pictures: int) -> Tensor:
    """bool [pictures, points]: the points that lie in a crowd region of their picture."""
    regions_around = centres.new_zeros(pictures, len(centres))
    if truth.crowd is not None and truth.image is not None:
        regions = truth.corners[truth.crowd, None]
        inside = ((centres > regions[..., :2]) & (centres < regions[..., 2:])).all(-1)
        regions_around.index_add_(0, truth.image[truth.crowd], inside.to(regions_around.dtype))
    return regions_around > 0


class Assignment(NamedTuple):
    """The object that each point learns to predict."""

    row: Tensor        # int64 [batch, points]: its row in the padded table; any row where there is none
    quality: Tensor    # float [batch, points]: the score that the point is to give it, 0 where there is none


@torch.no_grad()
def task_aligned(scores: Tensor, corners: Tensor, centres: Tensor, strides: Tensor, truth: Padded, *, most: int = 10,
                 alpha: float = 0.5, beta: float = 6.0) -> Assignment:
    """The assignment of Feng et al. 2021, "TOOD", section 3.2: the points that score and place an object best learn it.

    The alignment of a point with an object is t = score^alpha * IoU^beta, of its score for the object's class. Of the
    points inside an object the `most` with the greatest t take it. A point that several objects want goes to the one
    with the largest IoU. The quality of a point is t / max(t) * max(IoU), each maximum over the points of the object.
    The point nearest to an object that is smaller than a cell counts as inside.

    `scores` [batch, points, classes] and boxes `corners` [batch, points, 4] are what the network predicts now;
    `centres` [points, 2] and `strides` [points] are in pixels.
    """
    batch, points = corners.shape[:2]
    objects = truth.there.shape[1]
    if not objects:
        return Assignment(torch.zeros(batch, points, dtype=torch.int64, device=corners.device),
                          corners.new_zeros(batch, points))
    middle = (truth.corners[..., :2] + truth.corners[..., 2:]) / 2
    half = ((truth.corners[..., 2:] - truth.corners[..., :2]) / 2).clamp(min=float(strides.min()) / 2)
    candidate = truth.there[:, :, None]    # -> [batch, objects, points]
    for axis in range(2):
        candidate = candidate & ((centres[:, axis] - middle[:, :, axis, None]).abs() <= half[:, :, axis, None])
    # Few pairs of an object and a point are candidates, so only these are computed.
    image, row, point = candidate.nonzero(as_tuple=True)
    overlaps = iou(truth.corners[image, row], corners[image, point])
    overlap, aligned = corners.new_zeros(2, batch, objects, points)
    overlap[image, row, point] = overlaps
    aligned[image, row, point] = scores[image, point, truth.classes[image, row]] ** alpha * overlaps**beta
    best = aligned.topk(min(most, points), 2)
    taken = torch.zeros_like(candidate).scatter_(2, best.indices, True) & candidate
    owner = torch.where(taken, overlap, -1.0).argmax(1)    # [batch, points]
    taken &= owner[:, None] == torch.arange(objects, device=owner.device)[:, None]
    aligned, overlap = aligned * taken, overlap * taken
    relative = aligned / aligned.amax(2, keepdim=True).clamp(min=_LEAST)
    return Assignment(owner, (relative * overlap.amax(2, keepdim=True)).amax(1))


@torch.no_grad()
def best_anchors(truth: Padded, cells: Tensor, strides: Tensor, extents: Tensor) -> Tensor:
    """int64 [batch, anchors]: the object that each anchor learns to predict, a row of the padded table, -1 for none.

    Each object goes to one anchor: of those in whose cell its centre lies, the one whose shape has the largest IoU with
    its own, centre on centre (Redmon and Farhadi 2018, "YOLOv3", section 2.1). Of two objects that want the same anchor
    the later one has it.

    `cells`, `strides` and `extents` are [anchors, 2] in pixels: the upper left corner of the anchor's cell, the size of
    the cell, and the size of the anchor.
    """
    batch, objects = truth.there.shape
    owner = torch.full((batch, len(cells)), -1, dtype=torch.int64, device=cells.device)
    if not objects:
        return owner
    picture = (cells + strides).amax(0)
    middle = (truth.corners[..., :2] + truth.corners[..., 2:]) / 2
    middle = torch.minimum(middle, picture - 1e-3 * strides.amin(0)).clamp(min=0)[:, :, None]
    inside = truth.there[:, :, None]    # -> [batch, objects, anchors]
    for axis in range(2):
        first, position = cells[:, axis], middle[..., axis]
        inside = inside & (position >= first) & (position < first + strides[:, axis])
    image, row, anchor = inside.nonzero(as_tuple=True)
    extent = (truth.corners[..., 2:] - truth.corners[..., :2])[image, row]
    shape_overlap = torch.full(inside.shape, -1.0, device=cells.device)
    shared = torch.minimum(extent, extents[anchor]).prod(1)
    shape_overlap[image, row, anchor] = shared / (extent.prod(1) + extents[anchor].prod(1) - shared).clamp(min=1e-9)
    number = torch.where(truth.there, torch.arange(objects, device=cells.device), -1)
    return owner.scatter_reduce_(1, shape_overlap.argmax(2), number, "amax")
