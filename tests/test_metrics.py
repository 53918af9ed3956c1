"""`lensmith.metrics` against scikit-learn, torchmetrics and pycocotools, and what it says of what it cannot measure."""

import contextlib
import io
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn import metrics as sklearn
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

import lensmith
from lensmith import metrics
from lensmith.base.errors import UserError
from lensmith.tasks import TASKS
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask

pytestmark = pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label was found",
                                        "ignore:R.2 score is not well-defined", "ignore:No positive class found")
NAMES = ["cat", "dog", "élan", "zebra", ""]
LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)
AS = {"lists": list, "arrays": np.array, "tensors": torch.tensor, "names": lambda labels: [NAMES[i] for i in labels],
      "values": lambda labels: Label(torch.tensor(labels)),
      "a value each": lambda labels: [Label(torch.tensor(i)) for i in labels]}


@given(LABELS, st.sampled_from(sorted(AS)))
def test_labels_are_scored_as_by_scikit_learn_in_whatever_form_they_come(pairs: list[tuple[int, int]],
                                                                         form: str) -> None:
    truth, predicted = map(list, zip(*pairs, strict=True))
    given = AS[form](truth), AS[form](predicted)
    assert metrics.accuracy_top1(*given) == pytest.approx(sklearn.accuracy_score(truth, predicted))
    assert metrics.macro_f1(*given) == pytest.approx(
        sklearn.f1_score(truth, predicted, average="macro", zero_division=0))
    assert metrics.balanced_accuracy(*given) == pytest.approx(sklearn.balanced_accuracy_score(truth, predicted))


def test_pictures_without_a_label_are_not_counted_and_five_guesses_are_torchmetrics() -> None:
    draw = torch.Generator().manual_seed(1)
    truth, scores = torch.randint(9, (200,), generator=draw), torch.rand(200, 9, generator=draw)
    wanted = multiclass_accuracy(scores, truth, num_classes=9, top_k=5, average="micro").item()
    assert metrics.accuracy_top5(truth, scores) == pytest.approx(wanted) and 0.4 < wanted < 0.7
    assert metrics.accuracy_top5(Label(truth), Label(scores.argmax(1), scores)) == metrics.accuracy_top5(truth, scores)
    gaps = torch.cat((truth, torch.full((50,), -1)))
    assert metrics.accuracy_top5(gaps, torch.cat((scores, scores[:50]))) == metrics.accuracy_top5(truth, scores)
    predicted = torch.cat((truth.roll(1), torch.zeros(50, dtype=torch.int64)))
    assert metrics.accuracy_top1(gaps, predicted) == metrics.accuracy_top1(truth, truth.roll(1))
    assert math.isnan(metrics.accuracy_top5([0, 1], torch.rand(2, 3)))


@given(st.integers(1, 5), st.integers(1, 25), st.integers(0, 2**31), st.booleans())
def test_tags_are_scored_as_by_scikit_learn(tags: int, pictures: int, seed: int, coarse: bool) -> None:
    draw = np.random.default_rng(seed)
    truth, scores = draw.random((pictures, tags)) < 0.4, draw.random((pictures, tags)).round(1 if coarse else 6)
    predicted = scores >= 0.5
    assert metrics.macro_f1(truth, predicted) == pytest.approx(
        sklearn.f1_score(truth, predicted, average="macro", zero_division=0) if tags > 1 and
        (truth | predicted).any(0).all() else metrics.macro_f1(torch.tensor(truth), torch.tensor(predicted).float()))
    if (truth | predicted).any():
        assert metrics.micro_f1(truth, predicted) == pytest.approx(
            sklearn.f1_score(truth.ravel(), predicted.ravel(), zero_division=0))
    assert metrics.exact_match(truth, predicted) == pytest.approx((truth == predicted).all(1).mean())
    there = np.flatnonzero(truth.any(0))
    found = metrics.mean_average_precision(truth, scores)
    wanted = [sklearn.average_precision_score(truth[:, tag], scores[:, tag]) for tag in there]
    assert found == pytest.approx(np.mean(wanted)) if wanted else math.isnan(found)
    value = Tags(torch.from_numpy(predicted).float(), torch.from_numpy(scores))
    assert metrics.mean_average_precision(Tags(torch.from_numpy(truth).float()), value) == \
        pytest.approx(found, nan_ok=True)


def test_a_tag_that_is_not_known_is_not_counted() -> None:
    truth = [[1, 0], [float("nan"), 1], [0, 1]]
    assert metrics.micro_f1(truth, [[1, 0], [1, 1], [0, 0]]) == pytest.approx(2 * 2 / (3 + 2))
    assert metrics.exact_match(truth, [[1, 0], [1, 1], [0, 0]]) == 0.5


