"""Boxes on which annotation and detector disagree: each fault alone, and planted ones against cleanlab."""

import numpy as np
import pytest
import torch

from lensmith.study.check.labels.suspicious_boxes import (
    MISPLACED,
    NOTHING,
    OTHER_CLASS,
    OVERLOOKED,
    suspicious_boxes,
)
from lensmith.values.boxes import Boxes


def boxes(*rows: tuple[float, ...], scores: tuple[float, ...] | None = None, crowd: tuple[bool, ...] | None = None):
    table = torch.tensor(rows).reshape(-1, 5)
    return Boxes(table[:, :4], table[:, 4].long(), None if scores is None else torch.tensor(scores),
                 crowd=None if crowd is None else torch.tensor(crowd))


RIGHT = boxes((10, 10, 30, 30, 0), (50, 50, 80, 80, 1))
SEEN = boxes((10, 10, 30, 30, 0), (50, 50, 80, 80, 1), scores=(0.8, 0.8))


def of(annotated: Boxes, detected: Boxes):
    """What is suspicious of one picture beside ten about which all agree."""
    found = suspicious_boxes([annotated] + [RIGHT] * 10, [detected] + [SEEN] * 10, 2)
    return [box for box in found if box.row == 0 and box.score > 0.01]


def test_agreement_is_not_suspicious():
    assert of(RIGHT, SEEN) == []


def test_an_object_without_a_box_was_overlooked():
    (box,) = of(boxes((10, 10, 30, 30, 0)), SEEN)
    assert (box.fault, box.given, box.suggested) == (OVERLOOKED, None, 1)
    assert box.score == pytest.approx(1) and box.suggested_corners.tolist() == [50, 50, 80, 80]


def test_a_box_of_another_class():
    (box,) = of(boxes((10, 10, 30, 30, 1), (50, 50, 80, 80, 1)), SEEN)
    assert (box.fault, box.given, box.suggested) == (OTHER_CLASS, 1, 0) and box.score == pytest.approx(1)


def test_a_misplaced_box():
    (box,) = of(boxes((20, 10, 40, 30, 0), (50, 50, 80, 80, 1)), SEEN)
    assert (box.fault, box.given, box.suggested) == (MISPLACED, 0, 0)
    assert box.score == pytest.approx(2 / 3) and box.given_corners.tolist() == [20, 10, 40, 30]


def test_a_box_around_nothing_counts_as_much_as_the_detector_finds_of_the_class():
    found = suspicious_boxes([RIGHT] * 4, [SEEN] * 3 + [boxes((10, 10, 30, 30, 0), scores=(0.8,))], 2)
    (box,) = [box for box in found if box.score > 0.01]
    assert (box.row, box.fault, box.given, box.suggested) == (3, NOTHING, 1, None) and box.score == pytest.approx(0.75)


def test_a_low_score_counts_less():
    unsure = boxes((10, 10, 30, 30, 0), (50, 50, 80, 80, 1), (60, 5, 75, 20, 1), scores=(0.8, 0.8, 0.2))
    (box,) = of(RIGHT, unsure)
    assert box.fault == OVERLOOKED and box.score == pytest.approx(0.25, abs=0.01)


def test_a_neighbour_does_not_make_a_box_misplaced():
    """Two objects of a class beside each other, of which the detector finds one."""
    pair = boxes((10, 10, 30, 30, 0), (22, 10, 42, 30, 0))
    found = of(pair, boxes((10, 10, 30, 30, 0), scores=(0.8,)))
    assert [box.fault for box in found] == [NOTHING]


def test_what_lies_in_a_crowd_was_not_overlooked_and_a_crowd_is_no_object():
    crowd = boxes((10, 10, 30, 30, 0), (40, 40, 90, 90, 1), crowd=(False, True))
    assert of(crowd, SEEN) == []


def test_pictures_without_boxes_on_either_side():
    assert suspicious_boxes([boxes(), RIGHT], [boxes(scores=()), SEEN], 2) == []
    assert of(boxes(), boxes(scores=())) == []


def planted(number: int = 240):
    """Pictures with two objects each, a detector that errs a little, and which of 60 have been spoiled how."""
    draw = np.random.default_rng(0)
    annotated, detected, spoiled = [], [], {}
    for row in range(number):
        first, second = draw.uniform(5, 30, 2), draw.uniform(60, 80, 2)
        edges, classes = draw.uniform(15, 25, 2), draw.integers(0, 3, 2)
        truth = np.array([[*place, *(place + edge)] for place, edge in zip((first, second), edges, strict=True)])
        seen = truth + draw.normal(0, 1, truth.shape)
        scores = np.clip(draw.normal(0.8, 0.1, 2), 0.2, 0.98)
        given, names = truth.copy(), classes.copy()
        fault = (OVERLOOKED, MISPLACED, OTHER_CLASS)[row % 3] if row < 60 else None
        if fault == OVERLOOKED:
            given, names = given[:1], names[:1]
        elif fault == MISPLACED:
            given[0] += edges[0] * 0.5
        elif fault == OTHER_CLASS:
            names[0] = (names[0] + 1) % 3
        if fault:
            spoiled[row] = fault
        annotated.append(boxes(*((*box, name) for box, name in zip(given.tolist(), names, strict=True))))
        detected.append(boxes(*((*box, name) for box, name in zip(seen.tolist(), classes, strict=True)),
                              scores=tuple(scores.tolist())))
    return annotated, detected, spoiled


def test_planted_faults_come_first_and_no_fewer_than_by_cleanlab():
    from cleanlab.object_detection.rank import get_label_quality_scores

    annotated, detected, spoiled = planted()
    ours = suspicious_boxes(annotated, detected, 3)
    named = sum(spoiled.get(box.row) == box.fault for box in ours[:60])
    labels = [{"bboxes": value.corners.numpy(), "labels": value.classes.numpy()} for value in annotated]
    predictions = [np.array([np.concatenate((value.corners, value.scores[:, None]), 1)[value.classes.numpy() == number]
                             for number in range(3)] + [None], dtype=object)[:-1] for value in detected]
    theirs = np.argsort(get_label_quality_scores(labels, predictions, verbose=False))[:60]
    assert named >= 57
    assert len({box.row for box in ours[:60]} & set(spoiled)) >= len(set(theirs.tolist()) & set(spoiled))
