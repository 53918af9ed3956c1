"""The score of one answer for all pictures, against scikit-learn's dummies and this package's own metrics."""

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import r2_score

from lensmith.tasks.baseline import baselines
from lensmith.tasks.classification import Classification
from lensmith.tasks.multitask import Multitask
from lensmith.tasks.regression import Regression
from lensmith.tasks.segmentation import Segmentation
from lensmith.tasks.tagging import Tagging
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask

NAMES = ("cat", "dog", "owl")


def labels(draw: torch.Generator, number: int) -> Label:
    return Label(torch.tensor([0.2, 0.5, 0.3]).multinomial(number, replacement=True, generator=draw))


def test_of_labels_it_is_the_accuracy_of_the_class_that_training_shows_most():
    draw = torch.Generator().manual_seed(3)
    trained, measured = labels(draw, 90), labels(draw, 31)
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((90, 1)), trained.index)
    wanted = dummy.score(np.zeros((31, 1)), measured.index)
    unknown = torch.full((5,), -1)
    for known, truth in ((trained, measured), (Label(torch.cat((trained.index, unknown))),
                                               Label(torch.cat((unknown, measured.index))))):
        found = baselines(Classification(NAMES), {"label": known}, {"label": truth}, {"label": NAMES})
        assert list(found) == ["accuracy_top1"] and found["accuracy_top1"].answer == "always naming 'dog'"
        assert found["accuracy_top1"].score == pytest.approx(wanted)
        assert found["accuracy_top1"].spread == pytest.approx(np.sqrt(wanted * (1 - wanted) / 31))


def test_of_numbers_it_is_the_r2_of_the_training_mean():
    draw = torch.Generator().manual_seed(4)
    trained, measured = torch.randn(50, 2, generator=draw), torch.randn(40, 2, generator=draw) + 0.3
    dummy = DummyRegressor().fit(np.zeros((50, 1)), trained)
    wanted = r2_score(measured, dummy.predict(np.zeros((40, 1))))
    found = baselines(Regression(("a", "b"), targets=Numbers(trained)), {"numbers": Numbers(trained)},
                      {"numbers": Numbers(measured)}, {"numbers": ("a", "b")})
    assert found["R2"].score == pytest.approx(wanted, abs=1e-6) and wanted < 0
    assert found["R2"].answer == "always saying the mean"


def test_of_masks_it_is_the_miou_of_the_class_of_most_pixels():
    draw = torch.Generator().manual_seed(5)
    trained, measured = (torch.randint(0, 3, (6, 8, 8), generator=draw, dtype=torch.uint8) for _ in range(2))
    trained[:, :4], measured[0, :2] = 2, 255
    task, classes = Segmentation(NAMES), {"mask": NAMES}
    found = baselines(task, {"mask": Mask(trained)}, {"mask": Mask(measured)}, classes)["mIoU"]
    metrics = task.metrics()
    metrics.update({"mask": Mask(torch.full_like(measured, 2))}, {"mask": Mask(measured)}, count=6)
    assert found.answer == "always naming 'owl'" and found.score == pytest.approx(metrics.result()["mIoU"])


def test_of_several_tasks_each_has_its_own_and_tags_have_none():
    draw = torch.Generator().manual_seed(6)
    kind, tags = labels(draw, 30), Tags(torch.rand(30, 2, generator=draw).round())
    classes = {"animal": NAMES, "tags": ("wet", "old")}
    targets = {"animal": kind, "tags": tags}
    task = Multitask(classes, targets=targets)
    found = baselines(task, targets, targets, classes)
    assert list(found) == ["animal/accuracy_top1"]
    assert found["animal/accuracy_top1"].score == pytest.approx(float((kind.index == 1).float().mean()))
    assert baselines(Tagging(("wet", "old")), {"tags": tags}, {"tags": tags}, {"tags": ("wet", "old")}) == {}


def test_a_target_of_which_a_split_knows_nothing_has_none():
    nothing = Label(torch.full((4,), -1))
    some = Label(torch.tensor([0, 1, 1, 2]))
    for trained, measured in ((nothing, some), (some, nothing)):
        assert baselines(Classification(NAMES), {"label": trained}, {"label": measured}, {"label": NAMES}) == {}