@given(st.integers(1, 4), st.integers(2, 25), st.integers(0, 2**31), st.booleans())
def test_numbers_are_scored_as_by_scikit_learn(quantities: int, pictures: int, seed: int, constant: bool) -> None:
    draw = np.random.default_rng(seed)
    truth = 1000 + draw.normal(0, 30, (pictures, quantities))
    if constant:
        truth[:, 0] = 7.25
    predicted = truth + draw.normal(0, 10, truth.shape)
    assert metrics.mae(truth, predicted) == pytest.approx(sklearn.mean_absolute_error(truth, predicted))
    assert metrics.rmse(truth, predicted) == pytest.approx(sklearn.root_mean_squared_error(truth, predicted))
    assert metrics.r2(truth, predicted) == pytest.approx(sklearn.r2_score(truth, predicted), abs=1e-9)
    single = truth[:, 0].tolist(), torch.from_numpy(predicted[:, 0])
    assert metrics.mae(*single) == pytest.approx(sklearn.mean_absolute_error(truth[:, 0], predicted[:, 0]))
    values = Numbers(torch.from_numpy(truth)), Numbers(torch.from_numpy(predicted))
    assert metrics.rmse(*values) == metrics.rmse(truth, predicted)


def test_a_number_that_is_not_known_is_not_counted() -> None:
    assert metrics.mae([1, float("nan"), 3], [2, 9, 5]) == 1.5
    assert metrics.mae([[1.0, 5], [float("nan"), 3]], [[2, 5], [7, 7]]) == (1 + 2) / 2
    assert math.isinf(metrics.mae([1, 2], [1, float("inf")]))


@given(st.integers(0, 2**31))
def test_masks_are_scored_as_by_scikit_learn_and_torchmetrics(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randint(3, (4, 2, 3), generator=draw).repeat_interleave(5, 1).repeat_interleave(5, 2)
    predicted = torch.where(torch.rand(truth.shape, generator=draw) < 0.2, truth.flip(2), truth)
    truth = truth.masked_fill(torch.rand(truth.shape, generator=draw) < 0.1, 255)
    known = truth != 255
    flat = truth[known].numpy(), predicted[known].numpy()
    assert metrics.pixel_accuracy(truth, predicted) == pytest.approx(sklearn.accuracy_score(*flat))
    assert metrics.dice(truth, predicted) == pytest.approx(sklearn.f1_score(*flat, average="macro"))
    assert metrics.miou(truth, predicted) == pytest.approx(sklearn.jaccard_score(*flat, average="macro"))
    if set(flat[0]) == {0, 1, 2}:
        wanted = multiclass_jaccard_index(predicted, truth, num_classes=3, ignore_index=255).item()
        assert metrics.miou(truth.to(torch.uint8).numpy(), predicted.numpy()) == pytest.approx(wanted, rel=1e-5)
    lists = list(truth), [mask.tolist() for mask in predicted]
    assert metrics.boundary_f1(*lists) == metrics.boundary_f1(truth, predicted)
    values = Mask(truth), [Mask(mask) for mask in predicted]
    assert metrics.miou(*values) == metrics.miou(truth, predicted)


def test_pictures_of_different_sizes_are_measured_together() -> None:
    truth = [torch.zeros(4, 6, dtype=torch.int64), torch.ones(3, 2, dtype=torch.int64)]
    predicted = [torch.zeros(4, 6, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.int64)]
    assert metrics.pixel_accuracy(truth, predicted) == 24 / 30
    assert metrics.miou(truth, predicted) == pytest.approx((24 / 30 + 0) / 2)
    assert math.isnan(metrics.boundary_f1(truth, predicted))


def objects(seed: int, *, masks: bool = False) -> tuple[list[dict], list[dict]]:
    draw = np.random.default_rng(seed)
    truth, predicted = [], []
    for _ in range(12):
        count = int(draw.integers(0, 5))
        low = draw.uniform(0, 60, (count, 2)).round()
        corners = np.concatenate((low, low + draw.uniform(4, 60, (count, 2)).round()), 1)
        labels = draw.integers(0, 3, count)
        near = np.concatenate((corners + draw.normal(0, 3, corners.shape).round(), corners + 40))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 2)
        found = {"boxes": near.clip(0, 200), "labels": np.concatenate((labels, labels)),
                 "scores": draw.random(2 * count).astype(np.float32)}
        sides = [{"boxes": corners, "labels": labels}, found]
        for side in sides:
            if masks:
                y, x = np.mgrid[:200, :200]
                x0, y0, x1, y1 = side.pop("boxes").T[:, :, None, None]
                side["masks"] = (x >= x0) & (x < x1) & (y >= y0) & (y < y1) & ((x + y) % 7 > 0)
        truth.append(sides[0])
        predicted.append(sides[1])
    return truth, predicted


