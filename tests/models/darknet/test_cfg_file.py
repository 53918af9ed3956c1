import os
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensmith.base.errors import ModelError
from lensmith.models.darknet.cfg_file import MOST_BYTES, parse_cfg, read_cfg, with_classes, with_pictures, write_cfg
from lensmith.models.darknet.cfg_options import ALIASES, OPTIONS, UNSUPPORTED
from lensmith.models.darknet.network import Darknet
from lensmith.models.darknet.weights_file import read_darknet_weights, write_darknet_weights

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
DETECTOR = ("# a comment\r\n[net]\r\nwidth = 16\r\nheight=16  # half\r\n\r\n; another\r\n[convolutional]\r\n"
            "filters =\t21 # 3 x 7\r\nstride=8\r\nactivation = linear\r\n [yolo] \r\nclasses= 2\r\nnum=3\r\n"
            "anchors = 1,2,  3, 4,  5,6,\r\n")


def refusal(text: str) -> str:
    with pytest.raises(ModelError) as caught:
        parse_cfg(text, file="some.cfg")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_comments_odd_spacing_and_any_line_ending_are_read():
    config = parse_cfg(DETECTOR, file="some.cfg")
    assert [section.kind for section in config.layers] == ["convolutional", "yolo"]
    assert config.net.integer("width", 0) == config.net.integer("height", 0) == 16
    conv, yolo = config.layers
    assert (conv.line, conv.options["filters"].line, conv.options["filters"].value) == (7, 8, "21")
    assert yolo.numbers("anchors", least=0, most=9) == (1, 2, 3, 4, 5, 6)
    assert yolo.integers("mask", least=0, most=9) == ()
    assert Darknet(config).outputs[0].classes == 2


def test_short_names_are_the_long_ones_and_the_first_of_two_values_counts():
    config = parse_cfg("\ufeff[network]\nbatch=1\nbatch=64\n[conv]\n[max]\n[avg]\n[conn]\n[soft]\n[silence]\n",
                       file="some.cfg")
    assert config.net.integer("batch", 0) == 1
    assert [section.kind for section in config.layers] == ["convolutional", "maxpool", "avgpool", "connected",
                                                           "softmax", "empty"]


@pytest.mark.parametrize(("text", "said"), [
    ("", "some.cfg has no sections; a cfg begins with [net]"),
    ("# only words\n\n", "some.cfg has no sections"),
    ("width=3\n[net]\n", "some.cfg line 1: 'width=3' stands before the first section"),
    ("[convolutional]\n", "some.cfg line 1: [convolutional] is the first section; a cfg begins with [net]"),
    (NET, "some.cfg has no layers behind [net]"),
    (NET + NET, "some.cfg line 5: [net] comes a second time"),
    (NET + "[convolutionl]\n", "some.cfg line 5: unknown section '[convolutionl]'. Did you mean 'convolutional'?"),
    (NET + "[]\n", "some.cfg line 5: unknown section '[]'. Known: net, convolutional"),
    (NET + "[lstm]\n", "some.cfg line 5: [lstm] is a layer of Darknet that is not supported here. Supported: net"),
    (NET + "[conv\n", "some.cfg line 5: '[conv' begins like a section but has no closing bracket"),
    (NET + "[conv]\nfilters\n", "some.cfg line 6: 'filters' under [convolutional] is neither a section nor an option"),
    (NET + "[conv]\n=3\n", "some.cfg line 6: '=3' under [convolutional] is neither"),
    (NET + "[conv]\nfiltres=3\n", "some.cfg line 6: [convolutional] has no option 'filtres'. Did you mean 'filters'? "
                                  "Known: activation, angle"),
    (NET + "[avgpool]\n" * 3000, "more than 2,048 sections; no network of Darknet has so many"),
])
def test_what_is_no_cfg_is_refused_with_its_line(text: str, said: str):
    assert said in refusal(text)


def test_every_kind_is_known_once():
    kinds = {*OPTIONS, *UNSUPPORTED}
    assert len(kinds) == len(OPTIONS) + len(UNSUPPORTED) and set(ALIASES.values()) <= kinds
    for kind in OPTIONS:
        if kind != "net":
            assert parse_cfg(f"{NET}[{kind}]\n", file="some.cfg").layers[0].kind == kind


@pytest.mark.parametrize("value", ["", "x", "1.5", "-1", "0x10", "1e3", "99999999999999999999", "٣", "3 4 x", "1_0"])
def test_numbers_are_read_strictly(value: str):
    config = parse_cfg(f"{NET}[conv]\nfilters={value}\nactivation=linear\n", file="some.cfg")
    with pytest.raises(ModelError, match=r"^some.cfg line 6: \[convolutional\] filters = .* must be a whole number "
                                         r"from 1 to 65,536$"):
        Darknet(config)


