import copy
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.backbone import PooledLinear
from lensmith.models.darknet.cfg_file import Config, parse_cfg, read_cfg, with_classes, write_cfg
from lensmith.models.darknet.decode import decode_yolo
from lensmith.models.darknet.network import Darknet, darknet53, darknet53_text, darknet_backbone
from lensmith.models.darknet.plain_calls import Straight
from lensmith.models.darknet.weights_file import read_darknet_weights, write_darknet_weights
from lensmith.models.heads.yolo import DarknetHead
from lensmith.models.rewrites.exact import fold_batch_norm
from lensmith.models.weights import fit_into
from lensmith.values.box_arithmetic import batched_nms, pairwise_iou


@pytest.fixture
def given() -> Callable[[str], Path]:
    """A file of the folder `darknet` in LENSMITH_DATA."""
    def find(name: str) -> Path:
        path = Path(os.environ.get("LENSMITH_DATA", "")) / "darknet" / name
        if not path.is_file():
            pytest.skip(f"darknet/{name} is not in LENSMITH_DATA")
        return path
    return find


def conv(filters: int = 8, size: int = 3, *, stride: int = 1, activation: str = "leaky", norm: int = 1,
         more: str = "") -> str:
    return (f"[convolutional]\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\nactivation={activation}\n"
            f"batch_normalize={norm}\n{more}\n")


def config(*layers: str, width: int = 30, height: int = 42) -> Config:
    return parse_cfg(f"[net]\nwidth={width}\nheight={height}\nchannels=3\n" + "\n".join(layers), file="small.cfg")


