"""Boxes of objects: doubled, contradicting each other, suspiciously large or small, in another unit."""

from collections.abc import Iterator

import numpy as np

from lensmith.base.errors import count
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet
from lensmith.values.box_arithmetic import pairwise_iou
from lensmith.values.boxes import Boxes

_SAME = 0.9       # IoU of two boxes that are of one object
_LARGE = 0.95     # of the picture: a box that covers more is suspicious
_SMALL = 3.0      # pixels: a box with a shorter edge is hardly seen
_USUAL = 0.2      # of all boxes: what more of them are is usual in this set
_ENOUGH = 20      # boxes by which the unit of a set is judged
_CORNER = 0.5     # of the picture: where no box of so many leaves the upper left part, they are of smaller pictures


def odd_boxes(known: KnownSet) -> Iterator[Finding]:
    """What is suspicious in the boxes of each target; what was repaired while the set was opened is told elsewhere."""
    for target in known.targets_of("boxes", "masks"):
        for split in known.splits:
            boxes = known.values(split, target)
            assert isinstance(boxes, Boxes) and boxes.image is not None
            counting = boxes if boxes.crowd is None else boxes.chosen(~boxes.crowd)
            assert counting.image is not None
            rows = known.splits[split][counting.image.numpy()]    # of each box
            corners = counting.corners.double().numpy()
            if len(rows):
                yield from _in_another_unit(known, split, rows, corners)
                yield from _odd_extents(known, split, rows, corners)
                yield from _same_place(known, split, target, rows, counting)


def _in_another_unit(known: KnownSet, split: str, rows: np.ndarray, corners: np.ndarray) -> Iterator[Finding]:
    """Fractions of the picture, percents, or pixels of a smaller picture, where pixels of the file are expected."""
    sizes = known.pictures.sizes[rows].astype(np.float64)    # height, width
    reach = np.maximum(corners[:, 2] / sizes[:, 1].clip(1), corners[:, 3] / sizes[:, 0].clip(1))
    in_fractions = _by_picture(rows, corners.max(1), np.maximum) <= 1.0 + 1e-6
    pictures = np.unique(rows)
    if in_fractions.any():
        chosen = pictures[in_fractions]
        yield Finding("boxes", "box-unit", "error", f"{count(len(chosen), 'picture')} of {split} with boxes that end "
                      "within the first pixel: they seem to be fractions of the picture in the place of pixels",
                      tuple(Pictured((known.at(row),), boxes=known.boxes_of(row)) for row in chosen.tolist()))
    elif len(rows) >= _ENOUGH and reach.max() <= _CORNER:
        words = "percents" if corners.max() <= 100 < sizes.min() else "pixels of smaller pictures"
        yield Finding("boxes", "box-unit", "error", f"all {len(rows):,} boxes of {split} lie in the upper left "
                      f"{reach.max():.0%} of their pictures: they seem to be {words}",
                      tuple(Pictured((known.at(row),), boxes=known.boxes_of(row)) for row in pictures.tolist()),
                      numbers={"reach": float(reach.max())})


def _odd_extents(known: KnownSet, split: str, rows: np.ndarray, corners: np.ndarray) -> Iterator[Finding]:
    sizes = known.pictures.sizes[rows].astype(np.float64)
    extents = corners[:, 2:] - corners[:, :2]
    fraction = extents.prod(1) / sizes.prod(1).clip(1)
    for kind, odd, words in (("box-large", fraction >= _LARGE, f"that cover {_LARGE:.0%} of their picture or more: an "
                              "object, or a label of the whole picture?"),
                             ("box-small", extents.min(1) < _SMALL, f"less than {_SMALL:.0f} pixels wide or high")):
        chosen = np.flatnonzero(odd)
        if len(chosen):
            usual = len(chosen) > _USUAL * len(rows)
            groups = tuple(Pictured((known.at(int(rows[i])),), (f"{extents[i, 0]:.0f} x {extents[i, 1]:.0f} pixels",),
                                    boxes=(tuple(corners[i].tolist()),)) for i in chosen.tolist())
            yield Finding("boxes", kind, "note" if usual or kind == "box-small" else "warning",
                          f"{count(len(chosen), 'box')} of {split} {words}", groups)


def _same_place(known: KnownSet, split: str, target: str, rows: np.ndarray, boxes: Boxes) -> Iterator[Finding]:
    """Pairs of boxes of one picture at the same place, of one class or of two."""
    names, classes = known.classes[target], boxes.classes.tolist()
    doubled, contradicting = list[Pictured](), list[Pictured]()
    order = np.argsort(rows, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(rows[order])) + 1):
        overlaps = np.triu(pairwise_iou(boxes.corners[group], boxes.corners[group]).numpy(), 1)
        for first, second in np.argwhere(overlaps >= _SAME).tolist():
            one, other = int(group[first]), int(group[second])
            same_class = classes[one] == classes[other]
            words = names[classes[one]] if same_class else f"{names[classes[one]]} and {names[classes[other]]}"
            pair = Pictured((known.at(int(rows[one])),), (f"{words}, IoU {overlaps[first, second]:.2f}",),
                            boxes=tuple(tuple(boxes.corners[i].tolist()) for i in (one, other)))
            (doubled if same_class else contradicting).append(pair)
    if doubled:
        yield Finding("boxes", "box-doubled", "warning", f"{count(len(doubled), 'pair')} of boxes of {split} at the "
                      "same place with one class: an object drawn twice?", tuple(doubled), numbers={"iou": _SAME})
    if contradicting:
        yield Finding("boxes", "contradiction", "warning", f"{count(len(contradicting), 'pair')} of boxes of {split} "
                      "at the same place with two classes", tuple(contradicting), numbers={"iou": _SAME})


def _by_picture(rows: np.ndarray, values: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """A value for each picture that occurs, in the order of the rows."""
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    return np.asarray(combine.reduceat(values[order], starts))
