"""Gaussian_yolo layers are used as Darknet uses them: against a plain form of its loops, and by the command."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import ModelError
from lensmith.models.darknet.cfg_file import parse_cfg, with_classes
from lensmith.models.darknet.decode import YoloLayer, decode_yolo
from lensmith.models.darknet.network import Darknet
from lensmith.models.darknet.weights_file import write_darknet_weights
from lensmith.models.heads.yolo import DarknetHead

CLASSES, ANCHORS, MASK = 3, ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0)), (0, 2)
CFG = """[net]
width=32
height=64
channels=3
max_epochs=10
[convolutional]
batch_normalize=1
filters=8
size=3
stride=8
pad=1
activation=leaky
[convolutional]
filters=24
size=1
activation=linear
[Gaussian_yolo]
mask=0,2
anchors=10,14, 23,27, 37,58
classes=3
num=3
scale_x_y=1.2
uc_normalizer=0.1
iou_loss=ciou
nms_kind=cornersnms
yolo_point=left_top
"""


def boxes_of_darknet(raw: np.ndarray, *, scale: float, point: str, picture: tuple[int, int]) -> list[tuple]:
    """Box by box what Darknet's gaussian_yolo layer makes of a map [channels, rows, columns]: its corners in pixels and
    its scores. It keeps its numbers in one array, by anchor, then number, then cell."""
    _, rows, columns = raw.shape
    flat, area = raw.astype(np.float64).reshape(-1).tolist(), rows * columns

    def entry(anchor: int, number: int, cell: int) -> float:
        return flat[anchor * area * (8 + CLASSES + 1) + number * area + cell]

    def logistic(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    boxes = []
    for anchor, of_all in enumerate(MASK):
        for cell in range(area):
            row, column = divmod(cell, columns)
            x, y = (logistic(entry(anchor, number, cell)) * scale - 0.5 * (scale - 1) for number in (0, 2))
            width = math.exp(entry(anchor, 4, cell)) * ANCHORS[of_all][0] / picture[1]
            height = math.exp(entry(anchor, 6, cell)) * ANCHORS[of_all][1] / picture[0]
            x, y = (column + x) / columns, (row + y) / rows
            if point == "left_top":
                x, y = x + width / 2, y + height / 2
            elif point == "right_bottom":
                x, y = x - width / 2, y - height / 2
            uncertainty = sum(logistic(entry(anchor, number, cell)) for number in (1, 3, 5, 7)) / 4
            scores = [logistic(entry(anchor, 8, cell)) * logistic(entry(anchor, 9 + label, cell)) * (1 - uncertainty)
                      for label in range(CLASSES)]
            corners = [(x - width / 2) * picture[1], (y - height / 2) * picture[0],
                       (x + width / 2) * picture[1], (y + height / 2) * picture[0]]
            boxes.append((corners, scores))
    return boxes


@pytest.mark.parametrize("scale", [1.0, 1.2])
@pytest.mark.parametrize("point", ["center", "left_top", "right_bottom"])
def test_box_by_box(point: str, scale: float):
    layer = YoloLayer(1, 8, CLASSES, tuple(ANCHORS[at] for at in MASK), MASK, ANCHORS, scale_x_y=scale, uncertain=True,
                      point=point)
    assert layer.channels == 2 * (9 + CLASSES)
    raw = torch.randn(2, layer.channels, 5, 4, generator=torch.Generator().manual_seed(0)) * 1.5
    wanted = [boxes_of_darknet(picture.numpy(), scale=scale, point=point, picture=(40, 32)) for picture in raw]
    corners = torch.tensor([[box for box, _ in boxes] for boxes in wanted])
    scores = torch.tensor([[of_classes for _, of_classes in boxes] for boxes in wanted])
    decoded, objectness, classes = decode_yolo(raw, layer, (40, 32))
    torch.testing.assert_close(decoded, corners, rtol=1e-4, atol=5e-3)
    torch.testing.assert_close(objectness[..., None] * classes, scores, rtol=1e-4, atol=1e-6)
    found = DarknetHead([layer])([raw], (40, 32))
    torch.testing.assert_close(found.corners(), corners, rtol=1e-4, atol=5e-3)
    torch.testing.assert_close(found.scores(), scores, rtol=1e-4, atol=1e-6)
    sure = (scores.amax(2) >= 0.2).any(0)
    assert 0 < sure.sum() <= found.above(0.2).raw.shape[1] < len(sure)


def test_extreme_numbers_stay_numbers():
    layer = YoloLayer(1, 8, CLASSES, tuple(ANCHORS[at] for at in MASK), MASK, ANCHORS, uncertain=True)
    raw = torch.randn(1, layer.channels, 3, 3, generator=torch.Generator().manual_seed(0)) * 300
    found = DarknetHead([layer])([raw])
    assert found.corners().isfinite().all() and found.scores().isfinite().all()


def test_what_a_cfg_says_and_how_many_numbers_its_map_has():
    config = parse_cfg(CFG, file="some.cfg")
    assert config.passed_over == ("line 5: 'max_epochs=10'",)
    (layer,) = Darknet(config).outputs
    assert isinstance(layer, YoloLayer) and layer.uncertain and layer.point == "left_top" and layer.scale_x_y == 1.2
    (other,) = Darknet(with_classes(config, 7)).outputs
    assert other.classes == 7 and other.channels == 2 * (9 + 7)
    for old, new, said in (("filters=24", "filters=16", "2 anchors and 3 classes needs 2 x (9 + 3) = 24 channels"),
                           ("left_top", "lefttop", "yolo_point = 'lefttop' is unknown. Did you mean 'left_top'? Kno")):
        with pytest.raises(ModelError) as caught:
            Darknet(parse_cfg(CFG.replace(old, new), file="some.cfg"))
        assert said in str(caught.value) and "[gaussian_yolo]" in str(caught.value)


def test_it_is_inspected_converted_and_predicts_and_is_not_trained(tmp_path: Path, command):
    torch.manual_seed(0)
    (tmp_path / "g.cfg").write_text(CFG)
    write_darknet_weights(tmp_path / "g.weights", Darknet(parse_cfg(CFG, file="g.cfg")))
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ended = command("inspect", tmp_path / "g.cfg")
    assert ended.code == 0 and "multiply-adds" in ended.out
    ended = command("convert", tmp_path / "g.cfg", tmp_path / "g.weights", tmp_path / "run")
    assert ended.code == 0, ended.err
    ended = command("predict", tmp_path / "run", tmp_path / "a.png", "--threshold", "0.05")
    assert ended.code == 0, ended.err
    ended = command("train", "shapes", "data.count=60", "--task", "yolov3", "--backbone", "darknet",
                    f"backbone.cfg={tmp_path / 'g.cfg'}", "--plan", "exact", "--epochs", 1, "--runs", tmp_path / "runs")
    assert ended.code == 4 and ended.err.count("\n") <= 3, ended.err
    assert "networks with [Gaussian_yolo] layers can be used and measured, not trained" in ended.err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()
