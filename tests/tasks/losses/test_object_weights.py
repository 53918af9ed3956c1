"""Weights of the classes of objects: one switch for boxes, yolov3 and masks of objects."""

import pytest
import torch
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.heads.points import Points, corners_of
from lensmith.tasks.detection import Detection
from lensmith.tasks.instances import Instances
from lensmith.tasks.losses.object_weights import ObjectWeights
from lensmith.tasks.losses.point_assignment import pad, task_aligned
from lensmith.tasks.yolo import Yolo
from lensmith.values.boxes import Boxes

CLASSES = ("cat", "dog", "ship")


def truth() -> Boxes:
    return Boxes(torch.tensor([[4.0, 4, 40, 40], [8.0, 8, 60, 60], [30.0, 4, 50, 30]]), torch.tensor([0, 1, 0]),
                 image=torch.tensor([0, 1, 1]))


def output() -> Points:
    draw = torch.Generator().manual_seed(1)
    cells = (torch.arange(8) + 0.5) * 8
    centres = torch.stack(torch.meshgrid(cells, cells, indexing="xy"), -1).reshape(-1, 2)
    strides = torch.full((64,), 8.0)
    return Points(torch.randn(2, 64, 3, generator=draw).requires_grad_(),
                  torch.randn(2, 64, 4, 16, generator=draw).requires_grad_(), centres, strides)


def test_balanced_is_inversely_to_the_objects_of_a_class_without_crowds():
    boxes = Boxes(torch.zeros(5, 4), torch.tensor([0, 0, 0, 1, 1]), image=torch.arange(5),
                  crowd=torch.tensor([False, False, False, False, True]))
    weights = ObjectWeights("balanced", CLASSES, boxes).weights
    assert weights.tolist() == pytest.approx([4 / (2 * 3), 4 / (2 * 1), 1.0])    # n / (K n_k)


def test_equal_weights_change_no_bit_and_others_multiply_the_points_of_their_objects():
    plain = Detection(CLASSES).loss(output(), {"boxes": truth()})
    ones = Detection(CLASSES, class_weights=[1.0, 1.0, 1.0]).loss(output(), {"boxes": truth()})
    assert all(torch.equal(plain[name], ones[name]) for name in plain)
    weighted = Detection(CLASSES, class_weights=[3.0, 0.5, 1.0]).loss(output(), {"boxes": truth()})
    assert torch.equal(weighted["box"], plain["box"]) and torch.equal(weighted["side"], plain["side"])
    assert weighted["class"].item() == pytest.approx(by_hand([3.0, 0.5, 1.0]), rel=1e-5)


def by_hand(weights: list[float]) -> float:
    """The class term with plain loops over points and classes."""
    found, objects = output(), pad(truth(), 2)
    assigned = task_aligned(found.logits.detach().sigmoid(), corners_of(found.sides.detach(), found.centres,
                                                                       found.strides), found.centres, found.strides,
                            objects)
    total = 0.0
    for picture in range(2):
        for point in range(64):
            quality = float(assigned.quality[picture, point])
            own = int(objects.classes[picture, assigned.row[picture, point]]) if quality > 0 else -1
            for number in range(3):
                target = torch.tensor(quality if number == own else 0.0)
                cost = F.binary_cross_entropy_with_logits(found.logits[picture, point, number].detach(), target)
                total += float(cost) * (weights[number] if number == own else 1.0)
    return 0.5 * total / max(1.0, float(assigned.quality.sum()))


def test_a_class_that_is_balanced_needs_targets_to_count():
    task = Detection(CLASSES, class_weights="balanced")
    with pytest.raises(UserError, match="counts the training objects, and none were given"):
        task.loss(output(), {"boxes": truth()})
    Detection(CLASSES, class_weights="balanced", targets=truth()).loss(output(), {"boxes": truth()})


@pytest.mark.parametrize("task", [Detection, Yolo, Instances])
def test_every_task_of_objects_has_the_switch_and_refuses_what_does_not_fit(task):
    with pytest.raises(UserError, match="task.class_weights has 2 numbers, but there are 3: give one a class"):
        task(CLASSES, class_weights=[1.0, 2.0])
    task(CLASSES, class_weights=[1.0, 2.0, 3.0])


def test_a_detector_that_computes_its_own_loss_refuses_them():
    with pytest.raises(UserError, match="task.class_weights cannot be set for a detector in two stages"):
        Detection(CLASSES, class_weights=[1.0, 2.0, 3.0]).whole_head(lambda *_, **__: None)


@pytest.mark.parametrize(("task", "backbone"), [("detection", "simple"), ("yolov3", "simple"), ("instances", "simple")])
def test_a_run_with_both_switches_learns(tmp_path, task, backbone):
    from lensmith.api import train

    trained = train("shapes", task=task, backbone=backbone, epochs=1, name=task, runs=tmp_path,
                    settings={"data.count": 24, "data.size": 32, "plan.mode": "exact", "loading.balance": True,
                              "task.class_weights": "balanced"})
    assert trained.recipe["task"]["class_weights"] == "balanced" and trained.metrics
