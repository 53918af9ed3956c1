"""COCO's average precision: Lensmith, faster-coco-eval and pycocotools on the same drawn boxes, in turn.

    python benchmarks/average_precision.py [pictures] [rounds]

For each number of classes, `pictures` (5,000) with 7 objects each in the mean, a tenth of them empty, and about 90
boxes found; crowds and the annotations' own areas among them. Lensmith's time holds curves, confusion matrix and
its interval; those of the others leave out the building of their index. Prints the seconds, the ratios and the largest
difference of the nine numbers, and writes results/average_precision.json.
"""

import contextlib
import io
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from results import Row, this_command, write

from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.values.boxes import Boxes

NAMES = ("mAP50-95", "mAP50", "mAP75", "mAP-small", "mAP-medium", "mAP-large", "AR1", "AR10", "AR100")
CLASSES = (1, 80)
OBJECTS, FOUND = 7, 100


def drawn(pictures: int, classes: int, seed: int = 0) -> tuple[Boxes, Boxes]:
    """(truth, found): half of what is found lies about an object, most of it with its class."""
    draw = np.random.default_rng(seed)
    counts = draw.poisson(OBJECTS, pictures) * (draw.random(pictures) > 0.1)
    image = np.repeat(np.arange(pictures), counts)
    place, extent = draw.random((len(image), 2)) * 500, np.exp(draw.normal(3.8, 1, (len(image), 2))).clip(2, 400)
    corners, kinds = np.concatenate((place, place + extent), 1), draw.integers(0, classes, len(image))
    area = extent.prod(1) * draw.uniform(0.4, 1, len(image))
    truth = Boxes(_floats(corners), torch.from_numpy(kinds), None, torch.from_numpy(image),
                  torch.from_numpy(draw.random(len(image)) < 0.03), _floats(area))

    there = np.sort(draw.choice(pictures * FOUND, int(0.9 * pictures * FOUND), replace=False) // FOUND)
    number = len(there)
    first = np.searchsorted(image, there)
    source = (first + np.floor(draw.random(number) * np.maximum(counts[there], 1)).astype(int)).clip(0, len(image) - 1)
    near = (draw.random(number) < 0.5) & (counts[there] > 0)
    far = draw.random((number, 2)) * 500
    own = np.concatenate((far, far + np.exp(draw.normal(3.8, 1, (number, 2)))), 1)
    own[near] = (corners[source] + draw.normal(0, 0.08, (number, 4)) * np.tile(extent[source], 2))[near]
    own[:, 2:] = np.maximum(own[:, 2:], own[:, :2] + 1)
    right = near & (draw.random(number) < 0.85)
    said = np.where(right, kinds[source], draw.integers(0, classes, number))
    score = np.round(draw.random(number) * np.where(right, 1, 0.6), 3)
    return truth, Boxes(_floats(own), torch.from_numpy(said), _floats(score), torch.from_numpy(there))


def _floats(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def as_coco(truth: Boxes, found: Boxes, pictures: int, classes: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same in the form that the peers take."""
    assert truth.image is not None and truth.crowd is not None and truth.area is not None
    assert found.image is not None and found.scores is not None
    own, its = (np.concatenate((one[:, :2], one[:, 2:] - one[:, :2]), 1).tolist()
                for one in (truth.corners.double().numpy(), found.corners.double().numpy()))
    rows = zip(truth.image.tolist(), truth.classes.tolist(), own, truth.area.tolist(), truth.crowd.tolist(),
               strict=True)
    annotations = [{"id": at, "image_id": image, "category_id": kind, "bbox": box, "area": area, "iscrowd": int(crowd)}
                   for at, (image, kind, box, area, crowd) in enumerate(rows, 1)]
    results = [{"image_id": image, "category_id": kind, "bbox": box, "score": score} for image, kind, box, score in
               zip(found.image.tolist(), found.classes.tolist(), its, found.scores.tolist(), strict=True)]
    whole = {"info": {}, "images": [{"id": one, "width": 1000, "height": 1000} for one in range(pictures)],
             "categories": [{"id": one, "name": str(one)} for one in range(classes)], "annotations": annotations}
    return whole, results


def peer(name: str, truth: dict[str, Any], results: list[dict[str, Any]]) -> tuple[float, np.ndarray]:
    """Seconds and the nine numbers of a peer."""
    with contextlib.redirect_stdout(io.StringIO()):
        if name == "pycocotools":
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval

            whole = COCO()
            whole.dataset = truth
            whole.createIndex()
        else:
            from faster_coco_eval import COCO
            from faster_coco_eval import COCOeval_faster as COCOeval

            whole = COCO(truth)
        said = whole.loadRes(results)
        began = time.perf_counter()
        measure = COCOeval(whole, said, "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
        return time.perf_counter() - began, np.array(measure.stats[:9])


def ours(truth: Boxes, found: Boxes, pictures: int, classes: int) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    metrics = BoxMetrics(tuple(map(str, range(classes))))
    metrics.update({"boxes": found}, {"boxes": truth}, count=pictures)
    result = metrics.result()
    return time.perf_counter() - began, np.array([result.get(name, -1) for name in NAMES])


def main(pictures: int, rounds: int) -> None:
    rows: list[Row] = []
    for classes in CLASSES:
        truth, found = drawn(pictures, classes)
        whole, results = as_coco(truth, found, pictures, classes)
        times: dict[str, list[float]] = {name: [] for name in ("Lensmith", "faster-coco-eval", "pycocotools")}
        numbers: dict[str, np.ndarray] = {}
        for number in range(rounds):
            for name, taken in times.items():
                if name == "pycocotools" and number:    # ten times as long, which one round shows
                    continue
                seconds, numbers[name] = ours(truth, found, pictures, classes) if name == "Lensmith" else \
                    peer(name, whole, results)
                taken.append(seconds)
        for name, taken in times.items():
            ratio = statistics.median(one / own for one, own in zip(taken, times["Lensmith"], strict=False))
            rows.append({"classes": classes, "program": name, "s": round(statistics.median(taken), 2),
                         "Lensmith is so many times as fast": round(ratio, 2),
                         "largest difference": float(f"{abs(numbers[name] - numbers['Lensmith']).max():.1g}")})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    write("average_precision", this_command(), rows,
          [f"{pictures:,} drawn pictures, {rounds} rounds, of pycocotools one."])


if __name__ == "__main__":
    main(*(int(one) for one in (*sys.argv[1:3], *("5000", "3")[len(sys.argv) - 1:])))