# In the order of COCOeval.stats.
ALL = (metrics.map50_95, metrics.map50, metrics.map75, metrics.map_small, metrics.map_medium, metrics.map_large,
       metrics.ar1, metrics.ar10, metrics.ar100)


def by_pycocotools(truth: list[dict], predicted: list[dict], *, masks: bool) -> list[float]:
    def rows(side: list[dict]) -> list[dict]:
        found = []
        for number, picture in enumerate(side):
            for i, label in enumerate(picture["labels"].tolist()):
                row = {"id": len(found) + 1, "image_id": number, "category_id": label, "iscrowd": 0}
                if masks:
                    runs = coco_mask.encode(np.asfortranarray(picture["masks"][i].astype(np.uint8)))
                    row |= {"segmentation": runs, "area": float(coco_mask.area(runs))}
                else:
                    x0, y0, x1, y1 = picture["boxes"][i].tolist()
                    row |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
                found.append(row | ({"score": float(picture["scores"][i])} if "scores" in picture else {}))
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, "images": [{"id": i, "height": 200, "width": 200} for i in range(len(truth))],
                        "annotations": rows(truth), "categories": [{"id": i, "name": str(i)} for i in range(3)]}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(rows(predicted)), "segm" if masks else "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats[: len(ALL)])


@pytest.mark.parametrize("masks", [False, True])
def test_objects_are_scored_as_by_pycocotools(masks: bool) -> None:
    truth, predicted = objects(3, masks=masks)
    for function, wanted in zip(ALL, by_pycocotools(truth, predicted, masks=masks), strict=True):
        found = function(truth, predicted)
        assert math.isnan(found) if wanted == -1 else found == pytest.approx(wanted, abs=1e-6), function.__name__
    assert 0.1 < metrics.map50(truth, predicted) < 0.95


def test_objects_come_as_values_too() -> None:
    truth, predicted = objects(4)

    def boxes(picture: dict) -> Boxes:
        scores = torch.from_numpy(picture["scores"]) if "scores" in picture else None
        return Boxes(torch.from_numpy(picture["boxes"]).float(), torch.from_numpy(picture["labels"]), scores)

    values = [boxes(picture) for picture in truth], [boxes(picture) for picture in predicted]
    assert metrics.map50_95(*values) == metrics.map50_95(truth, predicted)
    truth, predicted = objects(4, masks=True)

    def masks(picture: dict) -> Masks:
        pixels = torch.from_numpy(picture["masks"])
        scores = torch.from_numpy(picture["scores"]) if "scores" in picture else None
        return Masks(torch.zeros(len(pixels), 4), torch.from_numpy(picture["labels"]), scores, bits=pack_bits(pixels),
                     area=pixels.flatten(1).sum(1).float())

    values = [masks(picture) for picture in truth], [masks(picture) for picture in predicted]
    assert metrics.map50_95(*values) == metrics.map50_95(truth, predicted)
    crowd = [{**picture, "crowd": np.ones(len(picture["labels"]), bool)} for picture in truth]
    crowd[1] = truth[1]
    assert metrics.ar100(crowd, predicted) >= 0


