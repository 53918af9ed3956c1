"""Which predicted box is which true one: the greedy assignment of COCO, for all pictures and classes at once.

All arithmetic is in float64 and every tie goes the way of the COCO evaluation (Lin et al. 2014, `pycocotools`), so that
what is counted from it is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks

THRESHOLDS = np.linspace(0.5, 0.95, 10)    # of IoU
SIZES = ("all", "small", "medium", "large")
LIMITS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])    # square pixels, both ends included
MOST_FOUND = 100                           # boxes of a class that count in one picture, the best by score
_CHUNK = 1 << 20                           # pairs whose overlap is computed at once
_BYTES = 1 << 25                           # of masks that are compared at once

# From rows of the predicted and of the true boxes, pair by pair, to float64 [pairs]: how far the two overlap.
Overlap = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PredictedBoxes:
    """Boxes that a network found in a set of pictures."""

    corners: np.ndarray    # float64 [n, 4]: x0 y0 x1 y1
    classes: np.ndarray    # int64 [n]
    image: np.ndarray      # int64 [n]: the picture's number
    scores: np.ndarray     # float [n]
    area: np.ndarray       # float64 [n], square pixels


@dataclass(frozen=True)
class TrueBoxes:
    """The boxes that are there."""

    corners: np.ndarray    # float64 [m, 4]
    classes: np.ndarray    # int64 [m]
    image: np.ndarray      # int64 [m]
    crowd: np.ndarray      # bool [m]: may be met any number of times, and neither counts nor costs
    area: np.ndarray       # float64 [m], square pixels


@dataclass(frozen=True)
class Matches:
    """What became of the predicted boxes that count, in order of class, picture and falling score."""

    classes: np.ndarray    # int64 [n]
    scores: np.ndarray     # float [n]
    rank: np.ndarray       # int64 [n]: 0 the best of its class in its picture
    image: np.ndarray      # int64 [n]
    right: np.ndarray      # bool [n, thresholds, sizes]: meets a true box that counts
    wrong: np.ndarray      # bool [n, thresholds, sizes]: meets none; where neither holds it does not count
    positives: np.ndarray  # int64 [classes, sizes]: true boxes that count


def match(predicted: PredictedBoxes, truth: TrueBoxes, classes: int, *, overlap: Overlap | None = None) -> Matches:
    """Give each predicted box, best score first, the true box of its class that it overlaps most and that is still
    free.

    `overlap` says how far two overlap where that is not for their boxes to say, as of masks.
    """
    pictures = int(max(predicted.image.max(initial=-1), truth.image.max(initial=-1))) + 1
    order = np.lexsort((-predicted.scores, predicted.image, predicted.classes))
    group = (predicted.classes * pictures + predicted.image)[order]
    rank = np.arange(len(group)) - np.searchsorted(group, group)
    order, group, rank = (column[rank < MOST_FOUND] for column in (order, group, rank))
    true_group = truth.classes * pictures + truth.image
    true_order = np.argsort(true_group, kind="stable")
    ignored = truth.crowd[:, None] | (truth.area[:, None] < LIMITS[:, 0]) | (truth.area[:, None] > LIMITS[:, 1])

    pairs = _overlapping(order, group, true_order, true_group[true_order], overlap or _of_boxes(predicted, truth))
    met, lost = _assign(pairs, group, truth.crowd, ignored)
    area = predicted.area[order, None]
    outside = (area < LIMITS[:, 0]) | (area > LIMITS[:, 1])
    positives = np.stack([np.bincount(truth.classes[~ignored[:, size]], minlength=classes)
                          for size in range(len(SIZES))], 1)
    return Matches(predicted.classes[order], predicted.scores[order], rank, predicted.image[order], met & ~lost,
                   ~met & ~outside[:, None], positives)


def _of_boxes(predicted: PredictedBoxes, truth: TrueBoxes) -> Overlap:
    return lambda rows, true_rows: overlaps(predicted.corners[rows], truth.corners[true_rows], truth.crowd[true_rows])


class _Pairs(NamedTuple):
    """A predicted and a true box each that overlap by the lowest threshold, in the order of the predicted ones."""

    rows: np.ndarray         # int64 [pairs]: of the predicted box, its position in the order
    true_rows: np.ndarray    # int64 [pairs]: of the true box
    overlap: np.ndarray      # float64 [pairs]: their IoU

    def chosen(self, kept: np.ndarray) -> "_Pairs":
        return _Pairs(*(column[kept] for column in self))


def _overlapping(order: np.ndarray, group: np.ndarray, true_order: np.ndarray, true_group: np.ndarray,
                 overlap: Overlap) -> _Pairs:
    """The pairs of one group; `order` and `true_order` are the boxes' rows, by their group."""
    first, last = np.searchsorted(true_group, group), np.searchsorted(true_group, group, side="right")
    counts = last - first
    matchable = np.flatnonzero(counts)
    cuts = np.searchsorted(counts[matchable].cumsum(), np.arange(_CHUNK, int(counts.sum()), _CHUNK))
    chunks = []
    for chunk in np.split(matchable, cuts):
        rows = np.repeat(chunk, counts[chunk])
        within = np.arange(len(rows)) - np.repeat(counts[chunk].cumsum() - counts[chunk], counts[chunk])
        true_rows = true_order[first[rows] + within]
        iou = overlap(order[rows], true_rows)
        near = iou >= THRESHOLDS[0]
        chunks.append((rows[near], true_rows[near], iou[near]))
    return _Pairs(*map(np.concatenate, zip(*chunks, strict=True)))


