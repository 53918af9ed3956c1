"""Which found box is which true one: the greedy assignment of COCO, for all pictures and classes at once.

All arithmetic is in float64 and every tie goes the way of the COCO evaluation (Lin et al. 2014, `pycocotools`), so that
what is counted from it is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

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

# From rows of the found and of the true ones, pair by pair, to float64 [pairs]: how far the two overlap.
Overlap = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Found:
    """Boxes that a network found in a set of pictures."""

    corners: np.ndarray    # float64 [n, 4]: x0 y0 x1 y1
    classes: np.ndarray    # int64 [n]
    image: np.ndarray      # int64 [n]: the picture's number
    scores: np.ndarray     # float [n]
    area: np.ndarray       # float64 [n], square pixels


@dataclass(frozen=True)
class Truth:
    """The boxes that are there."""

    corners: np.ndarray    # float64 [m, 4]
    classes: np.ndarray    # int64 [m]
    image: np.ndarray      # int64 [m]
    crowd: np.ndarray      # bool [m]: may be met any number of times, and neither counts nor costs
    area: np.ndarray       # float64 [m], square pixels


@dataclass(frozen=True)
class Matches:
    """What became of the found boxes that count, in order of class, picture and falling score."""

    classes: np.ndarray    # int64 [n]
    scores: np.ndarray     # float [n]
    rank: np.ndarray       # int64 [n]: 0 the best of its class in its picture
    image: np.ndarray      # int64 [n]
    right: np.ndarray      # bool [n, thresholds, sizes]: meets a true box that counts
    wrong: np.ndarray      # bool [n, thresholds, sizes]: meets none; where neither holds it does not count
    positives: np.ndarray  # int64 [classes, sizes]: true boxes that count


def match(found: Found, truth: Truth, classes: int, *, overlap: Overlap | None = None) -> Matches:
    """Give each found box, best score first, the true box of its class that it overlaps most and that is still free.

    `overlap` says how far two overlap where that is not for their boxes to say, as of masks.
    """
    pictures = int(max(found.image.max(initial=-1), truth.image.max(initial=-1))) + 1
    order = np.lexsort((-found.scores, found.image, found.classes))
    group = (found.classes * pictures + found.image)[order]
    rank = np.arange(len(group)) - np.searchsorted(group, group)
    order, group, rank = (values[rank < MOST_FOUND] for values in (order, group, rank))
    true_group = truth.classes * pictures + truth.image
    true_order = np.argsort(true_group, kind="stable")
    ignored = truth.crowd[:, None] | (truth.area[:, None] < LIMITS[:, 0]) | (truth.area[:, None] > LIMITS[:, 1])

    one, other, shared = _overlapping(order, group, true_order, true_group[true_order],
                                      overlap or _of_boxes(found, truth))
    met, lost = _assign(one, other, shared, group, truth.crowd, ignored)
    area = found.area[order, None]
    outside = (area < LIMITS[:, 0]) | (area > LIMITS[:, 1])
    positives = np.stack([np.bincount(truth.classes[~ignored[:, size]], minlength=classes)
                          for size in range(len(SIZES))], 1)
    return Matches(found.classes[order], found.scores[order], rank, found.image[order], met & ~lost,
                   ~met & ~outside[:, None], positives)


def _of_boxes(found: Found, truth: Truth) -> Overlap:
    return lambda one, other: overlaps(found.corners[one], truth.corners[other], truth.crowd[other])


def _overlapping(order: np.ndarray, group: np.ndarray, true_order: np.ndarray, true_group: np.ndarray,
                 overlap: Overlap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of one group that overlap by the lowest threshold: the place of the found box in `order`, the true one,
    their IoU; by found box."""
    first, last = np.searchsorted(true_group, group), np.searchsorted(true_group, group, side="right")
    counts = last - first
    rows = np.flatnonzero(counts)
    cuts = np.searchsorted(counts[rows].cumsum(), np.arange(_CHUNK, int(counts.sum()), _CHUNK))
    pairs = []
    for part in np.split(rows, cuts):
        one = np.repeat(part, counts[part])
        within = np.arange(len(one)) - np.repeat(counts[part].cumsum() - counts[part], counts[part])
        other = true_order[first[one] + within]
        shared = overlap(order[one], other)
        near = shared >= THRESHOLDS[0]
        pairs.append((one[near], other[near], shared[near]))
    one, other, shared = map(np.concatenate, zip(*pairs, strict=True))
    return one, other, shared


