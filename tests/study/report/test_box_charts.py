"""What the charts of a detector say: the places of their lines, bars and cells."""

import base64
import re
import xml.etree.ElementTree as ET
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.data.sources.box_statistics import box_statistics
from lensmith.study.report.box_charts import box_charts, detection_curves
from lensmith.values.boxes import Boxes

SVG = "{http://www.w3.org/2000/svg}"
STEPS = [i / 10 for i in range(11)]


def curves(**classes: float) -> dict[str, Any]:
    """A precision that falls from 1 to 0 and an F1 that is highest at 0.3; of classes flat lines."""
    return {"recall": STEPS, "precision": [1 - x for x in STEPS], "score": STEPS,
            "f1": [0.9 - abs(x - 0.3) for x in STEPS], "precision_of": {name: [y] * 11 for name, y in classes.items()},
            "f1_of": {name: [y] * 11 for name, y in classes.items()}}


def paths(svg: str, colour: str) -> list[list[tuple[float, float]]]:
    drawn = [one for one in ET.fromstring(svg).iter(f"{SVG}path") if one.get("stroke") == colour]
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", one.get("d") or "")]
            for one in drawn]


def letters(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(svg).iter(f"{SVG}text")]


def test_the_mean_stands_out_and_the_best_threshold_is_marked() -> None:
    svg = detection_curves(curves(ant=0.5, bee=1.0), threshold=0.3)
    (precision, f1), marks = paths(svg, "#0072b2"), paths(svg, "#009e73")
    assert precision[0] == (44, 26) and precision[-1] == (290, 166)    # from recall 0, precision 1 to recall 1, 0
    assert f1[3][1] == min(y for _, y in f1) and marks == [[(pytest.approx(346 + 0.3 * 246, abs=0.01), 26),
                                                             (pytest.approx(346 + 0.3 * 246, abs=0.01), 166)]]
    assert "best: 0.90 at 0.30" in letters(svg)
    faint = [points for points in paths(svg, "currentColor") if len(points) == 11]
    assert sorted({y for points in faint for _, y in points}) == [26, 96] and len(faint) == 4
    assert detection_curves({}) == ""


def statistics() -> dict[str, Any]:
    corners = torch.tensor([[0.0, 0, 20, 10], [0, 0, 20, 10], [90, 40, 100, 50]])
    return box_statistics(Boxes(corners, torch.tensor([0, 1, 1]), image=torch.tensor([0, 0, 2])),
                          torch.tensor([[50, 100]] * 3), ("ant", "bee"))


def test_the_bars_and_the_map_are_the_statistics() -> None:
    svg = box_charts(statistics())
    bars = [(float(one.get("height")), one.get("fill")) for one in ET.fromstring(svg).iter(f"{SVG}rect")]
    blue = [height for height, fill in bars if fill == "#0072b2"]
    assert len(blue) == 3 and blue[1] == pytest.approx(2 * blue[0], rel=0.01)    # widths 1 and 2; all heights are 0.2
    assert len([1 for _, fill in bars if fill == "#009e73"]) == 3    # pictures with no, one and two boxes
    assert {"width", "height", "area", "boxes in a picture", "centres", "0.1 %", "10 %"} <= set(letters(svg))
    image = next(ET.fromstring(svg).iter(f"{SVG}image"))
    cells = np.array(Image.open(BytesIO(base64.b64decode((image.get("href") or "").partition(",")[2]))))[..., 3]
    assert cells.shape == (16, 16) and sorted(cells[cells > 0]) == [128, 255]
    assert cells[int(0.1 * 16), int(0.1 * 16)] == 255 and cells[int(0.9 * 16), int(0.95 * 16)] == 128
    assert svg == box_charts(statistics()) and not re.search(r'href="(?!data:)', svg)


def test_without_a_box_there_is_no_chart() -> None:
    assert box_charts({}) == box_charts({**statistics(), "boxes": 0}) == ""
