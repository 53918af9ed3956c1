"""The arithmetic of boxes: areas, how far two overlap, and which of many that overlap are kept.

Boxes are corners, float [n, 4]: x0 y0 x1 y1.
"""

import math
from typing import Literal

import torch
from torch import Tensor

Overlap = Literal["iou", "giou", "diou", "ciou"]
_LEAST = 1e-7    # keeps a division by an empty box finite, and its gradient


def area(corners: Tensor) -> Tensor:
    """[n]: the area of each box; 0 where its corners are the wrong way round."""
    return (corners[..., 2:] - corners[..., :2]).clamp(min=0).prod(-1)


def shared_area(a: Tensor, b: Tensor) -> Tensor:
    """The area that boxes share, corners broadcast against each other."""
    return (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """[n, m]: intersection over union of every box of `a` [n, 4] with every one of `b` [m, 4]."""
    shared = shared_area(a[:, None], b[None])
    return shared / (area(a)[:, None] + area(b)[None] - shared).clamp(min=_LEAST)


def iou(a: Tensor, b: Tensor, kind: Overlap = "iou") -> Tensor:
    """[...]: how far the boxes `a` and `b` [..., 4] overlap, pair by pair, 1 where they are the same; differentiable.

    `giou` (Rezatofighi et al. 2019) takes off the part of the hull that neither fills, `diou` (Zheng et al. 2020) the
    squared distance of the centres over the squared diagonal of the hull, `ciou` another term for unlike aspect
    ratios. Those three go down to -1 (`ciou` a little below), and have a gradient where the boxes do not meet.
    """
    shared = shared_area(a, b)
    union = area(a) + area(b) - shared
    plain = shared / union.clamp(min=_LEAST)
    if kind == "iou":
        return plain
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])    # [..., 2]: width, height
    if kind == "giou":
        whole = hull.clamp(min=0).prod(-1)
        return plain - (whole - union) / whole.clamp(min=_LEAST)
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).square().sum(-1)
    near = plain - apart / hull.square().sum(-1).clamp(min=_LEAST)
    if kind == "diou":
        return near
    unlike = (4 / math.pi**2) * (_slope(a) - _slope(b)).square()
    with torch.no_grad():    # a weight, not a term to be learnt (their equation 11)
        weight = unlike / (1 - plain + unlike).clamp(min=_LEAST)
    return near - weight * unlike


def _slope(corners: Tensor) -> Tensor:
    """[...]: the angle of a box's diagonal, a bounded measure of its aspect ratio."""
    width, height = (corners[..., 2:] - corners[..., :2]).clamp(min=0).unbind(-1)
    return torch.atan(width / height.clamp(min=_LEAST))


def nms(corners: Tensor, scores: Tensor, *, threshold: float) -> Tensor:
    """int64 [kept]: the boxes, best score first, of which none overlaps a better one by more than `threshold` IoU.

    By torchvision's operator, on any device.
    """
    # Not at the top: importing torchvision takes longer than most commands that need no boxes.
    from torchvision.ops import nms as suppress

    return suppress(corners.float(), scores.float(), threshold)


def batched_nms(corners: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """int64 [kept], best score first: `nms` within each group, int64 [n] (a class, a picture, a class of a picture)."""
    if not len(groups):
        return torch.zeros(0, dtype=torch.int64, device=corners.device)
    if corners.device.type == "cpu":
        order = groups.argsort(stable=True)
        counts = torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()
        kept = torch.cat([rows[nms(corners[rows], scores[rows], threshold=threshold)] for rows in order.split(counts)])
    else:
        # One launch for all: each group is moved to a place of its own, in float64, which keeps the boxes' own digits.
        exact = corners.double()
        kept = _suppress_exactly(exact + (groups * (exact.max() - exact.min() + 1))[:, None], scores, threshold)
    kept = kept.sort().values
    return kept[scores[kept].argsort(descending=True, stable=True)]


def _suppress_exactly(corners: Tensor, scores: Tensor, threshold: float) -> Tensor:
    from torchvision.ops import nms as suppress

    return suppress(corners, scores.double(), threshold)


def diou_nms(corners: Tensor, scores: Tensor, *, threshold: float) -> Tensor:
    """int64 [kept], best score first: as `nms`, by DIoU, which spares boxes with other centres (Zheng et al. 2020)."""
    left = scores.argsort(descending=True, stable=True)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[iou(corners[best], corners[left], "diou") <= threshold]
    return torch.stack(kept) if kept else left


def soft_nms(corners: Tensor, scores: Tensor, *, kind: Literal["gaussian", "linear"] = "gaussian", sigma: float = 0.5,
             threshold: float = 0.3, least: float = 0.001) -> tuple[Tensor, Tensor]:
    """The boxes kept, int64 [kept], and their lowered scores, best first (Bodla et al. 2017).

    Instead of being dropped, a box that overlaps a better one has its score multiplied: by exp(-iou² / sigma), or by
    1 - iou where that exceeds `threshold` (linear). What falls below `least` is dropped.
    """
    left, values = torch.arange(len(scores), device=scores.device), scores.clone()
    kept, lowered = [], []
    while len(left):
        best = values.argmax()
        if values[best] < least:
            break
        kept.append(left[best])
        lowered.append(values[best])
        overlap = iou(corners[left[best]], corners[left])
        values = values * (torch.exp(-overlap.square() / sigma) if kind == "gaussian"
                           else torch.where(overlap > threshold, 1 - overlap, 1.0))
        stays = values >= least
        stays[best] = False
        left, values = left[stays], values[stays]
    if not kept:
        return left[:0], scores[:0]
    return torch.stack(kept), torch.stack(lowered)