def overlaps(found: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """float64 [n]: the IoU of boxes pair by pair; with a crowd the share of the found box that lies in it."""
    width = np.minimum(found[:, 2], true[:, 2]) - np.maximum(found[:, 0], true[:, 0])
    height = np.minimum(found[:, 3], true[:, 3]) - np.maximum(found[:, 1], true[:, 1])
    shared = np.where((width > 0) & (height > 0), width * height, 0.0)
    own, theirs = _areas(found), _areas(true)
    whole = np.where(crowd, own, own + theirs - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def mask_overlaps(found: Masks, truth: Masks) -> Overlap:
    """The same of the masks of stacked values, whose pixels are counted by the bits that both have."""
    own, its = found.bits.flatten(1).numpy(), truth.bits.flatten(1).numpy()
    own_area, its_area = (np.bitwise_count(bits).sum(1, dtype=np.int64) for bits in (own, its))
    crowd = np.zeros(len(its), bool) if truth.crowd is None else truth.crowd.numpy()

    def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        shared = np.zeros(len(one), np.int64)
        for start in range(0, len(one), step := max(1, _BYTES // max(1, own.shape[1]))):
            part = slice(start, start + step)
            shared[part] = np.bitwise_count(own[one[part]] & its[other[part]]).sum(1, dtype=np.int64)
        whole = np.where(crowd[other], own_area[one], own_area[one] + its_area[other] - shared)
        return np.divide(shared, whole, out=np.zeros(len(one)), where=whole > 0)

    return overlap


def _areas(corners: np.ndarray) -> np.ndarray:
    return (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])


def _assign(one: np.ndarray, other: np.ndarray, overlap: np.ndarray, group: np.ndarray, crowd: np.ndarray,
            ignored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two bool [found, thresholds, sizes]: the found box has a true one; and that one does not count.

    The best found box of every group chooses first, all groups at the same time, then the second best, and so on.
    """
    shape = (len(group), len(THRESHOLDS), len(SIZES))
    met, lost = np.zeros(shape, bool), np.zeros(shape, bool)
    if not len(one):
        return met, lost
    total = len(one)
    # A place for each pair in the order of preference: the larger overlap, among equals the later true box.
    by_place = np.lexsort((other, overlap))
    place = np.empty(total, np.int64)
    place[by_place] = np.arange(total)
    choosing, belongs = np.unique(one, return_inverse=True)
    turns = np.arange(len(choosing)) - np.searchsorted(group[choosing], group[choosing])
    turn = turns[belongs]
    in_turn = np.argsort(turn, kind="stable")
    taken = np.zeros((len(crowd), *shape[1:]), bool)
    reached = np.minimum(THRESHOLDS, 1 - 1e-10)
    for part in np.split(in_turn, np.searchsorted(turn[in_turn], np.arange(1, int(turn.max()) + 1))):
        true = other[part]
        free = ~taken[true] | crowd[true][:, None, None]
        free &= (overlap[part][:, None] >= reached)[:, :, None]
        # Any true box that counts comes before all that do not.
        preferred = place[part][:, None] + total * ~ignored[true]
        begins = np.flatnonzero(np.diff(one[part], prepend=-1))
        best = np.maximum.reduceat(np.where(free, preferred[:, None], -1), begins, axis=0)
        row, threshold, size = np.nonzero(best >= 0)
        chosen = best[row, threshold, size]
        chooser = one[part][begins][row]
        met[chooser, threshold, size] = True
        lost[chooser, threshold, size] = chosen < total
        taken[other[by_place[chosen % total]], threshold, size] = True
    return met, lost


def right_and_wrong(truth: Boxes, found: Boxes, pictures: int, classes: int, *, score: float) -> tuple[Tensor, Tensor]:
    """Two float [pictures]: how many boxes found with at least `score` meet a true one by half, and the summed scores
    of those that do not. Both `Boxes` are stacked; of `Masks` it is the masks that have to meet."""
    assert found.scores is not None
    found = found.chosen(found.scores >= score)
    overlap = mask_overlaps(found, truth) if isinstance(found, Masks) and isinstance(truth, Masks) else None
    met = match(found_of(found), truth_of(truth), classes, overlap=overlap)
    right = np.bincount(met.image, weights=met.right[:, 0, 0], minlength=pictures)
    wrong = np.bincount(met.image, weights=met.scores * met.wrong[:, 0, 0], minlength=pictures)
    return torch.from_numpy(right), torch.from_numpy(wrong)


def found_of(boxes: Boxes, score: float = 0.0) -> Found:
    """Stacked boxes with scores of at least `score`; of masks the area is theirs where it is given."""
    assert boxes.image is not None and boxes.scores is not None
    rows = boxes.scores >= score
    corners = boxes.corners[rows].double().numpy()
    area = _areas(corners) if boxes.area is None else boxes.area[rows].double().numpy()
    return Found(corners, boxes.classes[rows].numpy(), boxes.image[rows].numpy(), boxes.scores[rows].numpy(), area)


def truth_of(boxes: Boxes) -> Truth:
    """Stacked boxes; where no area is given (None or NaN) it is the box's own."""
    assert boxes.image is not None
    corners = boxes.corners.double().numpy()
    area = _areas(corners)
    if boxes.area is not None:
        given = boxes.area.double().numpy()
        area = np.where(np.isnan(given), area, given)
    crowd = np.zeros(len(corners), bool) if boxes.crowd is None else boxes.crowd.numpy()
    return Truth(corners, boxes.classes.numpy(), boxes.image.numpy(), crowd, area)


def confusion(found: Found, truth: Truth, classes: int, *, threshold: float) -> np.ndarray:
    """int64 [classes + 1, classes + 1]: rows the truth, columns what was found, the last of each the background.

    Pairs that overlap by `threshold` or more are joined whatever their classes, the largest overlap first. A box left
    over in a crowd is not counted.
    """
    order = np.argsort(truth.image, kind="stable")
    one, other, overlap = _overlapping(np.arange(len(found.image)), found.image, order, truth.image[order],
                                       _of_boxes(found, truth))
    near = overlap >= threshold
    one, other, overlap = one[near], other[near], overlap[near]
    in_crowd = np.zeros(len(found.classes), bool)
    in_crowd[one[truth.crowd[other]]] = True
    best = np.lexsort((one, -overlap))
    best = best[~truth.crowd[other[best]]]
    one, other = one[best], other[best]
    taken_for = np.full(len(truth.classes), classes)
    free = np.ones(len(found.classes), bool)
    while len(one):
        # The first pair of both its boxes, in the order of overlap, is joined.
        joined = np.intersect1d(np.unique(one, return_index=True)[1], np.unique(other, return_index=True)[1])
        taken_for[other[joined]] = found.classes[one[joined]]
        free[one[joined]] = False
        waiting = np.ones(len(truth.classes), bool)
        waiting[other[joined]] = False
        left = free[one] & waiting[other]
        one, other = one[left], other[left]
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(counts, (truth.classes[~truth.crowd], taken_for[~truth.crowd]), 1)
    counts[classes] += np.bincount(found.classes[free & ~in_crowd], minlength=classes + 1)
    return counts
