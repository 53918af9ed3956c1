"""Average precision against pycocotools and faster-coco-eval, and what a report shows against counting by hand."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lensmith.base.errors import DataError
from lensmith.tasks.metrics import boxes as average_precision
from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.values.boxes import Boxes

HEADLINES = ("mAP50-95", "mAP50", "mAP75", "mAP-small", "mAP-medium", "mAP-large", "AR1", "AR10", "AR100")


def drawn(seed: int, pictures: int, classes: int, *, found: int, crowd: float = 0.1,
          area: bool = True) -> tuple[Boxes, Boxes]:
    """Truth and predictions of a middling detector: pictures without objects, crowds, areas of the annotations' own,
    equal scores, boxes found twice, of the wrong class and exactly; the last class is nowhere in the truth."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(6, pictures) * (rng.random(pictures) < 0.85)
    image = np.repeat(np.arange(pictures), counts)
    low = rng.random((len(image), 2)) * 500
    size = np.exp(rng.normal(3.8, 1, low.shape)).clip(2, 400)
    corners = np.concatenate((low, low + size), 1).astype(np.float32)
    kinds = rng.integers(0, max(1, classes - 1), len(image))
    own = (size.prod(1) * rng.uniform(0.4, 1, len(image))).astype(np.float32)
    where = np.sort(rng.integers(0, pictures, found * pictures))
    low = rng.random((len(where), 2)) * 500
    boxes = np.concatenate((low, low + np.exp(rng.normal(3.8, 1, low.shape))), 1)
    said = rng.integers(0, classes, len(where))
    source = (np.searchsorted(image, where) + rng.integers(0, 99, len(where)) % np.maximum(1, counts[where])).clip(
        0, len(image) - 1)
    close = (rng.random(len(where)) < 0.6) & (counts[where] > 0)
    noise = rng.normal(0, 0.08, boxes.shape) * np.tile(size[source], 2) * (rng.random((len(where), 1)) < 0.9)
    boxes[close] = (corners[source] + noise)[close]
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    said[close] = np.where(rng.random(len(where)) < 0.85, kinds[source], said)[close]
    scores = (rng.random(len(where)) * np.where(close, 1, 0.7)).round(2).astype(np.float32)
    tensor = torch.from_numpy
    return (Boxes(tensor(corners), tensor(kinds), None, tensor(image), tensor(rng.random(len(image)) < crowd),
                  tensor(own) if area else None),
            Boxes(tensor(boxes.astype(np.float32)), tensor(said), tensor(scores), tensor(where)))


def measured(truth: Boxes, found: Boxes, pictures: int, classes: int) -> dict[str, Any]:
    metrics = BoxMetrics(tuple(f"kind {i}" for i in range(classes)))
    metrics.update({"boxes": found}, {"boxes": truth}, count=pictures)
    return metrics.result()


def as_coco(truth: Boxes, found: Boxes, pictures: int, classes: int) -> tuple[dict, list]:
    def edges(boxes: Boxes) -> list[list[float]]:
        return [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in boxes.corners.double().tolist()]

    frames = edges(truth)
    area = [w * h for _, _, w, h in frames] if truth.area is None else truth.area.tolist()
    annotations = [{"id": i + 1, "image_id": int(truth.image[i]), "category_id": int(truth.classes[i]), "bbox": frame,
                    "area": area[i], "iscrowd": int(truth.crowd[i])} for i, frame in enumerate(frames)]
    given = {"info": {}, "images": [{"id": i, "width": 900, "height": 900} for i in range(pictures)],
             "annotations": annotations, "categories": [{"id": i, "name": str(i)} for i in range(classes)]}
    rows = zip(found.image.tolist(), found.classes.tolist(), edges(found), found.scores.tolist(), strict=True)
    return given, [{"image_id": image, "category_id": kind, "bbox": frame, "score": score}
                   for image, kind, frame, score in rows]