def drawn(network: Darknet) -> Darknet:
    """With a batch norm that does something, as trained ones do."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
        elif isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.normal_(layer.bias, std=0.1)
    return network.eval()


def in_opencv(network: Darknet, folder: Path):
    cv2 = pytest.importorskip("cv2")
    write_cfg(folder / "a.cfg", network.config)
    write_darknet_weights(folder / "a.weights", network)
    return cv2.dnn.readNetFromDarknet(str(folder / "a.cfg"), str(folder / "a.weights"))


def assert_near(found: torch.Tensor, wanted: np.ndarray) -> None:
    """To 1e-4 of the largest value."""
    assert np.abs(found.numpy().reshape(wanted.shape) - wanted).max() <= 1e-4 * np.abs(wanted).max()


SMALL = {
    "activations": [conv(activation=name) for name in ("relu", "leaky", "logistic", "swish", "mish", "tanh", "linear")],
    "groups": [conv(), conv(more="groups=4"), conv(norm=0, size=1)],
    "padding": [conv(), "[convolutional]\nfilters=5\nsize=3\nstride=2\npadding=2\nactivation=relu"],
    "maxpool 2 / 2": [conv(), "[maxpool]\nsize=2\nstride=2", conv()],
    "maxpool 2 / 1": [conv(), "[maxpool]\nsize=2\nstride=1", conv()],
    "maxpool 3 / 2": [conv(), "[maxpool]\nsize=3\nstride=2", conv()],
    "maxpool 5 / 1": [conv(), "[maxpool]\nsize=5\nstride=1", conv()],
    "maxpool 3 / 3 without padding": [conv(), "[maxpool]\nsize=3\nstride=3\npadding=0", conv()],
    "maxpool 4 / 3": [conv(), "[maxpool]\nsize=4\nstride=3", conv()],
    "avgpool": [conv(), "[avgpool]", conv(size=1)],
    "route": [conv(), conv(stride=2), conv(), "[route]\nlayers = -1, 1", conv()],
    "route of groups": [conv(), conv(), "[route]\nlayers=-1\ngroups=2\ngroup_id=1", conv()],
    "shortcut": [conv(), conv(), "[shortcut]\nfrom=-2\nactivation=leaky", conv()],
    "shortcut from more channels": [conv(12), conv(8), "[shortcut]\nfrom=-2\nactivation=linear", conv()],
    "shortcut from fewer channels": [conv(6), conv(8), "[shortcut]\nfrom=0\nactivation=linear", conv()],
    "upsample": [conv(stride=2), "[upsample]\nstride=2", conv()],
    "reorg": [conv(), "[reorg]\nstride=2", conv()],
    "dropout": [conv(), "[dropout]\nprobability=.5", conv()],
    "sam": [conv(), conv(activation="logistic"), "[sam]\nfrom=-2", conv()],
    "scale_channels": [conv(), "[avgpool]", conv(4, 1, activation="swish"), conv(size=1, norm=0, activation="logistic"),
                       "[scale_channels]\nfrom=0", conv()],
    "connected": [conv(stride=2), "[connected]\noutput=6\nactivation=relu"],
    "crop": ["[crop]\ncrop_height=20\ncrop_width=16\nnoadjust=1", conv()],
    "nothing": [conv(norm=0), "[cost]\ntype=sse"],
}


@pytest.mark.parametrize("name", SMALL)
def test_opencv_computes_the_same(tmp_path: Path, name: str):
    network = drawn(Darknet(config(*SMALL[name])))
    pictures = torch.rand(1 if name == "scale_channels" else 3, 3, 42, 30)
    theirs = in_opencv(network, tmp_path)
    theirs.setInput(pictures.numpy())
    with torch.no_grad():
        assert_near(network(pictures)[0], theirs.forward())


# As the published ones go: layers, kinds and options in their order, small; written from memory of the papers.
PUBLISHED = {
    "vgg-16": [conv(norm=0, activation="relu"), "[maxpool]\nsize=2\nstride=2",
               "[connected]\noutput=12\nactivation=relu", "[dropout]\nprobability=.5",
               "[connected]\noutput=5\nactivation=linear", "[softmax]\ngroups=1", "[cost]\ntype=sse"],
    "darknet19": [conv(), "[maxpool]\nsize=2\nstride=2", conv(size=1), conv(5, 1, norm=0, activation="linear"),
                  "[avgpool]", "[softmax]\ngroups=1", "[cost]\ntype=sse"],
    "resnet50": [conv(stride=2), "[maxpool]\nsize=2\nstride=2", conv(4, 1), conv(4), conv(16, 1, activation="linear"),
                 "[shortcut]\nfrom=-4\nactivation=leaky", "[avgpool]", conv(5, 1, norm=0, activation="linear"),
                 "[softmax]\ngroups=1"],
    "densenet201": [conv(), conv(4), "[route]\nlayers=-1,-2", conv(4), "[route]\nlayers=-1,-2", "[maxpool]\nsize=2\n"
                    "stride=2", "[avgpool]", conv(5, 1, norm=0, activation="linear"), "[softmax]\ngroups=1"],
    "resnext": [conv(), conv(8, 1), conv(8, more="groups=4"), "[shortcut]\nfrom=-3\nactivation=relu", "[avgpool]",
                "[connected]\noutput=5\nactivation=linear", "[softmax]"],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_classifiers_give_their_scores_before_the_softmax(tmp_path: Path, name: str):
    network = drawn(Darknet(config(*PUBLISHED[name], width=32, height=32)))
    pictures = torch.rand(2, 3, 32, 32)
    (scores,) = network(pictures)
    assert network.scores and network.outputs == () and scores.shape == (2, 5) and network.channels == (5,)
    theirs = in_opencv(network, tmp_path)
    theirs.setInput(pictures.numpy())
    assert_near(scores.detach().softmax(1), theirs.forward())
    assert torch.equal(network.classifier(5)([scores]), scores)
    with pytest.raises(ModelError, match="small.cfg tells 5 classes apart, and 9 are asked for: set the width of its"):
        network.classifier(9)
    wider = Darknet(with_classes(network.config, 9))
    assert wider(pictures)[0].shape == (2, 9)


V2 = [conv(stride=4), conv(), conv(size=1), "[route]\nlayers=-2", "[reorg]\nstride=1", "[route]\nlayers=-1,-3",
      conv(14, 1, norm=0, activation="linear"),
      "[region]\nanchors=1.3,1.7, 3.2,4.0\nbias_match=1\nclasses=2\ncoords=4\nnum=2\nsoftmax=1\njitter=.3\nrescore=1\n"
      "object_scale=5\nnoobject_scale=1\nclass_scale=1\ncoord_scale=1\nabsolute=1\nthresh=.6\nrandom=1"]
V4 = [conv(stride=2, activation="mish"), conv(size=1, activation="mish"), "[route]\nlayers=-2",
      "[maxpool]\nstride=1\nsize=5", "[route]\nlayers=-2", "[maxpool]\nstride=1\nsize=9",
      "[route]\nlayers=-1,-3,-5", conv(14, 1, norm=0, activation="linear"),
      "[yolo]\nmask = 0,1\nanchors = 12,16, 19,36, 40,28\nclasses=2\nnum=3\njitter=.3\nignore_thresh=.7\n"
      "truth_thresh=1\nscale_x_y=1.2\niou_thresh=0.213\ncls_normalizer=1.0\niou_normalizer=0.07\niou_loss=ciou\nnms_kind=greedynms\n"
      "beta_nms=0.6\nmax_delta=5\nresize=1.5\nrandom=1",
      "[route]\nlayers=-3", conv(stride=2), conv(7, 1, norm=0, activation="linear"),
      "[yolo]\nmask=2\nanchors = 12,16, 19,36, 40,28\nclasses=2\nnum=3"]


def test_detectors_give_the_maps_before_each_of_their_layers(tmp_path: Path):
    for layers, strides, channels in ((V2, (4,), (14,)), (V4, (2, 4), (14, 7))):
        network = drawn(Darknet(config(*layers, width=32, height=48)))
        assert (network.strides, network.channels) == (strides, channels)
        assert [output.stride for output in network.outputs] == list(strides)
        assert [network.config.layers[output.number].kind for output in network.outputs] == \
            ["region" if layers is V2 else "yolo"] * len(strides)
        pictures = torch.rand(1, 3, 48, 32)
        theirs = in_opencv(network, tmp_path)
        theirs.setInput(pictures.numpy())
        wanted = theirs.forward([f"conv_{tap}" for tap in network.taps])
        with torch.no_grad():
            for map_, other, stride in zip(network(pictures), wanted, strides, strict=True):
                assert map_.shape[2:] == (48 // stride, 32 // stride)
                assert_near(map_, other)
            larger = network(torch.rand(2, 3, 64, 80))    # any size that the strides divide
        assert [map_.shape[2:] for map_ in larger] == [(64 // stride, 80 // stride) for stride in strides]


@pytest.mark.parametrize(("name", "edge"), [
    ("yolov3-tiny", 96), ("darknet53", 64), ("yolov3-spp", 64), ("yolov3", 64)])
def test_published_cfgs_compute_what_opencv_computes(tmp_path: Path, given, name: str, edge: int):
    network = drawn(Darknet(read_cfg(given(f"{name}.cfg")), size=(edge, edge)))
    pictures = torch.rand(1, 3, edge, edge)
    theirs = in_opencv(network, tmp_path)
    assert (tmp_path / "a.cfg").read_bytes() == given(f"{name}.cfg").read_bytes()
    theirs.setInput(pictures.numpy())
    wanted = theirs.forward([f"conv_{tap}" for tap in network.taps])
    with torch.no_grad():
        found = network(pictures)
    assert len(found) == len(wanted) == {"yolov3-tiny": 2, "darknet53": 1}.get(name, 3)
    for map_, other in zip(found, wanted, strict=True):
        assert_near(map_, other)


def test_yolo_fastest_finds_the_boxes_that_opencv_finds(given):
    cv2 = pytest.importorskip("cv2")
    cfg, weights = given("yolo-fastest-1.1.cfg"), given("yolo-fastest-1.1.weights")
    network = Darknet(read_cfg(cfg)).eval()
    read_darknet_weights(weights, network)
    assert sum(layer.weights for layer in network.plan) == 346_062
    theirs = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    found = 0
    for name in ("dog", "eagle", "horses", "kite", "person"):
        picture = cv2.imread(str(given(f"{name}.jpg")))
        blob = cv2.dnn.blobFromImage(picture, 1 / 255, (320, 320), swapRB=True)
        theirs.setInput(blob)
        *wanted, first, second = theirs.forward([f"conv_{tap}" for tap in network.taps] + ["yolo_121", "yolo_130"])
        with torch.no_grad():
            maps = network(torch.from_numpy(blob))
        for map_, other in zip(maps, wanted, strict=True):
            assert_near(map_, other)
        parts = [decode_yolo(map_, layer, (320, 320)) for map_, layer in zip(maps, network.outputs, strict=True)]
        corners = torch.cat([part[0][0] for part in parts])
        scores, classes = torch.cat([part[1][0, :, None] * part[2][0] for part in parts]).max(1)
        sure = scores > 0.25
        corners, scores, classes = corners[sure], scores[sure], classes[sure]
        kept = batched_nms(corners, scores, classes, 0.45)
        ours = [(int(classes[i]), *corners[i].tolist(), float(scores[i])) for i in kept]
        others = _opencv_boxes(cv2, np.concatenate((first, second)))
        found += len(others)
        np.testing.assert_allclose(sorted(ours), sorted(others), atol=0.02)    # of 320 pixels
    assert found >= 15


def _opencv_boxes(cv2, rows: np.ndarray) -> list[tuple[float, ...]]:
    boxes = []
    best = rows[:, 5:].argmax(1)
    for index in np.unique(best):
        own = rows[best == index]
        sizes = own[:, :4] * 320
        left_top = np.concatenate((sizes[:, :2] - sizes[:, 2:] / 2, sizes[:, 2:]), 1)
        for i in cv2.dnn.NMSBoxes(left_top.tolist(), own[:, 5 + index].tolist(), 0.25, 0.45):
            x, y, w, h = left_top[i].tolist()
            boxes.append((int(index), x, y, x + w, y + h, float(own[i, 5 + index])))
    return boxes


def test_dog_bicycle_and_car_are_where_they_are(given):
    """Against what a person sees in the picture, not against another reader of the same file."""
    cv2 = pytest.importorskip("cv2")
    network = Darknet(read_cfg(given("yolo-fastest-1.1.cfg"))).eval()
    read_darknet_weights(given("yolo-fastest-1.1.weights"), network)
    names = given("coco.names").read_text().split("\n")
    picture = cv2.imread(str(given("dog.jpg")))
    blob = cv2.dnn.blobFromImage(picture, 1 / 255, (320, 320), swapRB=True)
    with torch.no_grad():
        parts = [decode_yolo(map_, layer, (320, 320))
                 for map_, layer in zip(network(torch.from_numpy(blob)), network.outputs, strict=True)]
    scores = torch.cat([objectness[0, :, None] * classes[0] for _, objectness, classes in parts])
    corners = torch.cat([part[0][0] for part in parts])
    corners = corners * torch.tensor([picture.shape[1], picture.shape[0]] * 2) / 320
    for name, seen in (("dog", (124.0, 223.0, 320.0, 543.0)), ("bicycle", (120.0, 125.0, 570.0, 425.0)),
                       ("car", (466.0, 76.0, 692.0, 170.0))):
        best = scores[:, names.index(name)].argmax()
        assert scores[best, names.index(name)] > 0.5
        assert pairwise_iou(corners[best][None], torch.tensor([seen]))[0, 0] > 0.5    # a small network: no closer


def test_a_smaller_list_of_classes_keeps_all_other_weights():
    torch.manual_seed(3)
    network = Darknet(config(*V4, width=32, height=32))
    other = Darknet(with_classes(network.config, 7))
    assert other.channels == (24, 12) and [output.classes for output in other.outputs] == [7, 7]
    fitted = fit_into(other, network.state_dict(), what="the first")
    assert sorted(fitted.reshaped) == ["layers.11.conv.bias", "layers.11.conv.weight", "layers.7.conv.bias",
                                       "layers.7.conv.weight"]
    assert not fitted.missing and not fitted.unknown
    assert torch.equal(other.layers[0].conv.weight, network.layers[0].conv.weight)
    pictures = torch.rand(2, 3, 32, 32)
    sum(map_.square().mean() for map_ in other(pictures)).backward()
    assert all(parameter.grad is not None for parameter in other.parameters())


def test_it_can_be_copied_pickled_folded_and_given_grey_pictures():
    network = drawn(Darknet(config(*V4, width=32, height=32)))
    pictures = torch.rand(1, 3, 32, 32)
    wanted = network(pictures)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert all(torch.equal(a, b) for a, b in zip(twin(pictures), wanted, strict=True))
    folded = fold_batch_norm(network, pictures)
    assert folded is not None and not [one for one in folded.modules() if isinstance(one, nn.BatchNorm2d)]
    for map_, other in zip(folded(pictures), wanted, strict=True):
        assert_near(map_, other.detach().numpy())
    straight = Straight(folded, pack=True)
    for map_, other in zip(straight(pictures), wanted, strict=True):
        assert_near(map_, other.detach().numpy())
    grey = Darknet(config(*V4), inputs=1, size=(32, 64))
    assert grey.size == (32, 64) and grey(torch.rand(1, 1, 32, 64))[0].shape == (1, 14, 16, 32)


def test_darknet_53_is_the_published_one(tmp_path: Path, given):
    backbone = darknet53(inputs=3, size=(64, 96))
    assert backbone.strides == (2, 4, 8, 16, 32) and backbone.channels == (64, 128, 256, 512, 1024)
    maps = backbone.eval()(torch.rand(1, 3, 64, 96))
    assert [map_.shape[1:] for map_ in maps] == [(c, 64 // s, 96 // s)
                                                 for c, s in zip(backbone.channels, backbone.strides, strict=True)]
    assert isinstance(backbone.classifier(4), PooledLinear)
    # The paper's table counts 52 convolutions and a dense layer, the file has it as a convolution.
    published = [(layer.section.kind, layer.shape, layer.weights)
                 for layer in Darknet(read_cfg(given("darknet53.cfg"))).plan]
    ours = [(layer.section.kind, layer.shape, layer.weights)
            for layer in Darknet(parse_cfg(darknet53_text(), file="darknet53")).plan]
    assert ours == published and sum(kind == "convolutional" for kind, _, _ in ours) == 53


def test_a_backbone_is_what_comes_before_the_tail(tmp_path: Path, given):
    same = {"inputs": 3, "size": (64, 64)}
    whole = darknet_backbone(str(given("darknet53.cfg")), **same)
    assert whole.strides == (2, 4, 8, 16, 32) and whole.channels == (64, 128, 256, 512, 1024)
    assert len(whole.layers) == whole.taps[-1] + 1 and whole.plan[whole.taps[-1] + 1].section.kind == "avgpool"
    part = darknet_backbone(str(given("yolov3.cfg")), layers=75, **same)
    assert part.taps == whole.taps and part.channels == whole.channels
    with pytest.raises(ModelError, match="is a detector, a whole network: say with layers = N"):
        darknet_backbone(str(given("yolov3.cfg")), **same)
    with pytest.raises(ModelError, match="layers = 900 must be from 1 to 107"):
        darknet_backbone(str(given("yolov3.cfg")), layers=900, **same)
    write_cfg(tmp_path / "19.cfg", config(*PUBLISHED["darknet19"]))
    small = darknet_backbone(str(tmp_path / "19.cfg"), **same)
    assert small.strides == (2,) and small.taps == (2,)    # without the 1x1 convolution to the classes
    write_cfg(tmp_path / "flat.cfg", config(conv()))
    with pytest.raises(ModelError, match="have no stride of 2 or more: they give no map that a head could use"):
        darknet_backbone(str(tmp_path / "flat.cfg"), **same)


@pytest.mark.parametrize(("layers", "at", "said"), [
    (["[route]\nlayers=-1"], "layers=-1", "[route] layers names layer -1, which does not exist: this is layer 0 of 1"),
    ([conv(), "[route]\nlayers=7"], "layers=7",
     "[route] layers names layer 7, which does not exist: this is layer 1 of 2"),
    ([conv(), "[route]\nlayers=2", conv()], "layers=2",
     "layers names layer 2, and this is layer 1: a layer can only take"),
    ([conv(), "[shortcut]\nfrom=1"], "from=1",
     "from names layer 1, and this is layer 1: a layer can only take what was made before it, else there is a loop"),
    ([conv(), "[route]"], "[route]", "[route] says of no other layer what it takes: write layers=-2 or such"),
    ([conv(), conv(stride=2), "[route]\nlayers=-1,-2"], "layers=-1,-2", "joins maps of 15 x 21 x 8 and of 30 x 42 x 8"),
    ([conv(more="groups=5")], "groups=5", "groups = 5 must divide the 3 incoming channels"),
    ([conv(9, more="groups=3"), conv(8, more="groups=3")], "groups=3",
     "groups = 3 must divide the 8 outgoing channels"),
    ([conv(activation="leeky")], "activation=leeky",
     "activation = 'leeky' is unknown. Did you mean 'leaky'? Known: linear, logistic"),
    ([conv(size=99, more="padding=0").replace("pad=1\n", "")], "[convolutional]",
     "size 99 leaves nothing of 30 x 42 x 3"),
    ([conv(size=0)], "size=0", "size = '0' must be a whole number from 1 to 1,024"),
    ([conv(more="antialiasing=1")], "antialiasing=1", "antialiasing = 1 is not supported; only antialiasing = 0 is"),
    ([conv(more="share_index=0")], "share_index=0", "share_index is not supported"),
    ([conv(size=4, more="dilation=2")], "dilation=2", "dilation = 2 goes with pad = 1 and an odd size alone"),
    ([conv(), "[maxpool]\nsize=2\npadding=3"], "padding=3", "padding = 3 must be at most twice size - 1, here 2"),
    ([conv(), conv(), "[shortcut]\nfrom=-2\nweights_type=per_feature"], "weights_type=per_feature",
     "weights_type = per_feature is not"),
    ([conv(), conv(4), "[sam]\nfrom=-2"], "from=-2",
     "multiplies maps of 30 x 42 x 4 and of 30 x 42 x 8: the first must be the same"),
    ([conv(), conv(4), "[scale_channels]\nfrom=-2"], "from=-2", "the first must be 1 x 1 of the same channels"),
    ([conv(), conv(4), "[sam]\nfrom=-2,-1"], "from=-2,-1", "from names 2 layers; one is accepted"),
    ([conv(), "[reorg]\nstride=4"], "stride=4", "stride = 4 needs channels that 16 divides, got 8"),
    ([conv(), "[reorg3d]\nstride=4"], "stride=4", "stride = 4 must divide the width and height of 30 x 42 x 8"),
    ([conv(), "[route]\nlayers=0\ngroups=2\ngroup_id=2"], "group_id=2",
     "group_id = 2 does not exist: groups = 2 are counted"),
    ([conv(), "[crop]\ncrop_width=40\ncrop_height=2"], "[crop]",
     "cuts 40 x 2 out of 30 x 42 x 8: it must not be larger"),
    ([conv(), "[softmax]\ntree=imagenet.tree"], "tree=imagenet.tree", "tree is not supported"),
    ([conv(), "[softmax]\ngroups=2"], "groups=2", "groups = 2 is not supported; only groups = 1 is"),
    ([conv(), "[softmax]", conv()], "[convolutional]",
     "takes what layer 1 [softmax] gives, which is no map. Put a [route] before it"),
    ([conv(65_536), conv(65_536)], "[convolutional]", "[convolutional] brings the network to"),
    ([conv(4096), "[upsample]\nstride=1024"], "[upsample]",
     "[upsample] gives 30720 x 43008 x 4096 values for one picture"),
    (["[yolo]\nanchors=1,1\nclasses=2"], "[yolo]", "[yolo] is the first layer: there is nothing before it"),
    (["[softmax]"], "[softmax]", "[softmax] is the first layer: there is nothing before it"),
])
def test_a_network_that_cannot_be_is_refused_with_its_line(layers: list[str], at: str, said: str):
    wrong = config(*layers)
    with pytest.raises(ModelError) as caught:
        Darknet(wrong)
    message = str(caught.value)
    line = re.match(r"small\.cfg line (\d+): \[", message)
    assert line is not None and wrong.text.split("\n")[int(line[1]) - 1] == at
    assert said in message and "\n" not in message


def test_pictures_without_their_ground_are_filled_up_to_the_coarsest_cells():
    """Of stride 64, as in yolov4-p6, where rectangular pictures have edges that are multiples of 32."""
    halves = [conv(2, stride=2)] * 5
    text = "\n".join(["[net]\nwidth=128\nheight=128\nchannels=3", *halves, conv(2, stride=2), conv(8, 1, norm=0),
                      "[yolo]\nclasses=3\nmask=0\nnum=2\nanchors=30,30, 9,9", "[route]\nlayers=-3",
                      "[upsample]\nstride=2", "[route]\nlayers=-1,4", conv(8, 1, norm=0),
                      "[yolo]\nclasses=3\nmask=1\nnum=2\nanchors=30,30, 9,9", ""])
    network = Darknet(parse_cfg(text, file="some.cfg")).eval()
    wide = torch.rand(1, 3, 96, 128)
    below = torch.cat((wide, torch.zeros(1, 3, 32, 128)), 2)
    assert all(torch.equal(one, other) for one, other in zip(network(wide), network(below), strict=True))


def test_cells_that_leave_a_border_uncovered_divide_the_picture_as_in_darknet():
    """30 x 42 pixels give 8 x 11 cells (width x height), so that each has 3.75 x 42 / 11 pixels."""
    network = Darknet(config(conv(stride=2), conv(stride=2), conv(7, 1),
                             "[region]\nanchors=1,1\nnum=1\nclasses=2")).eval()
    layer = network.outputs[0]
    assert layer.anchors == (pytest.approx((30 / 8, 42 / 11)),)
    pictures = torch.rand(1, 3, 42, 30)
    with torch.no_grad():
        maps = network(pictures)
        read = DarknetHead(network.outputs)(maps, (42, 30))
        corners, objectness, _ = decode_yolo(maps[0], layer, (42, 30))
    assert maps[0].shape == (1, 7, 11, 8)
    torch.testing.assert_close(read.corners(), corners)
    assert network.strides == (4,) and objectness.shape == (1, 88)
