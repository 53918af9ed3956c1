"""Non-maximum suppression (NMS): which of the boxes that were found are kept."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor

from lensmith.values.box_arithmetic import batched_nms, diou_nms, soft_nms
from lensmith.values.boxes import Boxes

SHOWN = 0.25          # the lowest score of an object in a prediction, where no other threshold is asked for
_CANDIDATES = 1000    # boxes of a picture, those with the best scores, that NMS looks at
SomeBoxes = TypeVar("SomeBoxes", bound=Boxes)
Nms = Literal["batched", "agnostic", "soft", "diou"]


class FindsObjects(Protocol):
    """A task that decides by a threshold and an overlap which objects it finds."""

    threshold: float
    overlap: float
    stable: bool    # whether equal scores keep the order of the points whatever other pictures are in the batch


ObjectTask = TypeVar("ObjectTask", bound=FindsObjects)


def decided_by(task: ObjectTask, threshold: float | None, overlap: float | None) -> ObjectTask:
    """A copy of a task that decides as predictions are shown: from SHOWN on, with the task's own overlap, where no
    other `threshold` and `overlap` are asked for. It is `stable`; while it learns, a task measures as it always did."""
    decided = copy(task)
    decided.stable = True
    decided.threshold = SHOWN if threshold is None else threshold
    decided.overlap = task.overlap if overlap is None else overlap
    return decided


def nms_of_scores(corners: Tensor, scores: Tensor, kind: Nms = "batched", *, threshold: float, overlap: float,
                  most: int, stable: bool = False) -> Boxes:
    """The stacked boxes that are kept of `corners` [batch, points, 4] with `scores` [batch, points, classes], best
    first in each picture: those at or above `threshold` that `stacked_nms` keeps, the `most` best of a picture.
    `stable` is as of best_points."""
    # Weights that are no weights any more give corners that are no numbers, and those of a picture can be none.
    finite = corners.isfinite().all(2, keepdim=True)
    if not finite.all():
        scores = scores.where(finite, -1.0)
    image, point, number, score = best_points(scores, threshold, stable=stable)
    boxes = Boxes(corners[image, point], number, score, image)
    return stacked_nms(boxes, scores.shape[2], kind, overlap=overlap, most=most, least=threshold)


def best_points(scores: Tensor, threshold: float, *, stable: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The best of `scores` [batch, points, classes] at or above `threshold`, best first in each picture: the pictures,
    the points and the classes, int64 [k] each, and the scores, [k]. With `stable` equal scores of a picture keep the
    order of its points; else their order depends on which points of the other pictures are above the threshold."""
    # Most points are below the threshold everywhere. Sorting their scores too would take longer than a small network.
    above = (scores.amax(2) >= threshold).any(0).nonzero()[:, 0]
    scores = scores[:, above]
    _, points, classes = scores.shape
    best = scores.flatten(1).topk(min(_CANDIDATES, points * classes), 1)
    if stable and points:
        least = best.values[:, -1:].clamp(min=threshold)
        image, flat = (scores.flatten(1) >= least).nonzero(as_tuple=True)    # more than the best: all equal to the last
        score = scores.flatten(1)[image, flat]
        order = _best_of_each(image, score.argsort(dim=0, descending=True, stable=True), _CANDIDATES)
        image, flat, score = image[order], flat[order], score[order]
    else:
        image, rank = (best.values >= threshold).nonzero(as_tuple=True)
        flat, score = best.indices[image, rank], best.values[image, rank]
    return image, above[flat // classes], flat % classes, score


def _best_of_each(image: Tensor, order: Tensor, most: int) -> Tensor:
    """The rows `order` (int64 [k], best first) picture after picture, the first `most` of each; `image` int64 [n] says
    the picture of each row."""
    order = order[image[order].argsort(dim=0, stable=True)]
    counts = torch.bincount(image[order])
    rank = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[image[order]]
    return order[rank < most]


def stacked_nms(boxes: SomeBoxes, classes: int, kind: Nms = "batched", *, overlap: float, most: int,
        least: float = 0.0) -> SomeBoxes:
    """The stacked `boxes` of so many `classes` that are kept, best first in each picture, the `most` best of each.

    Of two boxes whose IoU exceeds `overlap` the better one is kept. `kind` says which are compared:

    - "batched": two of a class.
    - "agnostic": any two.
    - "diou": two of a class, by their DIoU (`values.box_arithmetic.diou_nms`).
    - "soft": two of a class; the score of the worse is multiplied by 1 - IoU (`soft_nms`, linear), and it is left out
      where that is below `least`.
    """
    image, score = boxes.image, boxes.scores
    assert image is not None and score is not None
    groups = image if kind == "agnostic" else image * classes + boxes.classes
    if kind in ("batched", "agnostic"):
        kept = batched_nms(boxes.corners, score, groups, overlap)
    else:
        of_group = partial(soft_nms, kind="linear", threshold=overlap, least=least) if kind == "soft" else \
            partial(_diou, threshold=overlap)
        kept, score = _by_group(of_group, boxes.corners, score, groups)
    kept = _best_of_each(image, kept, most)
    return replace(boxes, scores=score)._rows(kept, image[kept])


def _diou(corners: Tensor, scores: Tensor, *, threshold: float) -> tuple[Tensor, Tensor]:
    kept = diou_nms(corners, scores, threshold=threshold)
    return kept, scores[kept]


def _by_group(of_group: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], corners: Tensor, scores: Tensor,
              groups: Tensor) -> tuple[Tensor, Tensor]:
    """int64 [kept], best first, of what `of_group` keeps of each group, and all scores, [n], with those it gives."""
    scores, order = scores.clone(), groups.argsort(stable=True)
    kept = [order[:0]]
    for rows in order.split(torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()):
        chosen, new_scores = of_group(corners[rows], scores[rows])
        kept.append(rows[chosen])
        scores[rows[chosen]] = new_scores
    every = torch.cat(kept).sort().values
    return every[scores[every].argsort(descending=True, stable=True)], scores
