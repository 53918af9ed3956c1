"""Boxes that are likely wrong: overlooked, of another class, misplaced, or around nothing, told by a detector.

After ObjectLab (Tkachenko, Thyagarajan, Mueller 2023, "ObjectLab: Automated Diagnosis of Mislabeled Images in Object
Detection Data", arXiv 2309.00832), with a score for each box and not for each picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lensmith.values.box_arithmetic import pairwise_iou
from lensmith.values.boxes import Boxes

OVERLOOKED, OTHER_CLASS, MISPLACED, NOTHING = "overlooked", "another class", "misplaced", "nothing there"
_SAME_PLACE = 0.5    # IoU from which two boxes are of one object
_TOUCHES = 0.1       # IoU from which a box may be a misplaced one of the same object


@dataclass(frozen=True)
class SuspiciousBox:
    """An object that the annotation and a detector see differently."""

    row: int                            # the picture
    fault: str                          # OVERLOOKED, OTHER_CLASS, MISPLACED or NOTHING
    score: float                        # 0 .. 1; high is suspicious
    given: int | None                   # the class in the annotation; None where it has no such object
    given_corners: Tensor | None        # float [4], in the pixels of the file
    suggested: int | None               # the class of the detector; None where it sees nothing
    suggested_corners: Tensor | None    # float [4]


@dataclass(frozen=True)
class _Typical:
    """How a detector does where it agrees with the annotation, by class: what its scores are compared with."""

    score: Tensor     # float [classes]: the mean score of a found object
    recall: Tensor    # float [classes]: the fraction of the objects that it finds


def suspicious_boxes(given: Sequence[Boxes], predicted: Sequence[Boxes], classes: int) -> list[SuspiciousBox]:
    """All disagreements, the most suspicious first.

    Scores of the detector are divided by the mean score of the objects of that class which it finds, at most 1. With
    this relative score s, and the IoU of an annotated box and a predicted one:

        overlooked      s (1 - IoU with the nearest annotated box), of a predicted box that none matches
        another class   s IoU of the best box of another class, less that of the own class
        misplaced       s (1 - IoU) of the surest box of the class that overlaps and belongs to no other
        nothing there   the fraction of the class's objects that the detector finds, where it finds nothing

    given: the annotation of each picture, without crowd regions' being objects.
    predicted: what a detector that never learned from them says, at a low threshold.
    classes: how many there are.
    """
    typical = _typical(given, predicted, classes)
    found: list[SuspiciousBox] = []
    for row, (annotated, detected) in enumerate(zip(given, predicted, strict=True)):
        found += _of_picture(row, annotated, detected, typical)
    return sorted(found, key=lambda box: -box.score)


def _typical(given: Sequence[Boxes], predicted: Sequence[Boxes], classes: int) -> _Typical:
    scores, found, counts = (torch.zeros(classes) for _ in range(3))
    for annotated, detected in zip(given, predicted, strict=True):
        annotated = _counted(annotated)
        assert detected.scores is not None
        matches = (pairwise_iou(annotated.corners, detected.corners) >= _SAME_PLACE) & \
            (annotated.classes[:, None] == detected.classes[None])
        best = (matches * detected.scores).amax(1) if matches.numel() else torch.zeros(len(annotated.classes))
        counts.index_add_(0, annotated.classes, torch.ones(len(annotated.classes)))
        found.index_add_(0, annotated.classes, (best > 0).float())
        scores.index_add_(0, annotated.classes, best)
    # Of a class that it never finds, nothing that it says counts for more than its score.
    return _Typical(torch.where(found > 0, scores / found.clamp(min=1), 1.0), found / counts.clamp(min=1))


def _counted(boxes: Boxes) -> Boxes:
    return boxes if boxes.crowd is None else boxes.chosen(~boxes.crowd)


def _of_picture(row: int, annotated: Boxes, detected: Boxes, typical: _Typical) -> list[SuspiciousBox]:
    assert detected.scores is not None
    everything, annotated = annotated, _counted(annotated)
    relative = (detected.scores / typical.score[detected.classes]).clamp(max=1)
    overlap = pairwise_iou(annotated.corners, detected.corners)    # [annotated, detected]
    same = annotated.classes[:, None] == detected.classes[None]
    taken = torch.zeros(len(relative), dtype=torch.bool)    # detected boxes that say something of an annotated one
    found = []
    for number, (index, corners) in enumerate(zip(annotated.classes.tolist(), annotated.corners, strict=True)):
        box = _of_object(overlap[number], same[number], relative, _nearer(overlap, same, number))
        if box is None:
            found.append(SuspiciousBox(row, NOTHING, float(typical.recall[index]), index, corners, None, None))
            continue
        fault, score, partner = box
        taken[partner] = True
        if score > 0:
            found.append(SuspiciousBox(row, fault, score, index, corners, int(detected.classes[partner]),
                                       detected.corners[partner]))
    # Crowd regions hold objects that are not annotated one by one.
    near = pairwise_iou(everything.corners, detected.corners)
    nearest = near.amax(0) if len(near) else torch.zeros(len(relative))
    inside = _inside_crowd(everything, detected)
    for partner in ((nearest < _SAME_PLACE) & ~taken & ~inside).nonzero()[:, 0].tolist():
        score = float(relative[partner] * (1 - nearest[partner]))
        found.append(SuspiciousBox(row, OVERLOOKED, score, None, None, int(detected.classes[partner]),
                                   detected.corners[partner]))
    return found


def _of_object(overlap: Tensor, same: Tensor, relative: Tensor, free: Tensor) -> tuple[str, float, int] | None:
    """What is suspicious of an annotated box, how much, and the detected box that says so; None where none does.

    overlap: float [detected]: its IoU with each.
    same: bool [detected]: which have its class.
    free: bool [detected]: which are no better match of another annotated box.
    """
    support = relative * overlap * (overlap >= _SAME_PLACE)
    own, other = _largest(support * same), _largest(support * ~same * free)
    if other > own:
        return OTHER_CLASS, other - own, int((support * ~same * free).argmax())
    candidates = relative * same * free * (overlap >= _TOUCHES)
    if _largest(candidates) > 0:
        partner = int(candidates.argmax())
        return MISPLACED, float(relative[partner] * (1 - overlap[partner])), partner
    return None


def _largest(values: Tensor) -> float:
    return float(values.max()) if len(values) else 0.0


def _nearer(overlap: Tensor, same: Tensor, number: int) -> Tensor:
    """bool [detected]: which boxes overlap no other annotated box, at one place, more than this one."""
    if not len(overlap):
        return torch.ones(overlap.shape[1], dtype=torch.bool)
    matched = overlap * (overlap >= _SAME_PLACE)
    others = torch.cat((matched[:number], matched[number + 1 :]))
    return others.amax(0) <= overlap[number] if len(others) else torch.ones(overlap.shape[1], dtype=torch.bool)


def _inside_crowd(annotated: Boxes, detected: Boxes) -> Tensor:
    """bool [detected]: which lie, by half or more, in a crowd region."""
    if annotated.crowd is None or not annotated.crowd.any():
        return torch.zeros(len(detected.corners), dtype=torch.bool)
    regions = annotated.corners[annotated.crowd]
    low = torch.maximum(regions[:, None, :2], detected.corners[None, :, :2])
    high = torch.minimum(regions[:, None, 2:], detected.corners[None, :, 2:])
    areas = (detected.corners[:, 2:] - detected.corners[:, :2]).prod(1).clamp(min=1e-6)
    return ((high - low).clamp(min=0).prod(2) / areas[None]).amax(0) >= 0.5
