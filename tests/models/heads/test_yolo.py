"""The heads with anchors: against the formulas of Darknet's layers, and of any size."""

import pytest
import torch

from lensmith.models.darknet.decode import RegionLayer, YoloLayer, decode_yolo
from lensmith.models.heads.yolo import Anchored, DarknetHead, YoloHead

SHAPES = ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0))
YOLO = {"number": 1, "classes": 4, "anchors": SHAPES, "mask": (0, 1, 2), "all_anchors": SHAPES}
LAYERS = {
    "yolov3": YoloLayer(stride=16, **YOLO),
    "yolov4": YoloLayer(stride=16, scale_x_y=1.2, **YOLO),
    "new_coords": YoloLayer(stride=16, scale_x_y=2.0, new_coords=True, **YOLO),
    "region": RegionLayer(number=1, stride=16, classes=4, anchors=SHAPES, softmax=True),
    "region without softmax": RegionLayer(number=1, stride=16, classes=4, anchors=SHAPES),
}


def as_it_comes(raw: torch.Tensor, layer: YoloLayer | RegionLayer) -> torch.Tensor:
    return raw.sigmoid() if getattr(layer, "new_coords", False) else raw


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_boxes_are_those_of_darknet(layer: YoloLayer | RegionLayer) -> None:
    draw = torch.Generator().manual_seed(0)
    raw = as_it_comes(torch.randn(2, 3 * 9, 4, 6, generator=draw) * 2, layer)
    found: Anchored = DarknetHead([layer])([raw])
    corners, objectness, classes = decode_yolo(raw, layer, (64, 96))
    assert torch.allclose(found.corners(), corners, atol=1e-3)
    assert torch.allclose(found.scores(), objectness[..., None] * classes, atol=1e-5)


def test_several_layers_are_joined_in_their_order() -> None:
    coarse, fine = LAYERS["yolov3"], YoloLayer(stride=8, **YOLO)
    maps = [torch.randn(2, 27, 2, 3), torch.randn(2, 27, 4, 6)]
    found = DarknetHead([coarse, fine])(maps)
    each = [decode_yolo(raw, layer, (32, 48))[0] for raw, layer in zip(maps, (coarse, fine), strict=True)]
    assert torch.allclose(found.corners(), torch.cat(each, 1), atol=1e-3)
    assert found.strides[0, 0] == 16 and found.strides[-1, 0] == 8


def test_the_anchors_travel_with_the_weights() -> None:
    extents = torch.arange(2.0, 20.0).view(9, 2)
    one, other = (YoloHead((8, 8, 8), (8, 16, 32), 3, shapes) for shapes in (extents, extents * 3))
    assert one.extents.shape == (3, 3, 2) and torch.equal(one.extents.flatten(0, 1), extents)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.extents, one.extents)
    assert "extents0" in DarknetHead([LAYERS["yolov3"]]).state_dict()


@pytest.mark.parametrize("size", [(64, 64), (288, 416), (70, 100)])
def test_any_size_of_picture_is_taken(size: tuple[int, int]) -> None:
    head = YoloHead((6, 8, 10), (8, 16, 32), 4, torch.rand(9, 2) * 50 + 5)
    shapes = [(-(-size[0] // s), -(-size[1] // s)) for s in (8, 16, 32)]
    found = head([torch.rand(2, own, *shape) for own, shape in zip((6, 8, 10), shapes, strict=True)])
    assert found.raw.shape == (2, sum(3 * a * b for a, b in shapes), 9)
    assert ((found.cells + found.strides).amax(0) >= torch.tensor(size[::-1])).all()
    assert 0.005 < found.raw[..., 4].sigmoid().mean() < 0.02


def test_fewer_levels_share_the_anchors_out_too() -> None:
    head = YoloHead((16, 32), (16, 32), 2, torch.arange(2.0, 14.0).view(6, 2))
    assert head.extents.shape == (2, 3, 2)


def test_anchors_that_no_picture_speaks_of_are_left_out_and_nothing_else():
    raw = torch.randn(2, 30, 5 + 3, generator=torch.Generator().manual_seed(0))
    one = torch.ones(30)
    output = Anchored(raw, torch.rand(30, 2) * 32, torch.full((30, 2), 8.0), torch.full((30, 2), 20.0), one,
                      torch.zeros(30, dtype=torch.int64))
    sure = output.above(0.7)
    left = (output.raw[..., 4].sigmoid() >= 0.7).any(0)
    assert 0 < left.sum() < 30
    assert torch.equal(sure.corners(), output.corners()[:, left])
    assert torch.equal(sure.scores(), output.scores()[:, left])
    assert not (output.scores()[:, ~left] >= 0.7).any()
