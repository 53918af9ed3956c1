"""Average precision of masks against pycocotools."""

import contextlib
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.instances import InstanceMetrics
from lensmith.values.instance_masks import Masks, pack_bits

HEADLINES = ("mAP50-95", "mAP50", "mAP75", "mAP-small", "mAP-medium", "mAP-large", "AR1", "AR10", "AR100")
SIZE = 150, 171    # no multiple of eight


def ellipses(corners: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """bool [n, *SIZE]: an ellipse in each box, some with a bite taken out."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    x0, y0, x1, y1 = (edge[:, None, None] for edge in corners.T)
    inside = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
    bitten = (rng.random(len(corners)) < 0.3)[:, None, None] & (x > (x0 + x1) / 2) & (y > (y0 + y1) / 2)
    return torch.from_numpy(inside & ~bitten)


def extents(pixels: torch.Tensor) -> torch.Tensor:
    rows, columns = pixels.any(2), pixels.any(1)
    corners = [columns.int().argmax(1), rows.int().argmax(1), columns.shape[1] - columns.flip(1).int().argmax(1),
               rows.shape[1] - rows.flip(1).int().argmax(1)]
    return torch.stack(corners, 1).float()


def drawn(seed: int, *, pictures: int = 24, classes: int = 4, found: int = 9) -> tuple[Masks, Masks]:
    """Truth and predictions of a middling network: pictures without objects, crowds, areas of the annotations' own,
    equal scores, objects found twice, empty masks, of the wrong class and exactly; the last class is nowhere in the
    truth."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(4, pictures) * (rng.random(pictures) < 0.8)
    image = np.repeat(np.arange(pictures), counts)
    low = rng.random((len(image), 2)) * 90
    corners = np.concatenate((low, low + np.exp(rng.normal(3.4, 0.7, low.shape)).clip(4, 140)), 1)
    true = ellipses(corners, rng)
    kinds = rng.integers(0, classes - 1, len(image))
    where = np.sort(rng.integers(0, pictures, found * pictures))
    low = rng.random((len(where), 2)) * 90
    boxes = np.concatenate((low, low + np.exp(rng.normal(3.4, 0.7, low.shape))), 1)
    said = rng.integers(0, classes, len(where))
    close = (rng.random(len(where)) < 0.7) & (counts[where] > 0)
    source = np.searchsorted(image, where) + rng.integers(0, 99, len(where)) % np.maximum(1, counts[where])
    source = source.clip(0, len(image) - 1)
    noise = rng.normal(0, 3, boxes.shape) * (rng.random((len(where), 1)) < 0.8)
    boxes[close] = (corners[source] + noise)[close]
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    said[close] = np.where(rng.random(len(where)) < 0.85, kinds[source], said)[close]
    masks = ellipses(boxes, rng)
    masks[torch.from_numpy(rng.random(len(where)) < 0.05)] = False
    scores = (rng.random(len(where)) * np.where(close, 1, 0.7)).round(2).astype(np.float32)
    tensor = torch.from_numpy
    area = (true.flatten(1).sum(1) * tensor(rng.uniform(0.6, 1, len(image)))).float()
    return (Masks(extents(true), tensor(kinds), None, tensor(image), tensor(rng.random(len(image)) < 0.15), area,
                  bits=pack_bits(true)),
            Masks(extents(masks), tensor(said), tensor(scores), tensor(where), None, masks.flatten(1).sum(1).float(),
                  bits=pack_bits(masks)))


def as_runs(masks: Masks) -> list[dict[str, Any]]:
    pixels = masks.pixels()[:, :, : SIZE[1]].numpy().astype(np.uint8)
    return [coco_mask.encode(np.asfortranarray(one)) for one in pixels]


def by_pycocotools(truth: Masks, found: Masks, pictures: int, classes: int, kind: str) -> COCOeval:
    def frames(masks: Masks) -> list[list[float]]:
        return [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in masks.corners.tolist()]

    annotations = [{"id": i + 1, "image_id": int(truth.image[i]), "category_id": int(truth.classes[i]), "bbox": frame,
                    "segmentation": runs, "area": float(truth.area[i]), "iscrowd": int(truth.crowd[i])}
                   for i, (frame, runs) in enumerate(zip(frames(truth), as_runs(truth), strict=True))]
    given = {"info": {}, "images": [{"id": i, "width": SIZE[1], "height": SIZE[0]} for i in range(pictures)],
             "annotations": annotations, "categories": [{"id": i, "name": str(i)} for i in range(classes)]}
    rows = zip(found.image.tolist(), found.classes.tolist(), frames(found), as_runs(found), found.scores.tolist(),
               strict=True)
    results = [{"image_id": image, "category_id": one, "score": score,
                **({"segmentation": runs} if kind == "segm" else {"bbox": frame})}
               for image, one, frame, runs, score in rows]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = given
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("seed", [0, 1])
def test_the_numbers_are_those_of_pycocotools(seed: int):
    truth, found = drawn(seed)
    metrics = InstanceMetrics(("a", "b", "c", "d"))
    metrics.update({"masks": found}, {"masks": truth}, count=24)
    result = metrics.result()
    for kind, name in (("segm", "mask"), ("bbox", "box")):
        wanted = dict(zip(HEADLINES, by_pycocotools(truth, found, 24, 4, kind).stats, strict=False))
        assert 0.1 < wanted["mAP50"] < 0.9
        for headline, value in wanted.items():
            assert result.get(f"{name}_{headline}", -1.0) == pytest.approx(value, abs=1e-6), (name, headline)


def test_batches_and_processes_change_nothing():
    truth, found = drawn(2)
    whole = InstanceMetrics(("a", "b", "c", "d"))
    whole.update({"masks": found}, {"masks": truth}, count=24)
    shares = []
    for rows in (range(9), range(9, 10), range(10, 24)):
        one = InstanceMetrics(whole.classes)
        taken = torch.tensor(rows)
        one.update({"masks": found.take(taken)}, {"masks": truth.take(taken)}, count=len(rows))
        shares.append(one)
    merged = InstanceMetrics(whole.classes)
    for share in shares:
        merged.merge(share.state())
    assert merged.result() == whole.result()


def test_the_truth_itself_is_found_and_a_set_without_objects_is_an_error():
    truth, _ = drawn(3)
    truth = truth.chosen(~truth.crowd)
    metrics = InstanceMetrics(("a", "b", "c", "d"))
    metrics.update({"masks": replace(truth, scores=torch.ones(len(truth.classes)))}, {"masks": truth}, count=24)
    result = metrics.result()
    assert result["mask_mAP50-95"] == pytest.approx(1) and result["box_mAP50-95"] == pytest.approx(1)
    rows = result["details"]["per_class"]
    assert [row["class"] for row in rows] == ["a", "b", "c"] and rows[0]["box AP50-95"] == pytest.approx(1)
    empty = InstanceMetrics(("a", "b", "c", "d"))
    nothing = truth.chosen(torch.zeros(len(truth.classes), dtype=torch.bool))
    empty.update({"masks": replace(nothing, scores=torch.zeros(0))}, {"masks": nothing}, count=3)
    with pytest.raises(DataError, match="nothing to measure"):
        empty.result()


def test_a_class_that_the_task_does_not_know_is_named():
    truth, found = drawn(4)
    with pytest.raises(DataError, match="class 2 of a box is outside the 2 classes"):
        InstanceMetrics(("a", "b")).update({"masks": found}, {"masks": truth}, count=24)
