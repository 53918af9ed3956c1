import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lensmith.base.errors import ModelError
from lensmith.models.darknet.cfg_file import parse_cfg, read_cfg
from lensmith.models.darknet.named import weights_for
from lensmith.models.darknet.network import Darknet, darknet53_text, trunk
from lensmith.models.darknet.weights_file import (
    WeightsHeader,
    layers_in,
    read_darknet_weights,
    write_darknet_weights,
)

# 2 x 3 x 1 x 1 = 6 weights and 2 biases; 3 x 2 x 1 x 1 = 6 weights and four times 3 of the norm; 3 x 4 + 4.
TEXT = ("[net]\nwidth=1\nheight=1\nchannels=3\n[convolutional]\nfilters=2\nactivation=linear\n[route]\nlayers=-1\n"
        "[convolutional]\nfilters=3\nbatch_normalize=1\nactivation=leaky\n[connected]\noutput=4\nactivation=linear\n")
FLOATS = 8 + 18 + 16


def network(text: str = TEXT) -> Darknet:
    return Darknet(parse_cfg(text, file="small.cfg")).eval()


def numbered(path: Path, count: int = FLOATS, header: bytes = struct.pack("<iiiQ", 0, 2, 5, 32013312)) -> Path:
    path.write_bytes(header + np.arange(count, dtype="<f4").tobytes())
    return path


def refusal(path: Path, *, layers: int | None = None, text: str = TEXT) -> str:
    fresh = network(text)
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        read_darknet_weights(path, fresh, layers=layers)
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_floats_go_where_darknet_has_them(tmp_path: Path):
    filled = network()
    header = read_darknet_weights(numbered(tmp_path / "a.weights"), filled)
    assert header == WeightsHeader(0, 2, 5, 32013312) and filled.header.tolist() == [0, 2, 5, 32013312]
    first, second, dense = filled.layers[0], filled.layers[2], filled.layers[3].dense

    def span(start: int, *shape: int) -> Tensor:
        return torch.arange(start, start + int(np.prod(shape)), dtype=torch.float32).view(shape)

    assert torch.equal(first.conv.bias, span(0, 2)) and torch.equal(first.conv.weight, span(2, 2, 3, 1, 1))
    norm = second.norm
    for tensor, start in ((norm.bias, 8), (norm.weight, 11), (norm.running_mean, 14), (norm.running_var, 17)):
        assert torch.equal(tensor, span(start, 3))
    assert torch.equal(second.conv.weight, span(20, 3, 2, 1, 1))
    assert torch.equal(dense.bias, span(26, 4)) and torch.equal(dense.weight, span(30, 4, 3))


def test_a_connected_layer_has_its_norm_last(tmp_path: Path):
    filled = network(TEXT.replace("output=4\n", "output=4\nbatch_normalize=1\n"))
    read_darknet_weights(numbered(tmp_path / "a.weights", FLOATS + 12), filled)
    layer = filled.layers[3]
    assert layer.dense.bias is None and layer.norm.bias.tolist() == [26, 27, 28, 29]
    assert layer.dense.weight.flatten().tolist() == list(range(30, 42))
    assert layer.norm.weight.tolist() == [42, 43, 44, 45] and layer.norm.running_var.tolist() == [50, 51, 52, 53]


@pytest.mark.parametrize(("header", "seen"), [
    (struct.pack("<iiiI", 0, 1, 0, 2**32 - 1), 2**32 - 1),
    (struct.pack("<iiiQ", 0, 2, 0, 2**64 - 1), 2**64 - 1),
    (struct.pack("<iiiQ", 1, 0, 3, 7), 7),
    (struct.pack("<iiiI", -5, 1, 0, 7), 7),
    (struct.pack("<iiiQ", 0, 1001, 0, 7), 7),
])
def test_both_forms_of_the_header_come_back_byte_for_byte(tmp_path: Path, header: bytes, seen: int):
    path = numbered(tmp_path / "a.weights", header=header)
    filled = network()
    assert read_darknet_weights(path, filled).seen == seen
    write_darknet_weights(tmp_path / "b.weights", filled)
    assert (tmp_path / "b.weights").read_bytes() == path.read_bytes()
    other = network()
    other.load_state_dict(filled.state_dict())    # the header travels with a checkpoint
    write_darknet_weights(tmp_path / "c.weights", other)
    assert (tmp_path / "c.weights").read_bytes() == path.read_bytes()
    write_darknet_weights(tmp_path / "d.weights", other, header=WeightsHeader(seen=5))
    assert (tmp_path / "d.weights").read_bytes()[:20] == struct.pack("<iiiQ", 0, 2, 5, 5)


