"""Which points of a detection head answer for which object."""

from typing import NamedTuple

import torch
from torch import Tensor

from lensmith.values.box_arithmetic import iou
from lensmith.values.boxes import Boxes

_LEAST = 1e-30    # of an alignment: an IoU of 0.001 to the sixth power is far below the usual 1e-9


class Padded(NamedTuple):
    """The objects of a batch, each picture's filled up to the same number; crowd regions are left out."""

    corners: Tensor    # float [batch, most, 4]
    classes: Tensor    # int64 [batch, most]
    there: Tensor      # bool [batch, most]: an object, not filling


def pad(truth: Boxes, pictures: int) -> Padded:
    """The objects of `pictures` pictures as one table."""
    assert truth.image is not None
    if truth.crowd is not None:
        truth = truth._rows(~truth.crowd, truth.image[~truth.crowd])
    image = truth.image
    assert image is not None
    counts = torch.bincount(image, minlength=pictures)
    within = torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[image]
    most = int(counts.max()) if len(image) else 0
    corners = truth.corners.new_zeros(pictures, most, 4)
    classes = truth.classes.new_zeros(pictures, most)
    corners[image, within], classes[image, within] = truth.corners, truth.classes
    return Padded(corners, classes, torch.arange(most, device=image.device) < counts[:, None])


def in_crowds(truth: Boxes, centres: Tensor, pictures: int) -> Tensor:
    """bool [pictures, points]: the points that lie in a crowd region of their picture."""
    inside = centres.new_zeros(pictures, len(centres))
    if truth.crowd is not None and truth.image is not None:
        regions = truth.corners[truth.crowd, None]
        hit = ((centres > regions[..., :2]) & (centres < regions[..., 2:])).all(-1)
        inside.index_add_(0, truth.image[truth.crowd], hit.to(inside.dtype))
    return inside > 0


class Assignment(NamedTuple):
    """What each point answers for."""

    row: Tensor        # int64 [batch, points]: the object, a row of the padded table; any where there is none
    quality: Tensor    # float [batch, points]: how well the point is to score for it, 0 where there is none


@torch.no_grad()
def task_aligned(chances: Tensor, corners: Tensor, centres: Tensor, strides: Tensor, truth: Padded, *, most: int = 10,
                 alpha: float = 0.5, beta: float = 6.0) -> Assignment:
    """The points that score and place an object best answer for it (Feng et al. 2021, "TOOD", section 3.2).

    Of the points inside an object the `most` with the greatest chance ** alpha * IoU ** beta take it; one that two
    objects want goes to the one with which it overlaps more. The best point of an object is to score that object's
    greatest IoU, the others in proportion. An object smaller than a cell counts the point nearest to it as inside.
    `chances` [batch, points, classes] and boxes `corners` [batch, points, 4] are what the network says now.
    """
    batch, points = corners.shape[:2]
    objects = truth.there.shape[1]
    if not objects:
        return Assignment(torch.zeros(batch, points, dtype=torch.int64, device=corners.device),
                          corners.new_zeros(batch, points))
    middle = (truth.corners[..., :2] + truth.corners[..., 2:]) / 2
    half = ((truth.corners[..., 2:] - truth.corners[..., :2]) / 2).clamp(min=float(strides.min()) / 2)
    candidate = truth.there[:, :, None]                                          # -> [batch, objects, points]
    for axis in range(2):
        candidate = candidate & ((centres[:, axis] - middle[:, :, axis, None]).abs() <= half[:, :, axis, None])
    # Of all pairs of an object and a point few are candidates: only these are worked out.
    image, row, point = candidate.nonzero(as_tuple=True)
    near = iou(truth.corners[image, row], corners[image, point])
    overlap, aligned = corners.new_zeros(2, batch, objects, points)
    overlap[image, row, point] = near
    aligned[image, row, point] = chances[image, point, truth.classes[image, row]] ** alpha * near**beta
    best = aligned.topk(min(most, points), 2)
    taken = torch.zeros_like(candidate).scatter_(2, best.indices, True) & candidate
    owner = torch.where(taken, overlap, -1.0).argmax(1)                          # [batch, points]
    taken &= owner[:, None] == torch.arange(objects, device=owner.device)[:, None]
    aligned, overlap = aligned * taken, overlap * taken
    share = aligned / aligned.amax(2, keepdim=True).clamp(min=_LEAST)
    return Assignment(owner, (share * overlap.amax(2, keepdim=True)).amax(1))


@torch.no_grad()
def best_anchors(truth: Padded, cells: Tensor, strides: Tensor, extents: Tensor) -> Tensor:
    """int64 [batch, anchors]: the object that each anchor answers for, a row of the padded table, -1 for none.

    Each object is given to one anchor: of those in whose cell its centre lies the one with the shape most like its own
    (Redmon and Farhadi 2018, "YOLOv3", section 2.1). Of two objects that want the same the later one has it. `cells`,
    `strides` and `extents` are [anchors, 2]: a cell's upper left corner, its size and the anchor's, in pixels.
    """
    batch, most = truth.there.shape
    owner = torch.full((batch, len(cells)), -1, dtype=torch.int64, device=cells.device)
    if not most:
        return owner
    picture = (cells + strides).amax(0)
    middle = (truth.corners[..., :2] + truth.corners[..., 2:]) / 2
    middle = torch.minimum(middle, picture - 1e-3 * strides.amin(0)).clamp(min=0)[:, :, None]
    inside = truth.there[:, :, None]                                             # -> [batch, objects, anchors]
    for axis in range(2):
        first, own = cells[:, axis], middle[..., axis]
        inside = inside & (own >= first) & (own < first + strides[:, axis])
    image, row, anchor = inside.nonzero(as_tuple=True)
    extent = (truth.corners[..., 2:] - truth.corners[..., :2])[image, row]
    alike = torch.full(inside.shape, -1.0, device=cells.device)
    shared = torch.minimum(extent, extents[anchor]).prod(1)
    alike[image, row, anchor] = shared / (extent.prod(1) + extents[anchor].prod(1) - shared).clamp(min=1e-9)
    number = torch.where(truth.there, torch.arange(most, device=cells.device), -1)
    return owner.scatter_reduce_(1, alike.argmax(2), number, "amax")
