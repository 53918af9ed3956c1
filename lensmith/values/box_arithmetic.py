"""The arithmetic of boxes: areas, overlaps, and non-maximum suppression (NMS).

Boxes are corners, float [n, 4]: x0 y0 x1 y1.
"""

import math
from typing import Literal

import torch
from torch import Tensor

Overlap = Literal["iou", "giou", "diou", "ciou"]
_LEAST = 1e-7    # keeps a division by the area of an empty box finite, and its gradient too


def area(corners: Tensor) -> Tensor:
    """[n]: the area of each box; 0 where its corners are the wrong way round."""
    return (corners[..., 2:] - corners[..., :2]).clamp(min=0).prod(-1)


def shared_area(a: Tensor, b: Tensor) -> Tensor:
    """The area that boxes share, corners broadcast against each other."""
    return (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """[n, m]: intersection over union of every box of `a` [n, 4] with every box of `b` [m, 4]."""
    shared = shared_area(a[:, None], b[None])
    return shared / (area(a)[:, None] + area(b)[None] - shared).clamp(min=_LEAST)


def iou(a: Tensor, b: Tensor, kind: Overlap = "iou") -> Tensor:
    """[...]: how far the boxes `a` and `b` [..., 4] overlap, pair by pair; 1 where they are the same. Differentiable.

    With the hull C of both boxes, its diagonal c, the distance d of the centres and the angles of the diagonals:

    - `giou` = IoU - |C without a and b| / |C| (Rezatofighi et al. 2019)
    - `diou` = IoU - d² / c² (Zheng et al. 2020)
    - `ciou` = `diou` - w v, where v = 4 / π² (angle of a - angle of b)² and w = v / (1 - IoU + v) (the same)

    These three go down to -1 (`ciou` a little below), and have a gradient where the boxes do not meet.
    """
    shared = shared_area(a, b)
    union = area(a) + area(b) - shared
    plain_iou = shared / union.clamp(min=_LEAST)
    if kind == "iou":
        return plain_iou
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])    # [..., 2]: width, height
    if kind == "giou":
        hull_area = hull.clamp(min=0).prod(-1)
        return plain_iou - (hull_area - union) / hull_area.clamp(min=_LEAST)
    distance = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).square().sum(-1)    # squared, of the centres
    diou = plain_iou - distance / hull.square().sum(-1).clamp(min=_LEAST)
    if kind == "diou":
        return diou
    aspect = (4 / math.pi**2) * (_diagonal_angle(a) - _diagonal_angle(b)).square()
    with torch.no_grad():    # a weight, not a term to be learnt (their equation 11)
        weight = aspect / (1 - plain_iou + aspect).clamp(min=_LEAST)
    return diou - weight * aspect


def _diagonal_angle(corners: Tensor) -> Tensor:
    """[...]: the angle of a box's diagonal, a bounded measure of its aspect ratio."""
    width, height = (corners[..., 2:] - corners[..., :2]).clamp(min=0).unbind(-1)
    return torch.atan(width / height.clamp(min=_LEAST))


def nms(corners: Tensor, scores: Tensor, *, threshold: float) -> Tensor:
    """int64 [kept], highest score first: no kept box overlaps one of a higher score by more than `threshold` IoU.

    By torchvision's operator, on any device.
    """
    # Not at the top: importing torchvision takes longer than most commands that need no boxes.
    from torchvision.ops import nms as suppress

    return suppress(corners.float(), scores.float(), threshold)


def batched_nms(corners: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """int64 [kept], highest score first: `nms` within each group (a class, a picture, a class of a picture).

    `groups` int64 [n]: the group of each box.
    """
    if not len(groups):
        return torch.zeros(0, dtype=torch.int64, device=corners.device)
    if corners.device.type == "cpu":
        order = groups.argsort(stable=True)
        counts = torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()
        kept = torch.cat([rows[nms(corners[rows], scores[rows], threshold=threshold)] for rows in order.split(counts)])
    else:
        # One launch for all groups: each is moved to where no other is. Float64 keeps the digits of the boxes.
        exact = corners.double()
        kept = _suppress_exactly(exact + (groups * (exact.max() - exact.min() + 1))[:, None], scores, threshold)
    kept = kept.sort().values
    return kept[scores[kept].argsort(descending=True, stable=True)]


def _suppress_exactly(corners: Tensor, scores: Tensor, threshold: float) -> Tensor:
    from torchvision.ops import nms as suppress

    return suppress(corners, scores.double(), threshold)


def diou_nms(corners: Tensor, scores: Tensor, *, threshold: float) -> Tensor:
    """int64 [kept], highest score first: as `nms`, by DIoU, which spares boxes with other centres (Zheng et al. 2020).
    """
    remaining = scores.argsort(descending=True, stable=True)
    kept = []
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        kept.append(best)
        remaining = remaining[iou(corners[best], corners[remaining], "diou") <= threshold]
    return torch.stack(kept) if kept else remaining


def soft_nms(corners: Tensor, scores: Tensor, *, kind: Literal["gaussian", "linear"] = "gaussian", sigma: float = 0.5,
             threshold: float = 0.3, least: float = 0.001) -> tuple[Tensor, Tensor]:
    """The boxes kept, int64 [kept], and their lowered scores, highest first (Bodla et al. 2017).

    A box that overlaps one of a higher score is not dropped, but its score is multiplied: by exp(-iou² / sigma) where
    `kind` is gaussian; by 1 - iou, where iou exceeds `threshold`, where it is linear. A box whose score falls below
    `least` is dropped.
    """
    remaining, remaining_scores = torch.arange(len(scores), device=scores.device), scores.clone()
    kept, kept_scores = [], []
    while len(remaining):
        best = remaining_scores.argmax()
        if remaining_scores[best] < least:
            break
        kept.append(remaining[best])
        kept_scores.append(remaining_scores[best])
        overlap = iou(corners[remaining[best]], corners[remaining])
        factors = torch.exp(-overlap.square() / sigma) if kind == "gaussian" else \
            torch.where(overlap > threshold, 1 - overlap, 1.0)
        remaining_scores = remaining_scores * factors
        stays = remaining_scores >= least
        stays[best] = False
        remaining, remaining_scores = remaining[stays], remaining_scores[stays]
    if not kept:
        return remaining[:0], scores[:0]
    return torch.stack(kept), torch.stack(kept_scores)