def test_the_first_versions_have_connected_layers_transposed(tmp_path: Path):
    filled = network()
    read_darknet_weights(numbered(tmp_path / "a.weights", header=struct.pack("<iiiQ", 0, 1001, 0, 0)), filled)
    assert filled.layers[3].dense.weight.tolist() == [[30, 34, 38], [31, 35, 39], [32, 36, 40], [33, 37, 41]]


@pytest.mark.parametrize(("count", "said"), [
    (0, "ends in layer 0 [convolutional] (line 5 of the cfg), with 0 of that layer's 8 floats: it holds 0 floats, and "
        "small.cfg asks for 42."),
    (7, "ends in layer 0 [convolutional] (line 5 of the cfg), with 7 of that layer's 8 floats"),
    (8, "ends in layer 2 [convolutional] (line 10 of the cfg), with 0 of that layer's 18 floats: it holds 8 floats, "
        "and small.cfg asks for 42. Take the cfg that belongs to them, or, where the file is of the first layers "
        "alone, layers=2"),
    (41, "ends in layer 3 [connected] (line 14 of the cfg), with 15 of that layer's 16 floats: it holds 41 floats, and "
         "small.cfg asks for 42. Take the cfg that belongs to them, or the whole file"),
    (43, "holds more than small.cfg asks for: behind layer 3 [connected] (line 14 of the cfg), its last layer with "
         "weights, 1 floats are left over of 43. Take the cfg that belongs to these weights"),
])
def test_too_few_and_too_many_floats(tmp_path: Path, count: int, said: str):
    assert said in refusal(numbered(tmp_path / "a.weights", count))


def test_what_is_no_weights_file(tmp_path: Path):
    path = numbered(tmp_path / "net.weights")
    whole = path.read_bytes()
    path.write_bytes(whole + b"ab")
    assert "0 floats and 2 bytes are left over of 42" in refusal(path)
    path.write_bytes(whole[:-1])
    assert "with 15 of that layer's 16 floats" in refusal(path)
    for size in (0, 11, 13, 19):
        path.write_bytes(whole[:size])
        assert f"its header alone has 16 or 20 bytes, and the file has {size}" in refusal(path)
    assert "Did you mean 'net.weights'? Give the path of a Darknet .weights file" in refusal(tmp_path / "net.weight")
    assert "Is a directory" in refusal(tmp_path)
    for bad in (np.nan, np.inf):
        floats = np.arange(FLOATS, dtype="<f4")
        floats[9] = bad
        path.write_bytes(whole[:20] + floats.tobytes())
        assert "is damaged: float 1 of layer 2 [convolutional] (line 10 of the cfg) is no finite" in refusal(path)
    assert "holds more than small.cfg asks for, 42 floats are left over of 42" in refusal(
        numbered(path), text=TEXT.split("[conv")[0] + "[avgpool]\n")


def test_a_sum_that_overflows_is_no_damage(tmp_path: Path):
    path = tmp_path / "a.weights"
    path.write_bytes(struct.pack("<iiiQ", 0, 2, 5, 0) + np.full(FLOATS, 3e38, "<f4").tobytes())
    filled = network()
    read_darknet_weights(path, filled)
    write_darknet_weights(tmp_path / "b.weights", filled)
    assert (tmp_path / "b.weights").read_bytes() == path.read_bytes()


def test_the_first_layers_alone(tmp_path: Path):
    path = numbered(tmp_path / "a.weights", 26)
    filled = network()
    fresh = filled.layers[3].dense.weight.clone()
    read_darknet_weights(path, filled, layers=3)
    assert filled.layers[2].norm.bias.tolist() == [8, 9, 10] and torch.equal(filled.layers[3].dense.weight, fresh)
    assert "ends in layer 3 [connected]" in refusal(path)
    assert "layers = 5 must be from 1 to 4, the layers of small.cfg" in refusal(path, layers=5)