def test_the_functions_give_what_a_run_measures() -> None:
    truth, predicted = torch.arange(60) % 6, (torch.arange(60) * 7 // 3) % 6
    measured = TASKS["classification"](tuple("abcdef")).metrics()
    measured.update({"label": Label(predicted, torch.eye(6)[predicted])}, {"label": Label(truth)}, count=60)
    result = measured.result()
    for name in ("accuracy_top1", "macro_f1", "balanced_accuracy"):
        assert result[name] == getattr(lensmith.metrics, name)(truth, predicted)


@pytest.mark.parametrize(("function", "truth", "predicted", "text"), [
    (metrics.accuracy_top1, [0, 1], [0], r"^truth has 2 pictures and predicted has 1: give both for each picture"),
    (metrics.accuracy_top1, ["a"], [0], r"^truth has names and predicted has int64: give class numbers in both, or"),
    (metrics.accuracy_top1, [0.5], [0], r"^truth holds numbers with a fraction, where class numbers \(whole\)"),
    (metrics.accuracy_top1, [[0]], [0], r"^truth has the shape \[1, 1\], where one class a picture, \[pictures\], is"),
    (metrics.accuracy_top1, [0, -2], [0, 1], r"^a class number is -2: classes are numbered from 0 on, and -1 in the"),
    (metrics.accuracy_top1, [-1], [0], r"^nothing to measure: the truth has no picture with a label"),
    (metrics.accuracy_top1, [[0], [1, 2]], [0, 1], r"^truth is no array: ValueError: "),
    (metrics.accuracy_top5, [7], torch.rand(1, 6), r"^truth holds the class 7, and scores have 6 columns: give class"),
    (metrics.accuracy_top5, ["a"], torch.rand(1, 6), r"^truth holds names, and scores have 6 columns: give class num"),
    (metrics.accuracy_top5, [1], [1], r"^scores is int64 of shape \[1\], where float \[pictures, classes\]"),
    (metrics.micro_f1, [[1, 0]], [[0.7, 0]], r"^predicted holds 0\.7, and tags are 1 \(present\) or 0 \(absent\): dec"),
    (metrics.micro_f1, [[1, 0]], [[1]], r"^truth has the shape \[1, 2\] and predicted has \[1, 1\]: give both for"),
    (metrics.micro_f1, [[math.nan]], [[1]], r"^nothing to measure: the truth has no picture with a known tag"),
    (metrics.mae, [math.nan], [1], r"^nothing to measure: the truth has no known number$"),
    (metrics.mae, [[1, math.nan]], [[1, 2]], r"^nothing to measure: the truth has no known number of quantity 1"),
    (metrics.mae, ["a"], [1], r"^truth is names of shape \[1, 1\], where \[pictures\] or \[pictures, quantities\] is"),
    (metrics.mae, Label(torch.tensor([1])), [1], r"^truth is Label, which this metric does not measure"),
    (metrics.miou, torch.zeros(1, 2, 2).int(), torch.zeros(1, 2, 3).int(),
     r"^the masks of picture 0 differ in size: truth \(2, 2\), predicted \(2, 3\)"),
    (metrics.miou, torch.zeros(1, 2, 2).int(), torch.full((1, 2, 2), 255),
     r"^the predicted mask of picture 0 holds 255, which stands for void"),
    (metrics.miou, torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), r"^truth has a mask of numbers with a fraction and"),
    (metrics.miou, torch.full((1, 2, 2), 255), torch.zeros(1, 2, 2).int(), r"^nothing to measure: no picture of this"),
    (metrics.map50, [{"boxes": [], "labels": []}], [{"boxes": [], "labels": [], "scores": []}],
     r"^nothing to measure: the truth has no object"),
    (metrics.map50, [{"boxes": [[0, 0, 2, 2]], "labels": [0]}], [{"boxes": [[0, 0, 2, 2]], "labels": [0]}],
     r"^predicted has no scores, which rank the objects"),
    (metrics.map50, [{"boxs": [], "labels": []}], [], r"^truth\[0\] has 'boxs', which is unknown\. Did you mean"),
    (metrics.map50, [{"boxes": []}], [], r"^truth\[0\] has boxes, and needs labels and either boxes or masks"),
    (metrics.map50, [{"boxes": [[0, 0, 1, 1]], "labels": [0, 1]}], [], r"^truth\[0\] has 1 boxes and 2 labels"),
    (metrics.map50, [{"boxes": [[0, 0, 1]], "labels": [0]}], [], r"^truth\[0\] has boxes of shape \[1, 3\], where"),
    (metrics.map50, [{"boxes": [[0, 0, 1, 1]], "labels": [-1]}], [], r"^truth\[0\] has the labels \[-1\], where class"),
    (metrics.map50, {"boxes": []}, [], r"^truth is dict, where a list with the objects of each picture is expected"),
    (metrics.map50, [3], [], r"^truth\[0\] is int, where a dict of boxes and labels, or Boxes, is expected"),
    (metrics.map50, Boxes(torch.zeros(1, 4), torch.zeros(1).long(), image=torch.zeros(1).long()), [],
     r"^truth is one stacked Boxes, which does not say how many pictures there are: give a list"),
])
def test_what_cannot_be_measured_is_said(function: Callable[..., float], truth: Any, predicted: Any,
                                         text: str) -> None:
    with pytest.raises(UserError) as caught:
        function(truth, predicted)
    assert re.search(text, str(caught.value)), str(caught.value)


ANY = st.recursive(st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=2),
                   lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                       st.sampled_from(["boxes", "labels", "scores", "masks", "x"]), inner, max_size=4), max_leaves=12)


@given(st.sampled_from([name for name in metrics.__all__ if name not in ("METRICS", "Metric")]), ANY, ANY)
def test_whatever_comes_is_measured_or_refused_in_one_line(name: str, truth: Any, predicted: Any) -> None:
    assume(not isinstance(truth, str))
    value, refusal = 0.0, ""
    try:
        value = getattr(metrics, name)(truth, predicted)
    except UserError as error:
        refusal = str(error)
    assert isinstance(value, float) and "\n" not in refusal
