"""What is kept of each picture gives the numbers of the metrics themselves, of all pictures and of any of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.tasks.metrics.by_picture import BY_PICTURE
from lensmith.tasks.metrics.by_picture.picture_counts import CLASSES, PICTURES, Column
from lensmith.tasks.metrics.instances import InstanceMetrics
from lensmith.tasks.metrics.labels import LabelMetrics
from lensmith.tasks.metrics.numbers import NumberMetrics
from lensmith.tasks.metrics.pixel_metrics import MaskMetrics
from lensmith.tasks.metrics.tags import TagMetrics
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

NAMES = ("a", "b", "c", "d", "e", "f")
PICTURES_THERE = 40
Drawn = tuple[Value, Value]    # truth and prediction, stacked


def labels(draw: torch.Generator) -> Drawn:
    truth = torch.randint(-1, 6, (PICTURES_THERE,), generator=draw)
    scores = torch.softmax(torch.randn(PICTURES_THERE, 6, generator=draw), 1)
    return Label(truth), Label(scores.argmax(1), scores)


def tags(draw: torch.Generator) -> Drawn:
    truth = (torch.rand(PICTURES_THERE, 6, generator=draw) < 0.4).float()
    truth[torch.rand(PICTURES_THERE, 6, generator=draw) < 0.02] = torch.nan
    scores = torch.rand(PICTURES_THERE, 6, generator=draw)
    return Tags(truth), Tags((scores > 0.5).float(), scores)


def numbers(draw: torch.Generator) -> Drawn:
    truth = torch.randn(PICTURES_THERE, 6, generator=draw)
    answer = truth + 0.3 * torch.randn(PICTURES_THERE, 6, generator=draw)
    return Numbers(torch.where(torch.rand(truth.shape, generator=draw) < 0.05, torch.nan, truth)), Numbers(answer)


def masks(draw: torch.Generator) -> Drawn:
    coarse = torch.randint(0, 6, (PICTURES_THERE, 4, 4), generator=draw)
    truth = coarse.repeat_interleave(5, 1).repeat_interleave(5, 2)
    answer = torch.where(torch.rand(truth.shape, generator=draw) < 0.2, truth.roll(1, 2), truth)
    return Mask(torch.where(torch.rand(truth.shape, generator=draw) < 0.05, IGNORED, truth)), Mask(answer)


def _corners(count: int, draw: torch.Generator) -> torch.Tensor:
    low = torch.randint(0, 30, (count, 2), generator=draw).float()
    return torch.cat((low, low + torch.randint(4, 34, (count, 2), generator=draw)), 1)


def boxes(draw: torch.Generator) -> Drawn:
    count = 3 * PICTURES_THERE
    image = torch.randint(0, PICTURES_THERE, (count,), generator=draw).sort().values
    corners, classes = _corners(count, draw), torch.randint(0, 4, (count,), generator=draw)
    truth = Boxes(corners, classes, image=image, crowd=torch.rand(count, generator=draw) < 0.1,
                  area=(corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))
    near = corners + torch.randint(-2, 3, corners.shape, generator=draw)
    moved = torch.where(torch.rand(count, 1, generator=draw) < 0.2, _corners(count, draw), near)
    return truth, Boxes(moved, classes, torch.rand(count, generator=draw), image)


def instances(draw: torch.Generator) -> Drawn:
    pair = []
    for value in boxes(draw):
        assert isinstance(value, Boxes)
        y, x = torch.arange(72).view(-1, 1), torch.arange(72).view(1, -1)
        x0, y0, x1, y1 = value.corners.round().T[:, :, None, None]
        pixels = (x >= x0) & (x < x1) & (y >= y0) & (y < y1) & ((x + y) % 7 > 0)
        pair.append(Masks(**{name: getattr(value, name) for name in ("corners", "classes", "scores", "image", "crowd",
                                                                     "area")}, bits=pack_bits(pixels)))
    return pair[0], pair[1]


KINDS: dict[str, tuple[Callable[[torch.Generator], Drawn], Callable[[tuple[str, ...]], Any]]] = {
    "label": (labels, LabelMetrics), "tags": (tags, TagMetrics), "numbers": (numbers, NumberMetrics),
    "mask": (masks, MaskMetrics), "boxes": (boxes, BoxMetrics), "masks": (instances, InstanceMetrics)}


def kept_and_values(kind: str) -> tuple[dict[str, np.ndarray], Drawn]:
    draw = torch.Generator().manual_seed(3)
    truth, answer = KINDS[kind][0](draw)
    return BY_PICTURE[kind].keep(truth, answer, PICTURES_THERE, len(NAMES)), (truth, answer)


def test_every_kind_is_kept():
    assert set(BY_PICTURE) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_any_pictures_have_the_metrics_that_they_have_alone(kind: str):
    columns, (truth, answer) = kept_and_values(kind)
    for rows in (torch.arange(PICTURES_THERE), torch.arange(5, PICTURES_THERE, 2)):
        metrics = KINDS[kind][1](NAMES)
        metrics.update({kind: answer.take(rows)}, {kind: truth.take(rows)}, count=len(rows))
        alone = metrics.result()
        weights = np.zeros((2, PICTURES_THERE))
        weights[:, rows.numpy()] = [[1.0], [3.0]]    # three of each have the same rates as one
        measured = {name: BY_PICTURE[kind].measure(name, columns, weights, len(NAMES)) for name in alone}
        for name, value in alone.items():
            if isinstance(value, float):
                assert measured[name][0] == pytest.approx(value, abs=1e-9), name
                # Of precision the scores that are read off are those of the samples, in which each box is there thrice.
                assert measured[name][1] == pytest.approx(value, abs=0.05 if "mAP" in name else 1e-9), name
        assert len([name for name, value in measured.items() if value is not None]) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_measured_as_in_the_table_of_the_classes(kind: str):
    columns, (truth, answer) = kept_and_values(kind)
    metrics = KINDS[kind][1](NAMES)
    metrics.update({kind: answer}, {kind: truth}, count=PICTURES_THERE)
    rows = {row["class"]: row for row in metrics.result()["details"]["per_class"]}
    values = BY_PICTURE[kind].by_class(columns, np.ones((1, PICTURES_THERE)), len(NAMES))[0]
    assert {name: value for name, value in zip(NAMES, values.tolist(), strict=True) if not np.isnan(value)} == \
        pytest.approx({name: row[BY_PICTURE[kind].class_metric] for name, row in rows.items()}, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_of_the_best_quality_and_an_answer_is_said(kind: str):
    columns, (truth, _) = kept_and_values(kind)
    counts = BY_PICTURE[kind]
    quality = counts.quality(columns, PICTURES_THERE, len(NAMES))
    assert quality.shape == (PICTURES_THERE,) and np.nanmin(quality) < np.nanmax(quality)
    if kind in ("boxes", "masks"):    # the truth has no scores
        return
    exact = counts.keep(truth, truth, PICTURES_THERE, len(NAMES)) if kind not in ("label", "mask") else columns | {
        "label": {"answer": columns.get("truth")}, "mask": {"hits": columns.get("support")}}[kind]
    best = counts.quality(exact, PICTURES_THERE, len(NAMES))
    assert (np.nan_to_num(best, nan=1.0) == (0 if kind == "numbers" else 1)).mean() > 0.8
    assert all(counts.say(columns, 0, NAMES))


def test_what_is_said_of_a_picture():
    columns, _ = kept_and_values("label")
    columns |= {"truth": np.array([0, -1], np.int32), "answer": np.array([1, 2], np.int32),
                "probability": np.array([0.93, 0.5], np.float32)}
    assert BY_PICTURE["label"].say(columns, 0, NAMES) == ("a", "b (93%)")
    assert BY_PICTURE["label"].say(columns, 1, NAMES)[0] == "not known" and UNKNOWN == -1
    columns, _ = kept_and_values("boxes")
    texts = BY_PICTURE["boxes"].say(columns, 0, NAMES)
    assert texts[0].endswith(" there") and "found" in texts[1] and "missed" in texts[1]


def test_what_may_not_be_in_a_column_is_said():
    column = Column("int32", (PICTURES,), below=CLASSES, least=-1)
    lengths = {PICTURES: 3, CLASSES: 2}
    assert column.problem(np.array([-1, 0, 1], np.int32), lengths) == ""
    for values, text in ((np.zeros(3), "is float64 with 1 axes, and must be int32 with 1"),
                         (np.zeros(2, np.int32), "has the shape [2], and 3 of pictures are expected"),
                         (np.full(3, 2, np.int32), "has numbers beyond the 2 classes"),
                         (np.full(3, -2, np.int32), "has numbers beyond the 2 classes")):
        assert column.problem(values, dict(lengths)) == text