def overlaps(predicted: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """float64 [n]: the IoU of boxes pair by pair; with a crowd the fraction of the predicted box that lies in it."""
    width = np.minimum(predicted[:, 2], true[:, 2]) - np.maximum(predicted[:, 0], true[:, 0])
    height = np.minimum(predicted[:, 3], true[:, 3]) - np.maximum(predicted[:, 1], true[:, 1])
    intersection = np.where((width > 0) & (height > 0), width * height, 0.0)
    area, true_area = _areas(predicted), _areas(true)
    union = np.where(crowd, area, area + true_area - intersection)
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def mask_overlaps(predicted: Masks, truth: Masks) -> Overlap:
    """The same of the masks of stacked values, whose pixels are counted by the bits that both have."""
    bits, true_bits = predicted.bits.flatten(1).numpy(), truth.bits.flatten(1).numpy()
    area, true_area = (np.bitwise_count(packed).sum(1, dtype=np.int64) for packed in (bits, true_bits))
    crowd = np.zeros(len(true_bits), bool) if truth.crowd is None else truth.crowd.numpy()

    def overlap(rows: np.ndarray, true_rows: np.ndarray) -> np.ndarray:
        intersection = np.zeros(len(rows), np.int64)
        for start in range(0, len(rows), step := max(1, _BYTES // max(1, bits.shape[1]))):
            chunk = slice(start, start + step)
            both = bits[rows[chunk]] & true_bits[true_rows[chunk]]
            intersection[chunk] = np.bitwise_count(both).sum(1, dtype=np.int64)
        union = np.where(crowd[true_rows], area[rows], area[rows] + true_area[true_rows] - intersection)
        return np.divide(intersection, union, out=np.zeros(len(rows)), where=union > 0)

    return overlap


def _areas(corners: np.ndarray) -> np.ndarray:
    return (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])


def _assign(pairs: _Pairs, group: np.ndarray, crowd: np.ndarray, ignored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two bool [predicted, thresholds, sizes]: the box has a true one; and that one does not count.

    The best predicted box of every group chooses first, all groups at the same time, then the second best, and so on.
    """
    shape = (len(group), len(THRESHOLDS), len(SIZES))
    met, lost = np.zeros(shape, bool), np.zeros(shape, bool)
    rows, true_rows, overlap = pairs
    total = len(rows)
    if not total:
        return met, lost
    # The order of preference: the larger overlap, and among equals the later true box.
    by_preference = np.lexsort((true_rows, overlap))
    preference = np.empty(total, np.int64)
    preference[by_preference] = np.arange(total)
    choosing, belongs = np.unique(rows, return_inverse=True)
    turns = np.arange(len(choosing)) - np.searchsorted(group[choosing], group[choosing])
    turn = turns[belongs]
    in_turn = np.argsort(turn, kind="stable")
    taken = np.zeros((len(crowd), *shape[1:]), bool)
    reached = np.minimum(THRESHOLDS, 1 - 1e-10)
    for now in np.split(in_turn, np.searchsorted(turn[in_turn], np.arange(1, int(turn.max()) + 1))):
        true = true_rows[now]
        free = ~taken[true] | crowd[true][:, None, None]
        free &= (overlap[now][:, None] >= reached)[:, :, None]
        # Any true box that counts comes before all that do not.
        preferred = preference[now][:, None] + total * ~ignored[true]
        begins = np.flatnonzero(np.diff(rows[now], prepend=-1))
        best = np.maximum.reduceat(np.where(free, preferred[:, None], -1), begins, axis=0)
        row, threshold, size = np.nonzero(best >= 0)
        chosen = best[row, threshold, size]
        chooser = rows[now][begins][row]
        met[chooser, threshold, size] = True
        lost[chooser, threshold, size] = chosen < total
        taken[true_rows[by_preference[chosen % total]], threshold, size] = True
    return met, lost


def right_and_wrong(truth: Boxes, predicted: Boxes, pictures: int, classes: int, *,
                    score: float) -> tuple[Tensor, Tensor]:
    """Two float [pictures]: how many boxes predicted with at least `score` meet a true one by half, and the summed
    scores of those that do not. Both `Boxes` are stacked; of `Masks` it is the masks that have to meet."""
    assert predicted.scores is not None
    predicted = predicted.chosen(predicted.scores >= score)
    overlap = mask_overlaps(predicted, truth) if isinstance(predicted, Masks) and isinstance(truth, Masks) else None
    matches = match(predicted_boxes(predicted), true_boxes(truth), classes, overlap=overlap)
    right = np.bincount(matches.image, weights=matches.right[:, 0, 0], minlength=pictures)
    wrong = np.bincount(matches.image, weights=matches.scores * matches.wrong[:, 0, 0], minlength=pictures)
    return torch.from_numpy(right), torch.from_numpy(wrong)


def predicted_boxes(boxes: Boxes, score: float = 0.0) -> PredictedBoxes:
    """Stacked boxes with scores of at least `score`; of masks the area is theirs where it is given."""
    assert boxes.image is not None and boxes.scores is not None
    rows = boxes.scores >= score
    corners = boxes.corners[rows].double().numpy()
    area = _areas(corners) if boxes.area is None else boxes.area[rows].double().numpy()
    return PredictedBoxes(corners, boxes.classes[rows].numpy(), boxes.image[rows].numpy(), boxes.scores[rows].numpy(),
                          area)


def true_boxes(boxes: Boxes) -> TrueBoxes:
    """Stacked boxes; where no area is given (None or NaN) it is the box's own."""
    assert boxes.image is not None
    corners = boxes.corners.double().numpy()
    area = _areas(corners)
    if boxes.area is not None:
        annotated = boxes.area.double().numpy()
        area = np.where(np.isnan(annotated), area, annotated)
    crowd = np.zeros(len(corners), bool) if boxes.crowd is None else boxes.crowd.numpy()
    return TrueBoxes(corners, boxes.classes.numpy(), boxes.image.numpy(), crowd, area)


def box_confusion(predicted: PredictedBoxes, truth: TrueBoxes, classes: int, *, threshold: float) -> np.ndarray:
    """int64 [classes + 1, classes + 1]: rows the truth, columns what was predicted, the last of each the background.

    Pairs that overlap by `threshold` or more are joined whatever their classes, the largest overlap first. A box left
    over in a crowd is not counted.
    """
    order = np.argsort(truth.image, kind="stable")
    pairs = _overlapping(np.arange(len(predicted.image)), predicted.image, order, truth.image[order],
                         _of_boxes(predicted, truth))
    pairs = pairs.chosen(pairs.overlap >= threshold)
    in_crowd = np.zeros(len(predicted.classes), bool)
    in_crowd[pairs.rows[truth.crowd[pairs.true_rows]]] = True
    best = np.lexsort((pairs.rows, -pairs.overlap))
    pairs = pairs.chosen(best[~truth.crowd[pairs.true_rows[best]]])
    taken_for = np.full(len(truth.classes), classes)
    free = np.ones(len(predicted.classes), bool)
    while len(pairs.rows):
        # The first pair of both its boxes, in the order of overlap, is joined.
        joined = np.intersect1d(np.unique(pairs.rows, return_index=True)[1],
                                np.unique(pairs.true_rows, return_index=True)[1])
        taken_for[pairs.true_rows[joined]] = predicted.classes[pairs.rows[joined]]
        free[pairs.rows[joined]] = False
        waiting = np.ones(len(truth.classes), bool)
        waiting[pairs.true_rows[joined]] = False
        pairs = pairs.chosen(free[pairs.rows] & waiting[pairs.true_rows])
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(counts, (truth.classes[~truth.crowd], taken_for[~truth.crowd]), 1)
    counts[classes] += np.bincount(predicted.classes[free & ~in_crowd], minlength=classes + 1)
    return counts
