import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lensmith.base.errors import ModelError
from lensmith.models.darknet.cfg_file import parse_cfg, write_cfg
from lensmith.models.darknet.decode import RegionLayer, YoloLayer, decode_yolo
from lensmith.models.darknet.network import Darknet
from lensmith.models.darknet.weights_file import write_darknet_weights

YOLO = YoloLayer(2, 8, 2, ((10.0, 11.0), (5.0, 7.0)), (0, 2), ((10.0, 11.0), (3.0, 4.0), (5.0, 7.0)))
REGION = RegionLayer(2, 8, 2, ((9.0, 10.0), (20.0, 4.0)), softmax=True)
HEAD = {
    "yolo": "[yolo]\nanchors=10,11, 3,4, 5,7\nclasses=2\nnum=3\nmask=0,2\n",
    "wider": "[yolo]\nanchors=10,11, 3,4, 5,7\nclasses=2\nnum=3\nmask=0,2\nscale_x_y=1.1\n",
    "new": "[yolo]\nanchors=10,11, 3,4, 5,7\nclasses=2\nnum=3\nmask=0,2\nscale_x_y=2.0\nnew_coords=1\n",
    "region": "[region]\nanchors=1.08,1.19, 3.42,4.41\nclasses=2\nnum=2\nsoftmax=1\nthresh=.01\n",
}


def config(head: str, *, width: int = 24, height: int = 32):
    activation = "logistic" if head == "new" else "linear"
    return parse_cfg(f"[net]\nwidth={width}\nheight={height}\nchannels=3\n[convolutional]\nfilters=4\nsize=3\n"
                     f"stride=2\npad=1\nactivation=leaky\n[convolutional]\nfilters=14\nsize=1\nactivation={activation}\n"
                     f"{HEAD[head]}", file="small.cfg")


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("layer", [YOLO, replace(YOLO, scale_x_y=1.05), replace(YOLO, scale_x_y=2.0, new_coords=True),
                                   REGION, replace(REGION, softmax=False)])
def test_box_by_box(layer):
    raw = torch.rand(2, 14, 3, 4) * (1 if getattr(layer, "new_coords", False) else 6)
    corners, objectness, classes = decode_yolo(raw, layer, (24, 40))    # cells of 8 by 10 pixels
    assert corners.shape == (2, 24, 4) and objectness.shape == (2, 24) and classes.shape == (2, 24, 2)
    row = 0
    for anchor in range(2):
        for j in range(3):
            for i in range(4):
                values = raw[1, 7 * anchor:7 * anchor + 7, j, i].tolist()
                new = getattr(layer, "new_coords", False)
                scale = getattr(layer, "scale_x_y", 1.0)
                x, y = (((v if new else logistic(v)) * scale - 0.5 * (scale - 1) + cell) * edge
                        for v, cell, edge in zip(values, (i, j), (10, 8), strict=False))
                w, h = ((4 * v * v if new else math.exp(v)) * a
                        for v, a in zip(values[2:4], layer.anchors[anchor], strict=True))
                wanted = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                np.testing.assert_allclose(corners[1, row].numpy(), wanted, rtol=1e-4, atol=1e-3)
                assert float(objectness[1, row]) == pytest.approx(values[4] if new else logistic(values[4]), abs=1e-5)
                given = [v if new else logistic(v) for v in values[5:]]
                if getattr(layer, "softmax", False):
                    given = [math.exp(v) / sum(map(math.exp, values[5:])) for v in values[5:]]
                np.testing.assert_allclose(classes[1, row].numpy(), given, rtol=1e-4)
                row += 1


def test_it_can_be_trained_through_and_never_overflows():
    raw = (torch.randn(1, 14, 3, 4) * 300).requires_grad_()
    corners, objectness, classes = decode_yolo(raw, YOLO, (24, 32))
    assert corners.isfinite().all() and (corners[..., 2:] - corners[..., :2]).prod(-1).isfinite().all()
    (corners.mean() * 1e-9 + objectness.sum() + classes.sum()).backward()
    assert raw.grad is not None and raw.grad.isfinite().all() and raw.grad.abs().sum() > 0