def test_the_size_of_the_pictures_must_be_said_once():
    config = parse_cfg("[net]\nwidth=8\n[avgpool]\n", file="some.cfg")
    with pytest.raises(ModelError, match=r"^some.cfg line 1: \[net\] has no height: write height=416, or give the"):
        Darknet(config)
    assert Darknet(config, size=(8, 8)).size == (8, 8)
    huge = parse_cfg("[net]\nwidth=65536\nheight=65536\n[avgpool]\n", file="some.cfg")
    with pytest.raises(ModelError, match=r"\[net\] asks for pictures of 65536 x 65536 x 3 values; at most 268,435,456"):
        Darknet(huge)


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "1e999", "2", "-0.1", "1_0", "0.1.2"])
def test_parts_of_one_are_read_strictly(value: str):
    config = parse_cfg(f"{NET}[dropout]\nprobability={value}\n", file="some.cfg")
    with pytest.raises(ModelError, match=r"^some.cfg line 6: \[dropout\] probability = '.*' must be a number from 0 "):
        Darknet(config)


def test_files_that_are_none(tmp_path: Path):
    write_cfg(tmp_path / "yolo.cfg", parse_cfg(DETECTOR, file=""))
    for name, said in (("yol.cfg", "Did you mean 'yolo.cfg'? Give the path of a Darknet .cfg file"),
                       ("", "Is a directory"), ("yolo.cfg/a", "Not a directory")):
        with pytest.raises(ModelError, match="^cannot read the cfg ") as caught:
            read_cfg(tmp_path / name)
        assert said in str(caught.value)
    (tmp_path / "huge.cfg").write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(ModelError, match="huge.cfg has more than 1,048,576 bytes: it is no cfg. Perhaps it is the"):
        read_cfg(tmp_path / "huge.cfg")


@pytest.mark.parametrize("name", ["yolo-fastest-1.1", "yolov3", "yolov3-tiny", "yolov3-spp", "darknet53"])
def test_published_files_come_back_byte_for_byte(tmp_path: Path, name: str):
    path = Path(os.environ.get("LENSMITH_DATA", "")) / "darknet" / f"{name}.cfg"
    if not path.is_file():
        pytest.skip(f"darknet/{name}.cfg is not in LENSMITH_DATA")
    write_cfg(tmp_path / "again.cfg", read_cfg(path))
    assert (tmp_path / "again.cfg").read_bytes() == path.read_bytes()


def test_other_classes_change_those_lines_alone():
    config = parse_cfg(DETECTOR, file="some.cfg")
    other = with_classes(config, 80)
    assert other.text == DETECTOR.replace("\t21 #", "\t255 #").replace("classes= 2\r", "classes= 80\r")
    assert Darknet(other).outputs[0].classes == 80
    assert with_classes(other, 2).text == DETECTOR
    default = parse_cfg(f"{NET}[conv]\nfilters=75\nactivation=linear\n[yolo]\nnum=3\nanchors=1,1,1,1,1,1\n[route]\n"
                        "layers=0\n[region]\nanchors=1,1\nclasses=9\n", file="some.cfg")
    with pytest.raises(ModelError, match=r"line 13: \[region\] must stand right behind a \[convolutional\]"):
        with_classes(default, 4)
    alone = parse_cfg(default.text.split("[route]")[0], file="some.cfg")
    assert Darknet(alone).outputs[0].classes == 20    # Darknet's own, where the file says nothing
    assert Darknet(with_classes(alone, 4)).outputs[0].classes == 4
    scores = parse_cfg(f"{NET}[conv]\nfilters=7\n[avgpool]\n[softmax]\n", file="some.cfg")
    assert Darknet(with_classes(scores, 4)).channels == (4,)
    with pytest.raises(ModelError, match="some.cfg has no layer with weights that could give 4 classes"):
        with_classes(parse_cfg(f"{NET}[avgpool]\n", file="some.cfg"), 4)


def test_other_pictures_change_the_first_section_alone():
    config = parse_cfg(DETECTOR, file="some.cfg")
    assert with_pictures(config, inputs=3, size=(16, 16)) is config
    wide = with_pictures(config, inputs=3, size=(16, 32))
    assert wide.text == DETECTOR.replace("width = 16\r", "width = 32\r")
    gray = with_pictures(config, inputs=1, size=(24, 16))
    assert gray.text == DETECTOR.replace("[net]\r\n", "[net]\r\nchannels=1\n").replace("height=16  #", "height=24  #")
    assert Darknet(gray).size == (24, 16) and Darknet(gray).standard == ((0.0,), (1.0,))
    assert with_pictures(with_pictures(config, inputs=3, size=(8, 8)), inputs=3, size=(16, 16)).text == DETECTOR


SPACES = st.text(" \t", max_size=2)
LINES = st.one_of(SPACES, st.builds("{}#{}".format, SPACES, st.text(string.printable.replace("\n", ""), max_size=9)))
LAYERS = st.sampled_from([
    ("convolutional", {"filters": "4", "size": "3", "pad": "1", "activation": "leaky", "batch_normalize": "1"}),
    ("convolutional", {"filters": "4", "size": "1", "groups": "2", "activation": "mish"}),
    ("maxpool", {"size": "2", "stride": "1"}), ("dropout", {"probability": ".5"}), ("shortcut", {"from": "-1"}),
    ("route", {"layers": "-1"}), ("activation", {"activation": "relu"}), ("batchnorm", {}),
    ("connected", {"output": "4", "activation": "linear", "batch_normalize": "1"})])


