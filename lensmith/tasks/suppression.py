"""Which of the boxes that were found are kept."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

import torch
from torch import Tensor

from lensmith.values.box_arithmetic import batched_nms, diou_nms, soft_nms
from lensmith.values.boxes import Boxes

SHOWN = 0.25      # the least score of an object that is shown in predictions, where nothing else is asked for
_BEFORE = 1000    # boxes of a picture that come into the suppression
Found = TypeVar("Found", bound=Boxes)
Suppression = Literal["batched", "agnostic", "soft", "diou"]


def best_boxes(corners: Tensor, scores: Tensor, suppression: Suppression = "batched", *, threshold: float,
               overlap: float, most: int) -> Boxes:
    """The stacked boxes that are kept of `corners` [batch, points, 4] with `scores` [batch, points, classes], best
    first in each picture: at or above `threshold`, not `suppressed`, the `most` best."""
    image, point, kind, score = best_points(scores, threshold)
    return suppressed(Boxes(corners[image, point], kind, score, image), scores.shape[2], suppression,
                      overlap=overlap, most=most, least=threshold)


def best_points(scores: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The best of `scores` [batch, points, classes] at or above `threshold`, best first in each picture: the pictures,
    the points and the classes, int64 [k] each, and the scores, [k]."""
    # Most points say nothing: to sort their scores too would take longer than a small network does.
    speaking = (scores.amax(2) >= threshold).any(0).nonzero()[:, 0]
    scores = scores[:, speaking]
    _, points, classes = scores.shape
    best = scores.flatten(1).topk(min(_BEFORE, points * classes), 1)
    image, rank = (best.values >= threshold).nonzero(as_tuple=True)
    chosen = best.indices[image, rank]
    return image, speaking[chosen // classes], chosen % classes, best.values[image, rank]


def suppressed(found: Found, classes: int, suppression: Suppression = "batched", *, overlap: float, most: int,
               least: float = 0.0) -> Found:
    """The stacked boxes of `classes` kinds that are left, best first in each picture, of a picture the `most` best.

    Of two that overlap by more than `overlap` IoU the better is left: `batched` of two of a class, `agnostic` of any
    two, `diou` of two of a class by DIoU (`base.boxes.diou_nms`). With `soft` the worse one of a class has its score
    multiplied by 1 - IoU (`soft_nms`, linear), and is left out where that falls below `least`.
    """
    image, score = found.image, found.scores
    assert image is not None and score is not None
    groups = image if suppression == "agnostic" else image * classes + found.classes
    if suppression in ("batched", "agnostic"):
        kept = batched_nms(found.corners, score, groups, overlap)
    else:
        one = partial(soft_nms, kind="linear", threshold=overlap, least=least) if suppression == "soft" else \
            partial(_by_distance, threshold=overlap)
        kept, score = _in_groups(one, found.corners, score, groups)
    kept = kept[image[kept].argsort(stable=True)]
    counts = torch.bincount(image[kept])
    rank = torch.arange(len(kept), device=kept.device) - (counts.cumsum(0) - counts)[image[kept]]
    kept = kept[rank < most]
    return replace(found, scores=score)._rows(kept, image[kept])


def _by_distance(corners: Tensor, scores: Tensor, *, threshold: float) -> tuple[Tensor, Tensor]:
    kept = diou_nms(corners, scores, threshold=threshold)
    return kept, scores[kept]


def _in_groups(suppress: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], corners: Tensor, scores: Tensor,
               groups: Tensor) -> tuple[Tensor, Tensor]:
    """int64 [kept], best first, of what `suppress` leaves of each group, and all scores, [n], with those it gives."""
    scores, order = scores.clone(), groups.argsort(stable=True)
    kept = [order[:0]]
    for rows in order.split(torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()):
        chosen, values = suppress(corners[rows], scores[rows])
        kept.append(rows[chosen])
        scores[rows[chosen]] = values
    left = torch.cat(kept).sort().values
    return left[scores[left].argsort(descending=True, stable=True)], scores