@pytest.mark.parametrize("head", HEAD)
def test_opencv_finds_the_same_boxes(tmp_path: Path, head: str):
    cv2 = pytest.importorskip("cv2")
    torch.manual_seed(0)
    network = Darknet(config(head)).eval()
    pictures = torch.rand(1, 3, 32, 24)
    write_cfg(tmp_path / "a.cfg", network.config)
    write_darknet_weights(tmp_path / "a.weights", network)
    theirs = cv2.dnn.readNetFromDarknet(str(tmp_path / "a.cfg"), str(tmp_path / "a.weights"))
    theirs.setInput(pictures.numpy())
    rows = theirs.forward()    # a row per cell and anchor: centre, width and height of 0..1, objectness, scores
    with torch.no_grad():
        corners, objectness, classes = decode_yolo(network(pictures)[0], network.outputs[0], (32, 24))
    order = torch.arange(2 * 16 * 12).view(2, 16 * 12).t().flatten()    # theirs: the anchors of a cell side by side
    scores = (objectness[0, :, None] * classes[0])[order].numpy()
    sure = rows[:, 4] > 0.2
    assert sure.sum() > 50
    own = corners[0, order].numpy()
    centres = np.concatenate(((own[:, :2] + own[:, 2:]) / 2, own[:, 2:] - own[:, :2]), 1) / [24, 32, 24, 32]
    np.testing.assert_allclose(centres[sure], rows[sure, :4], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(objectness[0, order].numpy()[sure], rows[sure, 4], atol=1e-5)
    shown = rows[:, 5:] > 0    # it zeroes low scores
    assert shown.sum() > 50
    np.testing.assert_allclose(scores[shown], rows[:, 5:][shown], atol=1e-5)


def test_what_a_cfg_says_of_its_layers():
    (yolo,) = Darknet(config("wider")).outputs
    assert yolo == replace(YOLO, stride=2, scale_x_y=1.1) and yolo.channels == 14
    (region,) = Darknet(config("region")).outputs
    assert isinstance(region, RegionLayer) and region.softmax and region.thresh == 0.01
    np.testing.assert_allclose(region.anchors, [(2.16, 2.38), (6.84, 8.82)])    # cells of 2 pixels


@pytest.mark.parametrize(("head", "old", "new", "said"), [
    ("yolo", "mask=0,2", "mask=0,3", "mask = 0,3 names anchor 3, and num = 3: anchors are counted from 0 to 2"),
    ("yolo", "num=3", "num=4", "anchors has 6 numbers where num = 4 needs 8, a width and a height for each"),
    ("yolo", "anchors=10,11, 3,4, 5,7", "anchors=10,11, 3,4, 5,0", "anchors = '0' must be a number from 0.001 to"),
    ("yolo", "mask=0,2", "mask=0,x", "mask = 'x' must be a whole number from 0"),
    ("yolo", "mask=0,2", "mask=0", "needs 1 x (5 + 2) = 7 channels, and layer 1 [convolutional] gives 14: mend its"),
    ("yolo", "classes=2", "classes=3", "with 2 anchors and 3 classes needs 2 x (5 + 3) = 16 channels"),
    ("yolo", "mask=0,2", "mask=0,2\niou_loss=cious", "iou_loss = 'cious' is unknown. Did you mean 'ciou'? Known: mse"),
    ("new", "activation=logistic", "activation=linear", "new_coords = 1 takes values of 0..1, and the layer before"),
    ("region", "num=2", "num=2\ncoords=5", "coords = 5 is not supported; only coords = 4 is"),
    ("region", "num=2", "num=2\ntree=9k.tree", "tree is not supported"),
    ("region", "num=2", "num=2\nbackground=1", "background = 1 is not supported; only background = 0 is"),
    ("region", "anchors=1.08,1.19, 3.42,4.41\n", "", "anchors has 0 numbers where num = 2 needs 4"),
])
def test_refusals(head: str, old: str, new: str, said: str):
    text = config(head).text
    assert old in text
    with pytest.raises(ModelError) as caught:
        Darknet(parse_cfg(text.replace(old, new), file="small.cfg"))
    message = str(caught.value)
    assert said in message and message.startswith("small.cfg line ") and "\n" not in message
    assert f"[{'region' if head == 'region' else 'yolo'}]" in message