def test_a_backbone_takes_the_weights_of_the_whole_network(tmp_path: Path):
    config = parse_cfg(darknet53_text().replace("filters=1000", "filters=10"), file="small53")
    whole = Darknet(config, size=(64, 64))
    write_darknet_weights(tmp_path / "a.weights", whole)
    backbone = trunk(config, layers=0, inputs=3, size=(64, 64))
    read_darknet_weights(tmp_path / "a.weights", backbone)
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name])
    with pytest.raises(ModelError, match="only a part of small53: it lacks layer 76 .convolutional."):
        write_darknet_weights(tmp_path / "b.weights", backbone)


def test_layers_that_nothing_takes_keep_their_floats(tmp_path: Path):
    text = TEXT.replace("layers=-1\n", "layers=-2\n").replace("[route]", "[convolutional]\nfilters=5\n[route]")
    filled = network(text)
    path = numbered(tmp_path / "a.weights", FLOATS + 15)
    read_darknet_weights(path, filled)
    write_darknet_weights(tmp_path / "b.weights", filled)
    assert (tmp_path / "b.weights").read_bytes() == path.read_bytes()


def test_yolo_fastest_comes_back_byte_for_byte(tmp_path: Path):
    folder = Path(os.environ.get("LENSMITH_DATA", "")) / "darknet"
    if not (folder / "yolo-fastest-1.1.weights").is_file():
        pytest.skip("darknet/yolo-fastest-1.1.weights is not in LENSMITH_DATA")
    filled = Darknet(read_cfg(folder / "yolo-fastest-1.1.cfg"))
    assert read_darknet_weights(folder / "yolo-fastest-1.1.weights", filled) == WeightsHeader(0, 2, 5, 14231680)
    write_darknet_weights(tmp_path / "again.weights", filled)
    assert (tmp_path / "again.weights").read_bytes() == (folder / "yolo-fastest-1.1.weights").read_bytes()
    with pytest.raises(ModelError, match=r"ends in layer \d+ \[convolutional\] .* asks for 8,858,734\. Take the cfg"):
        read_darknet_weights(folder / "yolo-fastest-1.1.weights", Darknet(read_cfg(folder / "yolov3-tiny.cfg")))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 20 + 4 * FLOATS + 8), st.lists(st.tuples(st.integers(0, 187), st.integers(0, 255)), max_size=4))
def test_damaged_weights_give_one_line(tmp_path: Path, length: int, changes: list[tuple[int, int]]):
    data = bytearray(numbered(tmp_path / "a.weights").read_bytes() + bytes(8))
    for at, value in changes:
        data[at] = value
    (tmp_path / "a.weights").write_bytes(data[:length])
    said = "nothing"
    try:
        read_darknet_weights(tmp_path / "a.weights", network())
    except ModelError as error:
        said = str(error)
    assert said and "\n" not in said


def test_a_file_of_the_first_layers_is_known_by_its_size(tmp_path: Path) -> None:
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n" + "[convolutional]\nfilters=4\nsize=1\n" * 3
    network = Darknet(parse_cfg(text, file="some.cfg"))
    write_darknet_weights(tmp_path / "whole.weights", network)
    content = (tmp_path / "whole.weights").read_bytes()
    assert layers_in(tmp_path / "whole.weights", network) is None
    (tmp_path / "some.conv.2").write_bytes(content[: 20 + 4 * (16 + 20)])    # 4 x 3 + 4, then 4 x 4 + 4 floats
    assert layers_in(tmp_path / "some.conv.2", network) == 2
    found = weights_for(network, tmp_path / "some.conv.2")
    assert {name.split(".")[1] for name in found if name.startswith("layers.")} == {"0", "1"}
    (tmp_path / "odd").write_bytes(content[:60])
    assert layers_in(tmp_path / "odd", network) is None    # whose error says where it ends
    with pytest.raises(ModelError, match="ends in layer 0"):
        weights_for(network, tmp_path / "odd")