def by_pycocotools(given: dict, results: list) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = given
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def by_faster_coco_eval(given: dict, results: list) -> Any:
    fast = pytest.importorskip("faster_coco_eval")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = fast.COCO(given)
        evaluation = fast.COCOeval_faster(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("oracle", [by_pycocotools, by_faster_coco_eval])
@pytest.mark.parametrize(("seed", "pictures", "classes", "found", "area"), [
    (0, 40, 5, 20, True), (1, 25, 1, 150, True), (2, 20, 30, 60, False), (3, 80, 3, 4, True)])
def test_every_headline_is_the_oracles(oracle: Callable, seed: int, pictures: int, classes: int, found: int,
                                       area: bool) -> None:
    truth, said = drawn(seed, pictures, classes, found=found, area=area)
    ours = measured(truth, said, pictures, classes)
    stats = oracle(*as_coco(truth, said, pictures, classes)).stats[: len(HEADLINES)]
    assert [ours[name] for name in HEADLINES] == pytest.approx(list(stats), abs=1e-9)
    assert 0.1 < ours["mAP50-95"] < 0.9 and ours["mAP-small"] not in (0, 1)


def test_classes_and_curves_are_pycocotools() -> None:
    truth, said = drawn(7, 50, 6, found=15)
    details = measured(truth, said, 50, 6)["details"]
    precision = by_pycocotools(*as_coco(truth, said, 50, 6)).eval["precision"]    # [IoU, recall, class, size, most]
    assert [row["class"] for row in details["per_class"]] == [f"kind {i}" for i in range(5)]    # the sixth has no truth
    for number, row in enumerate(details["per_class"]):
        assert row["AP50-95"] == pytest.approx(precision[:, :, number, 0, 2].mean(), abs=1e-9)
        assert row["AP50"] == pytest.approx(precision[0, :, number, 0, 2].mean(), abs=1e-9)
        assert row["boxes"] == ((truth.classes == number) & ~truth.crowd).sum()
        assert details["curves"]["precision_of"][row["class"]] == \
            pytest.approx(precision[0, :, number, 0, 2].tolist(), abs=1e-4)
    assert details["curves"]["precision"] == pytest.approx(precision[0, :, :5, 0, 2].mean(1).tolist(), abs=1e-4)
    assert details["curves"]["recall"] == pytest.approx(np.linspace(0, 1, 101).tolist())


def test_the_best_threshold_and_the_rates_at_it_are_those_of_counting() -> None:
    truth, said = drawn(8, 20, 3, found=10, crowd=0)
    details = measured(truth, said, 20, 3)["details"]

    def rates(kind: int, threshold: float) -> tuple[float, float, float]:
        """Precision, recall and F1 of a class, one box at a time."""
        right = wrong = 0
        free = {row for row in range(len(truth.classes)) if truth.classes[row] == kind}
        total = len(free)
        for row in said.scores.argsort(descending=True, stable=True).tolist():
            if said.classes[row] != kind or said.scores[row] < threshold:
                continue
            x0, y0, x1, y1 = said.corners[row].tolist()
            best, chosen = 0.5, None
            for other in sorted(free):
                a0, b0, a1, b1 = truth.corners[other].tolist()
                shared = max(0, min(x1, a1) - max(x0, a0)) * max(0, min(y1, b1) - max(y0, b0))
                overlap = shared / ((x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - shared)
                if truth.image[other] == said.image[row] and overlap >= best:
                    best, chosen = overlap, other
            free -= {chosen}
            right, wrong = right + (chosen is not None), wrong + (chosen is None)
        return right / max(1, right + wrong), right / total, 2 * right / (right + wrong + total)

    mean = {threshold: np.mean([rates(kind, threshold)[2] for kind in range(2)])
            for threshold in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, details["best_threshold"])}
    for threshold, f1 in mean.items():
        if threshold != details["best_threshold"]:
            assert details["curves"]["f1"][round(100 * threshold)] == pytest.approx(f1, abs=1e-4)
    assert details["best_f1"] == pytest.approx(mean[details["best_threshold"]]) == max(mean.values())
    for kind, row in enumerate(details["per_class"]):
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(rates(kind, details["best_threshold"]))


def boxes(*rows: tuple[float, ...], image: list[int], scores: bool = False, crowd: list[bool] | None = None) -> Boxes:
    """Each row: x0 y0 x1 y1 class, and the score."""
    table = torch.tensor(rows, dtype=torch.float32).view(len(rows), 6 if scores else 5)
    return Boxes(table[:, :4], table[:, 4].long(), table[:, 5] if scores else None,
                 torch.tensor(image, dtype=torch.int64), None if crowd is None else torch.tensor(crowd))


def test_the_confusion_has_a_background_and_joins_the_largest_overlap_first() -> None:
    truth = boxes((0, 0, 10, 10, 0), (20, 0, 30, 10, 1), (50, 50, 90, 90, 1), (0, 0, 10, 10, 1),
                  image=[0, 0, 0, 2], crowd=[False, False, True, False])
    found = boxes((0, 0, 10, 8, 1, 0.9),       # takes class 0 for 1
                  (0, 0, 10, 6, 0, 0.95),      # surer, but overlaps less: left over
                  (20, 0, 30, 10, 1, 0.24),    # not sure enough: its box is missed
                  (55, 55, 65, 65, 0, 0.9),    # in the crowd: nothing
                  (0, 0, 10, 10, 0, 0.5),      # in another picture, where nothing is
                  (0, 0, 10, 10, 1, 0.25), image=[0, 0, 0, 0, 1, 2], scores=True)
    counts = measured(truth, found, 3, 2)["details"]["confusion"]
    assert counts == [[0, 1, 0],
                      [0, 1, 1],
                      [2, 0, 0]]    # rows the truth, the last the background


def test_the_truth_against_itself_is_one() -> None:
    truth, _ = drawn(3, 30, 4, found=1)
    found = Boxes(truth.corners, truth.classes, torch.ones(len(truth.classes)), truth.image)
    result = measured(truth, found, 30, 4)
    assert all(result[name] == 1 for name in HEADLINES if not name.startswith("AR1") or name == "AR100")
    confusion = np.array(result["details"]["confusion"])
    assert confusion.sum() == np.trace(confusion) == int((~truth.crowd).sum())
    assert result["details"]["best_f1"] == 1


def test_parts_merged_in_order_are_the_whole() -> None:
    truth, said = drawn(5, 30, 4, found=12)
    names = tuple("abcd")
    whole, parts = BoxMetrics(names), [BoxMetrics(names) for _ in range(3)]
    for start in range(0, 30, 5):
        rows = torch.arange(start, start + 5)
        given = {"boxes": said.take(rows)}, {"boxes": truth.take(rows)}
        whole.update(*given, count=5)
        parts[start // 10].update(*given, count=5)
    merged = BoxMetrics(names)
    for part in parts:
        merged.merge(part.state())
    assert merged.result() == whole.result()
    assert {name: column.tolist() for name, column in merged.state().items() if name != "true_area"} == \
        {name: column.tolist() for name, column in whole.state().items() if name != "true_area"}
    assert whole.result()["details"]["count"] == 30
    alone = BoxMetrics(names)
    alone.update({"boxes": said}, {"boxes": truth}, count=30)
    assert alone.result() == whole.result()


def test_what_has_no_truth_is_left_out() -> None:
    truth = boxes((0, 0, 50, 50, 0), image=[1])
    result = measured(truth, boxes((0, 0, 50, 50, 0, 0.4), (0, 0, 9, 9, 2, 0.9), image=[1, 1], scores=True), 2, 3)
    assert "mAP-small" not in result and "mAP-large" not in result and result["mAP-medium"] == 1
    assert result["mAP50-95"] == 1    # the third class was found in vain, and has no truth to be measured by
    assert [row["class"] for row in result["details"]["per_class"]] == ["kind 0"]
    assert result["details"]["confusion"][3][2] == 1


def test_nothing_found_is_nought() -> None:
    truth = boxes((0, 0, 50, 50, 0), image=[0])
    result = measured(truth, boxes(image=[], scores=True), 4, 2)
    assert result["mAP50-95"] == result["AR100"] == result["details"]["best_f1"] == 0
    assert result["details"]["count"] == 4


def test_an_area_that_is_not_known_is_the_boxs_own() -> None:
    truth = boxes((0, 0, 50, 50, 0), (0, 0, 200, 200, 0), image=[0, 1])
    partly = Boxes(truth.corners, truth.classes, None, truth.image, None, torch.tensor([torch.nan, 100]))
    result = measured(partly, boxes((0, 0, 50, 50, 0, 0.4), image=[0], scores=True), 2, 1)
    assert (result["mAP-medium"], result["mAP-small"]) == (1, 0) and "mAP-large" not in result


def test_a_split_without_a_box_is_refused() -> None:
    crowd = boxes((0, 0, 50, 50, 0), image=[0], crowd=[True])
    for truth in (boxes(image=[]), crowd):
        with pytest.raises(DataError, match="nothing to measure: no picture of this split has a box"):
            measured(truth, boxes((0, 0, 50, 50, 0, 0.4), image=[0], scores=True), 1, 1)


@pytest.mark.parametrize("kind", [-1, 2])
def test_a_class_that_the_task_does_not_know_is_named(kind: int) -> None:
    with pytest.raises(DataError, match=f"class {kind} of a box is outside the 2 classes of this task"):
        measured(boxes((0, 0, 50, 50, kind), image=[0]), boxes(image=[], scores=True), 1, 2)


def test_the_interval_is_that_of_measuring_resampled_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, said = drawn(9, 24, 4, found=8)
    rng = np.random.default_rng(0)
    chosen = [torch.from_numpy(rng.integers(0, 24, 24)) for _ in range(70)]
    weights = np.stack([np.bincount(rows, minlength=24) for rows in chosen]).astype(np.float64)
    seen: list[np.ndarray] = []
    monkeypatch.setattr(average_precision, "resampled_rows", lambda rows, columns: iter((weights[:66], weights[66:])))
    monkeypatch.setattr(average_precision, "around", lambda value, draws: seen.append(draws) or [0.0, 1.0])
    measured(truth, said, 24, 4)
    monkeypatch.undo()
    wanted = [measured(truth.take(rows), said.take(rows), 24, 4)["mAP50"] for rows in chosen]
    # Equal scores may come in another order where pictures are drawn in another order.
    assert seen[0].tolist() == pytest.approx(wanted, abs=0.02)
    assert np.abs(seen[0] - wanted).mean() < 0.004 and np.std(wanted) > 0.02


def test_the_interval_holds_the_number_and_narrows_with_more_pictures() -> None:
    few, many = (measured(*drawn(2, pictures, 3, found=5), pictures, 3) for pictures in (15, 240))
    rare = measured(*drawn(2, 60, 80, found=9), 60, 80)    # classes of few boxes
    for result in (few, many, rare):
        low, high = result["intervals"]["mAP50"]
        assert 0 < low < result["mAP50"] < high < 1
    assert np.ptp(few["intervals"]["mAP50"]) > 2 * np.ptp(many["intervals"]["mAP50"])
