"""How sure answers have to be, and which classes are shown: of one task and of several."""

import pytest

from lensmith.base.errors import UserError
from lensmith.ship.predict.thresholds import chosen_classes, deciding
from lensmith.tasks.classification import Classification
from lensmith.tasks.detection import Detection
from lensmith.tasks.multitask import Multitask
from lensmith.tasks.nms import SHOWN

NAMES = {"kind": ("a", "b"), "head": ("head", "tail"), "pet": ("cat", "head"), "outline": ("ground", "pet", "sky")}
KINDS = {"kind": "label", "head": "boxes", "pet": "boxes", "outline": "mask"}


def test_thresholds_reach_every_part_that_finds_objects_and_leave_the_task_alone():
    task = Multitask(NAMES, kinds=KINDS)
    decided = deciding(task, threshold=0.7, overlap=0.3)
    assert isinstance(decided, Multitask)
    for name in ("head", "pet"):
        assert (decided.tasks[name].threshold, decided.tasks[name].overlap) == (0.7, 0.3)
        assert task.tasks[name].threshold == 0.001
    assert decided.tasks["outline"].keeps_scores and not task.tasks["outline"].keeps_scores
    assert decided.kept_per_pixel == 3 and task.kept_per_pixel == 0
    assert deciding(task, threshold=None, overlap=None).tasks["head"].threshold == SHOWN


def test_classes_are_chosen_in_each_part_that_has_them():
    chosen = chosen_classes(Multitask(NAMES, kinds=KINDS), NAMES, ["head", "cat"])
    assert {name: rows.tolist() for name, rows in chosen.items()} == {"head": [0], "pet": [0, 1]}
    assert chosen_classes(Detection(("a", "b")), {"boxes": ("a", "b")}, None) is None
    only = chosen_classes(Detection(("a", "b")), {"boxes": ("a", "b")}, ["b"])
    assert only["boxes"].tolist() == [1]


@pytest.mark.parametrize(("task", "given", "text"), [
    (Classification(("a", "b")), {"threshold": 0.5, "overlap": None},
     r"predict.threshold=0\.5 is for networks that find objects; this one gives label"),
    (Multitask(NAMES, kinds=KINDS, parts=["kind", "outline"]), {"threshold": None, "overlap": 0.5},
     r"predict.overlap=0\.5 is for networks that find objects; this one gives kind, outline"),
    (Multitask(NAMES, kinds=KINDS), {"threshold": 1.5, "overlap": None},
     r"predict.threshold=1\.5 is not possible: accepted is 0 \.\. 1")])
def test_what_cannot_be_decided_is_told(task, given, text):
    with pytest.raises(UserError, match=text):
        deciding(task, **given)


def test_classes_that_nobody_knows_are_told():
    with pytest.raises(UserError, match=r"predict.classes is for networks that find objects; this one gives label"):
        chosen_classes(Classification(("a", "b")), {"label": ("a", "b")}, ["a"])
    with pytest.raises(UserError, match=r"knows no class 'haed'\. Did you mean 'head'\? It knows: head, tail, cat"):
        chosen_classes(Multitask(NAMES, kinds=KINDS), NAMES, ["haed"])
