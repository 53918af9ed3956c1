"""The verb `inspect` on cfg files of Darknet."""

import json
import os
from pathlib import Path

import pytest

# BFLOPs at the size in the file, two for a multiply-add, as the authors give them.
PUBLISHED = {"yolov3.cfg": 140.69, "yolov3-tiny.cfg": 5.57, "yolov3-spp.cfg": 141.45, "darknet53.cfg": 18.57,
             "yolo-fastest-1.1.cfg": 0.252}


def by_hand(text: str) -> tuple[int, int]:
    """(parameters, multiply-adds) of a cfg of convolutions, pools, routes, shortcuts and upsamplings."""
    sections: list[tuple[str, dict[str, str]]] = []
    for line in (line.split("#")[0].strip() for line in text.splitlines()):
        if line.startswith("["):
            sections.append((line[1:-1], {}))
        elif "=" in line:
            key, _, value = line.partition("=")
            sections[-1][1].setdefault(key.strip(), value.strip())
    (_, net), *layers = sections
    shapes = [(int(net.get("channels", 3)), int(net["height"]), int(net["width"]))]    # one before the first layer
    parameters = work = 0
    for number, (kind, options) in enumerate(layers):
        channels, height, width = shapes[-1]
        stride, size = int(options.get("stride", 1)), int(options.get("size", 1))
        if kind == "convolutional":
            filters, groups = int(options.get("filters", 1)), int(options.get("groups", 1))
            around = 2 * (size // 2) if int(options.get("pad", 0)) else 0
            height, width = ((edge + around - size) // stride + 1 for edge in (height, width))
            weights = filters * channels // groups * size**2
            parameters += weights + filters * (2 if int(options.get("batch_normalize", 0)) else 1)
            work += weights * height * width
            channels = filters
        elif kind == "maxpool":
            height, width = ((edge - 1) // stride + 1 for edge in (height, width))
        elif kind == "avgpool":
            height = width = 1
        elif kind == "upsample":
            height, width = height * stride, width * stride
        elif kind == "route":
            named = [int(text) for text in options["layers"].split(",")]
            taken = [shapes[at + 1 if at >= 0 else number + 1 + at] for at in named]
            channels, (_, height, width) = sum(shape[0] for shape in taken), taken[0]
        shapes.append((channels, height, width))
    return parameters, work


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if "tiny" in name or "fastest" in name else
                                               pytest.mark.slow) for name in PUBLISHED])
def test_published_cfgs_are_inspected(command, name: str):
    cfg = Path(os.environ.get("LENSMITH_DATA", "")) / "darknet" / name
    if not cfg.is_file():
        pytest.skip(f"darknet/{name} is not in LENSMITH_DATA")
    ended = command("inspect", cfg, "--json")
    assert ended.code == 0, ended.err
    found, (parameters, work) = json.loads(ended.out), by_hand(cfg.read_text())
    assert (found["parameters"], found["multiply_adds"], found["problem"]) == (parameters, work, "")
    assert 2 * work / 1e9 == pytest.approx(PUBLISHED[name], rel=0.01)
    shown = command("inspect", cfg)
    assert shown.code == 0 and f"{parameters:,} parameters" in shown.out and "Conv2d" in shown.out
    assert command("inspect", cfg, "--size", 64, "--channels", 1).code == 0


def test_a_cfg_that_is_inspected_takes_no_settings_and_says_what_is_wrong_in_it(command, tmp_path: Path):
    cfg = tmp_path / "a.cfg"
    cfg.write_text("[net]\nwidth=16\nheight=16\n[convolutional]\nfilters=4\nsize=3\npad=1\nmax_epochs=3\n")
    ended = command("inspect", cfg)
    assert ended.code == 0 and "4 x 16 x 16" in ended.out and "112 parameters" in ended.out
    ended = command("inspect", cfg, "filters=8")
    assert ended.code == 2 and "a.cfg says everything about its network: leave 'filters=8' out" in ended.err
    cfg.write_text("[net]\nwidth=16\nheight=16\n[convolutionl]\n")
    ended = command("inspect", cfg)
    assert ended.code == 4 and "a.cfg line 4: unknown section '[convolutionl]'" in ended.err
    ended = command("inspect", tmp_path / "b.cfg")
    assert ended.code == 4 and "cannot read the cfg" in ended.err and "Did you mean 'a.cfg'?" in ended.err
