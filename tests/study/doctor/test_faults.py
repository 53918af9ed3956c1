"""Each fault is named from facts written by hand, and a healthy run is told nothing grave."""

from dataclasses import replace
from typing import Any

import pytest

from lensmith.study.doctor import FAULTS, diagnose
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

CLASSES = ("shirt", "shoe", "bag", "coat")
CHANCE = 1.3863    # ln 4


def table(sections: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The recipe of a small classifier with other settings put in."""
    recipe: dict[str, dict[str, Any]] = {
        "task": {"name": "classification"}, "optimizer": {"name": "adamw", "rate": 1e-3, "decay": 0.05},
        "backbone": {"name": "my_net.py:Net"}, "loading": {"batch": 64, "balance": False}, "augment": {"flip": False},
        "learner": {"epochs": 6}}
    for section, settings in sections.items():
        recipe[section] = recipe.get(section, {}) | settings
    return recipe


def history(train: list[float], valid: list[float], scores: list[float], **more: list[float]) -> list[dict[str, float]]:
    rows = zip(train, valid, scores, strict=True)
    return [{"epoch": number, "step": 100 * number, "train/loss": one, "valid/loss": two, "valid/accuracy_top1": three,
             **{name.replace("_of_", "/"): values[number - 1] for name, values in more.items()}}
            for number, (one, two, three) in enumerate(rows, start=1)]


def counts(*numbers: int) -> dict[str, Any]:
    return {"count": sum(numbers), "per_class": dict(zip(CLASSES, numbers, strict=True))}


def matrix(rows: list[list[int]]) -> dict[str, Any]:
    return {"valid": {"count": sum(map(sum, rows)), "accuracy_top1": 0.9, "details": {
        "confusion": rows, "per_class": [{"class": name, "f1": 0.9} for name in CLASSES]}}}


def row(step: int, **other: Any) -> dict[str, Any]:
    """What was watched at a step, of four layers that learn as they should."""
    return {"step": step, "epoch": 0, "loss": 0.6, "plain_loss": 0.58, "weights": [3.0, 5.0, 8.0, 2.0],
            "gradients": [0.3, 0.4, 0.5, 0.3], "updates": [2e-3, 1e-3, 1e-3, 3e-3], "silent": [0.05, 0.1],
            "spread": [None, None], "norm_gaps": [0.1]} | other


def vitals(rows: list[dict[str, Any]] | None = None, **other: Any) -> dict[str, Any]:
    return {"version": 1, "pictures": 32, "weights": ["first.weight", "second.weight", "third.weight", "last.weight"],
            "activations": [{"name": "relu1", "kind": "ReLU"}, {"name": "relu2", "kind": "ReLU"}], "norms": ["norm1"],
            "frozen": [], "unused": [], "evaluating": [], "decayed_norms": [], "probabilities": False,
            "rows": rows if rows is not None else [row(step) for step in (50, 150, 300, 550)]} | other


FALLING, SCORES = [1.1, 0.8, 0.6, 0.5, 0.42, 0.4], [0.6, 0.7, 0.78, 0.81, 0.84, 0.85]
HEALTHY = Facts(
    table({}), history(FALLING, [0.95, 0.75, 0.6, 0.52, 0.47, 0.46], SCORES), {"status": "finished",
                                                                             "score_name": "accuracy_top1"},
    matrix([[90, 5, 3, 2], [2, 95, 2, 1], [5, 1, 90, 4], [4, 2, 1, 93]]),
    {"classes": {"label": list(CLASSES)}, "form": {"channels": 3, "height": 32, "width": 32},
     "splits": {"train": counts(900, 900, 900, 900), "valid": counts(100, 100, 100, 100)}, "source": {}}, vitals())
AT_CHANCE = history([1.40, CHANCE, 1.3862, 1.3864, 1.3863, 1.3862], [CHANCE] * 6, [0.25] * 6)
DETECTOR = replace(
    HEALTHY, recipe=table({"task": {"name": "detection", "threshold": 0.001, "overlap": 0.6}}),
    history=[{"epoch": n, "step": n, "train/loss": 3.0 / n, "valid/mAP50-95": 0.1 * n} for n in range(1, 6)],
    run={"status": "finished", "score_name": "mAP50-95"}, metrics={},
    data={"classes": {"boxes": list(CLASSES)}, "form": {"channels": 3, "height": 320, "width": 320},
          "boxes": {"boxes": 100, "area": {"low": -5, "high": 0, "counts": [0] * 12 + [50, 50] + [0] * 6}}})


def small(counts_of_areas: list[int], edge: int = 320) -> dict[str, Any]:
    """data.json of boxes of these areas, twenty steps from 10^-5 of a picture to the whole of it."""
    return {**DETECTOR.data, "form": {"channels": 3, "height": edge, "width": edge},
            "boxes": {"boxes": 100, "area": {"low": -5, "high": 0, "counts": counts_of_areas}}}


def watched(**other: Any) -> dict[str, Any]:
    return vitals([row(step, **other) for step in (50, 150, 300, 550)])


def masks(rows: list[list[int]]) -> dict[str, Any]:
    return {"valid": {"count": 10, "mIoU": 0.24, "details": {
        "confusion": rows, "confusion_names": list(CLASSES), "per_class": [{"class": name, "IoU": 0.1}
                                                                           for name in CLASSES]}}}


def played(**other: Any) -> Facts:
    """The facts of five measurements of a run that plays well, with other columns put in."""
    columns = {"train/loss": 0.1, "reward/least": -0.05, "reward/most": 1.0, "train/length": 9.0, "valid/length": 8.0,
               "valid/return": [-2.0, 0.2, 0.6, 0.6, 0.65], "valid/ended": 1.0, "value/expected": 0.5,
               "value/returned": 0.48, "action/most": 0.5, "replay/moments": 3000.0, "updates": 400.0,
               "target/updates": 8.0} | other
    history = [{"epoch": number + 1, "step": 500 * (number + 1),
                **{name: values[min(number, len(values) - 1)] if isinstance(values, list) else values
                   for name, values in columns.items()}} for number in range(5)]
    recipe = {"world": {"name": "maze"}, "algorithm": {"name": "dqn", "replay": 50_000, "target_every": 50},
              "play": {"copies": 16}, "learner": {"steps": 2500}}
    return Facts(recipe, history, {"status": "finished", "score_name": "return"}, folder="runs/maze-1")


SIGMOIDS = [{"name": "squash1", "kind": "Sigmoid"}, {"name": "squash2", "kind": "Sigmoid"}]
UNEVEN = {**HEALTHY.data, "splits": {"train": counts(2700, 300, 300, 300), "valid": counts(300, 33, 33, 34)}}
SICK: dict[str, Facts] = {
    "saturated activations": replace(HEALTHY, history=AT_CHANCE, vitals=vitals(
        [row(step, loss=CHANCE, gradients=[1e-7, 1e-5, 1e-3, 0.3], spread=[0.004, 0.001], silent=[None, None])
         for step in (50, 150, 300)], activations=SIGMOIDS)),
    "dead relus": replace(HEALTHY, history=AT_CHANCE, vitals=watched(loss=CHANCE, silent=[0.2, 0.97])),
    "vanishing gradients": replace(HEALTHY, history=AT_CHANCE, vitals=watched(
        loss=CHANCE, gradients=[1e-8, 1e-6, 1e-3, 0.3])),
    "exploding gradients": replace(HEALTHY, history=[], run={
        "status": "stopped", "reason": "the loss is not finite at step 12 (epoch 1, rate 0.001): label nan."},
        vitals=watched(loss=40.0, gradients=[3e9, 1e7, 1e4, 10.0])),
    "a layer thrown about": replace(HEALTHY, recipe=table({"learner": {"groups": [{"match": "last*", "rate": 300}]}}),
                                    vitals=watched(updates=[2e-3, 1e-3, 1e-3, 0.7])),
    "rate too high": replace(HEALTHY, recipe=table({"optimizer": {"rate": 1.0}}),
                             history=history([9.3, 2.2, 1.5, 1.4, 1.39, 1.39], [1.6, 1.5, 1.4, 1.4, 1.39, 1.39],
                                             [0.25, 0.25, 0.26, 0.25, 0.25, 0.25]), vitals=watched(updates=[0.4] * 4)),
    "rate too low": replace(HEALTHY, recipe=table({"optimizer": {"rate": 1e-7}}),
                            history=history([1.385, 1.384, 1.383, 1.382, 1.381, 1.38], [1.38] * 6, [0.3] * 6),
                            vitals=watched(loss=1.38, updates=[2e-7] * 4)),
    "tiny batches": replace(HEALTHY, recipe=table({"loading": {"batch": 2}})),
    "running statistics": replace(HEALTHY, history=history(FALLING, [1.5] * 6, [0.3] * 6),
                                  vitals=watched(loss=0.5, plain_loss=1.6)),
    "overfitting": replace(HEALTHY, history=history([1.0, 0.5, 0.2, 0.1, 0.05, 0.02], [0.9, 0.7, 0.75, 0.9, 1.1, 1.3],
                                                    [0.6, 0.7, 0.7, 0.69, 0.68, 0.68])),
    "underfitting": replace(HEALTHY, history=history(
        [1.2, 1.15, 1.12, 1.11, 1.105, 1.1], [1.18, 1.14, 1.12, 1.1, 1.1, 1.1], [0.4, 0.42, 0.44, 0.45, 0.45, 0.45])),
    "no better than the commonest class": replace(
        HEALTHY, data=UNEVEN, history=history([0.9, 0.86, 0.84, 0.83, 0.83, 0.82], [0.84] * 6, [0.75] * 6)),
    "shuffled labels": replace(HEALTHY, history=history(
        [1.39, 1.3, 1.1, 0.9, 0.7, 0.5], [1.4, 1.45, 1.6, 1.8, 2.0, 2.3], [0.26, 0.24, 0.25, 0.25, 0.27, 0.24])),
    "shared pictures": replace(HEALTHY, data={**HEALTHY.data, "source": {"in_two_splits": {"count": 300}}}),
    "a class never predicted": replace(HEALTHY, metrics=matrix([[97, 3, 0, 0], [2, 98, 0, 0], [60, 40, 0, 0],
                                                                [4, 2, 0, 94]])),
    "preprocessing": replace(HEALTHY, recipe=table({"learner": {"weights": "net.pth"}}),
                             vitals=watched(norm_gaps=[4.1])),
    "mirrored labels": replace(HEALTHY, recipe=table({"augment": {"flip": True}}),
                               data={**HEALTHY.data, "classes": {"label": [str(digit) for digit in range(10)]}}),
    "objects cut away": replace(HEALTHY, recipe=table({"augment": {"resized_crop": [0.02, 0.1]}}),
                                history=history([1.3, 1.2, 1.1, 1.05, 1.0, 1.0], [0.9, 0.8, 0.6, 0.55, 0.5, 0.5],
                                                SCORES)),
    "frozen by accident": replace(HEALTHY, vitals=vitals(frozen=["first.weight", "first.bias"])),
    "decay on norms": replace(HEALTHY, vitals=vitals(decayed_norms=["norm.gain"])),
    "softmax twice": replace(HEALTHY, vitals=vitals(probabilities=True)),
    "evaluation mode": replace(HEALTHY, vitals=vitals(evaluating=["norm1"])),
    "anchors": replace(DETECTOR, recipe=table({"task": {"name": "yolov3", "threshold": 0.001, "overlap": 0.45}}),
                       vitals=vitals(anchors=[[200.0, 220.0], [300.0, 310.0]], strides=[8, 16, 32])),
    "small objects": replace(DETECTOR, data=small([0, 0, 0, 20, 60, 20] + [0] * 14)),
    "boxes suppressed": replace(
        DETECTOR, recipe=table({"task": {"name": "detection", "threshold": 0.99, "overlap": 0.6}}),
        history=[{"epoch": n, "step": n, "train/loss": 3.0 / n, "valid/mAP50-95": 0.0} for n in range(1, 6)]),
    "all background": replace(HEALTHY, recipe=table({"task": {"name": "segmentation"}}), history=[],
                              run={"status": "finished", "score_name": "mIoU"},
                              metrics=masks([[9_600, 0, 0, 0], [200, 0, 0, 0], [100, 0, 0, 0], [100, 0, 0, 0]])),
    "a starved part": replace(
        HEALTHY, recipe=table({"task": {"name": "multitask", "balance": "fixed"}}), metrics={},
        history=history([1.40, 0.9, 0.5], [1.4, 1.0, 0.6], [0.3, 0.5, 0.7], train_of_breed=[1.399, 0.899, 0.499],
                        train_of_species=[1e-4, 1e-4, 1e-4]), run={"status": "finished", "score_name": "joined"}),
    "a reward never seen": played(**{"reward/least": 0.0, "reward/most": 0.0, "valid/return": 0.0}),
    "values that run away": played(**{"value/expected": [0.9, 40.0, 300.0, 5e4]}),
    "a collapsed policy": played(**{"action/most": 1.0, "valid/return": -5.0, "valid/ended": 0.0}),
    "a short replay": played(**{"replay/moments": 6.0, "train/length": 40.0}),
    "a target never updated": played(**{"target/updates": 0.0}),
    "entropy gone": played(**{"policy/entropy": [1.38, 0.3, 1e-4, 1e-5, 1e-6], "valid/return": -3.0}),
}


def test_every_fault_of_the_table_has_facts_here():
    assert list(SICK) == list(FAULTS)


@pytest.mark.parametrize("name", list(FAULTS))
def test_it_is_named_first_or_second_with_numbers_and_a_mend(name: str):
    found = diagnose(SICK[name])
    assert name in [diagnosis.fault for diagnosis in found[:2]], [each.sentence() for each in found]
    diagnosis = next(each for each in found if each.fault == name)
    assert 0 < diagnosis.sure <= 1 and diagnosis.mend and diagnosis.cause
    assert any(letter.isdigit() for letter in diagnosis.measured) or name in ("evaluation mode", "frozen by accident")
    assert "\n" not in diagnosis.sentence() and "None" not in diagnosis.sentence()


def test_a_healthy_run_is_told_nothing():
    assert diagnose(HEALTHY) == [] and diagnose(DETECTOR) == []


def test_a_run_that_plays_well_is_told_nothing():
    assert diagnose(played()) == []
    assert diagnose(replace(played(), history=[])) == []
    assert diagnose(played(**{"reward/least": 1.0, "reward/most": 1.0, "train/ended": 1.0})) == []    # a pole


def test_what_is_not_known_is_no_fault():
    assert diagnose(Facts({})) == []
    assert diagnose(replace(HEALTHY, vitals={}, metrics={}, data={})) == []


def test_what_is_meant_is_no_accident():
    frozen = SICK["frozen by accident"]
    assert diagnose(replace(frozen, recipe=table({"learner": {"freeze": "backbone"}}))) == []
    mirror = SICK["mirrored labels"]
    assert diagnose(replace(mirror, data={**mirror.data, "classes": {"label": ["cat", "dog", "cow"]}})) == []


def test_a_rate_that_is_too_low_is_told_from_the_history_alone():
    slow = replace(SICK["rate too low"], recipe=table({"optimizer": {"rate": 1e-6}}), vitals={})
    found = diagnose(slow)[0]
    assert found.fault == "rate too low" and found.settings == {"optimizer.rate": 1e-3}
    assert "train/loss only went from 1.385 to 1.38 in 6 epochs" in found.sentence()


def test_the_most_certain_comes_first():
    sure = [diagnosis.sure for diagnosis in diagnose(SICK["saturated activations"])]
    assert len(sure) > 1 and sure == sorted(sure, reverse=True)


def test_a_recipe_that_holds_anything_is_no_trouble():
    odd = table({"optimizer": {"rate": "x", "decay": None}, "loading": {"batch": True},
                 "augment": {"flip": [], "erase": {}}, "learner": {"groups": 3, "norm_floor": "y"},
                 "task": {"name": 7, "threshold": [], "overlap": "z"}})
    assert isinstance(diagnose(replace(HEALTHY, recipe=odd)), list)
    for section in odd:
        assert isinstance(diagnose(replace(HEALTHY, recipe={**odd, section: 5})), list)


def test_a_diagnosis_is_a_line_and_plain_data():
    found = Diagnosis("train/loss is 9", "the rate is too high", "--rate 0.1", 0.85, grave=True,
                      settings={"optimizer.rate": 0.1}, fault="rate too high")
    assert found.sentence() == ("rate too high (85% sure): the rate is too high. Measured: train/loss is 9. "
                                "Mend: --rate 0.1")
    assert found.as_json() == {"fault": "rate too high", "sure": 0.85, "grave": True, "cause": "the rate is too high",
                               "measured": "train/loss is 9", "mend": "--rate 0.1",
                               "settings": {"optimizer.rate": 0.1}}