@st.composite
def cfgs(draw) -> bytes:
    """Random cfgs that are right, with comments and spaces wherever they may stand."""
    layers = [("convolutional", {"filters": "4", "stride": "1"}), *draw(st.lists(LAYERS, max_size=5))]
    kinds = [kind for kind, _ in layers]
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    lines = []
    for kind, options in [("net", {"width": "4", "height": "4", "channels": "4"}), *layers]:
        if kind == "maxpool" and "connected" in kinds:
            options = {}
        lines.append(f"{draw(SPACES)}[{kind}]{draw(SPACES)}")
        for key, value in options.items():
            lines.append(f"{draw(SPACES)}{key}{draw(SPACES)}={draw(SPACES)}{value}{draw(SPACES)}")
            lines += draw(st.lists(LINES, max_size=2))
    return (ending.join(lines) + draw(st.sampled_from(["", ending]))).encode() + draw(st.sampled_from([b"", b"#\xff"]))


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(cfgs(), st.randoms())
def test_any_valid_pair_of_files_comes_back_byte_for_byte(tmp_path: Path, content: bytes, random):
    (tmp_path / "a.cfg").write_bytes(content)
    config = read_cfg(tmp_path / "a.cfg")
    write_cfg(tmp_path / "b.cfg", config)
    assert (tmp_path / "b.cfg").read_bytes() == content
    network = Darknet(config)
    floats = sum(layer.weights for layer in network.plan)
    for header in (b"\0\0\0\0\1\0\0\0\0\0\0\0" + random.randbytes(4), b"\0\0\0\0\2\0\0\0\5\0\0\0" + random.randbytes(8),
                   b"\0\0\0\0\xff\xff\0\0\5\0\0\0" + random.randbytes(8)):
        # Bit patterns below 0x7f800000, and their negatives, are finite numbers.
        bits = np.frombuffer(random.randbytes(4 * floats), dtype="<u4")
        numbers = (bits % 0x7F800000 + (bits & 0x80000000)).tobytes()
        (tmp_path / "a.weights").write_bytes(header + numbers)
        read_darknet_weights(tmp_path / "a.weights", network)
        write_darknet_weights(tmp_path / "b.weights", network)
        assert (tmp_path / "b.weights").read_bytes() == header + numbers


WHOLE = (NET + "[convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=leaky\n[route]\n"
         "layers=-1\ngroups=2\ngroup_id=1\n[convolutional]\nfilters=14\nactivation=linear\n[yolo]\nmask=0,1\n"
         "anchors=10,11, 3,4, 5,7\nclasses=2\nnum=3\nscale_x_y=1.1\n[route]\nlayers=0\n[maxpool]\nsize=2\nstride=2\n"
         "[reorg]\nstride=2\n[shortcut]\nfrom=-1\n[upsample]\nstride=2\n[dropout]\nprobability=.5\n[avgpool]\n"
         "[connected]\noutput=3\nactivation=mish\n[softmax]\ngroups=1\n").encode()
EDITS = st.lists(st.tuples(st.sampled_from(["change", "add", "cut", "swap"]), st.integers(0, 1000),
                           st.sampled_from([*b"0123456789,.-=[]#\n\r aeglnorsty\xff\x00"]), st.integers(1, 9)),
                 min_size=1, max_size=6)


def _try(path: Path, edits: list[tuple[str, int, int, int]]) -> None:
    """Reading a damaged cfg gives a network or one line that says why not, and another number of classes likewise."""
    data = bytearray(WHOLE)
    for kind, place, value, size in edits:
        at = place % len(data) if data else 0
        if kind == "swap":
            lines = data.split(b"\n")
            lines.insert(place % len(lines), lines.pop(value % len(lines)))
            data = bytearray(b"\n".join(lines))
        else:
            data[at:at + {"change": 1, "add": 0, "cut": size}[kind]] = b"" if kind == "cut" else bytes([value])
    path.write_bytes(data)
    said = "nothing"
    try:
        config = read_cfg(path)
        Darknet(config)
        Darknet(with_classes(config, 5))
    except ModelError as error:
        said = str(error)
    assert said and "\n" not in said


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(EDITS)
def test_damaged_cfgs_give_one_line(tmp_path: Path, edits):
    _try(tmp_path / "a.cfg", edits)


@pytest.mark.slow
@settings(max_examples=3_000, suppress_health_check=list(HealthCheck))
@given(EDITS)
def test_many_damaged_cfgs_give_one_line(tmp_path: Path, edits):
    _try(tmp_path / "a.cfg", edits)


def test_lines_that_change_nothing_are_passed_over_as_darknet_does():
    config = parse_cfg(NET + "max_epochs=300\n[conv]\nfilters=8\ni\n[avgpool]\nfilters=3\n", file="some.cfg")
    assert [line.partition(": ")[2] for line in config.passed_over] == ["'max_epochs=300'", "'i'", "'filters=3'"]
    assert "filters" not in config.layers[1].options and config.layers[0].integer("filters", 1) == 8
    assert parse_cfg(NET + "[conv]\nfilters=8\n", file="some.cfg").passed_over == ()
