"""The charts of lessons: what is drawn is what was given."""

import base64
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from lensmith.lessons.charts import COLOURS, line_chart, part_bars
from lensmith.lessons.page_pictures import array_data, picture_data

SVG = "{http://www.w3.org/2000/svg}"


def test_each_line_has_its_colour_and_those_behind_the_first_have_gaps():
    series = {f"line {number}": [(0.0, 0.0), (1.0, float(number))] for number in range(5)}
    drawn = ET.fromstring(line_chart("five", series, title="t", below="x", marked=[(0.0, 0.0)]))
    paths = [path for path in drawn.iter(f"{SVG}path") if path.get("stroke") in COLOURS]
    assert [path.get("stroke") for path in paths] == list(COLOURS[:5])
    assert [bool(path.get("stroke-dasharray")) for path in paths] == [False, True, True, True, False]
    assert {text.text for text in drawn.iter(f"{SVG}text")} >= {"t", "x", *series}
    assert [circle.get("r") for circle in drawn.iter(f"{SVG}circle")].count("5") == 1
    height = float(drawn.get("viewBox").split()[3])
    assert all(float(text.get("y")) < height for text in drawn.iter(f"{SVG}text"))


def test_the_parts_of_a_bar_lie_behind_each_other_and_are_as_long_as_they_are():
    drawn = ET.fromstring(part_bars("b", {"one": {"a": 1.0, "b": 3.0}, "two": {"a": 2.0, "b": 0.0}}, below="ms"))
    bars = [(float(bar.get("x")), float(bar.get("width"))) for bar in drawn.iter(f"{SVG}rect")
            if float(bar.get("height")) > 10]
    (x1, a), (x2, b), (_, c), (_, nothing) = bars
    assert b == pytest.approx(3 * a, abs=0.05) and c == pytest.approx(2 * a, abs=0.05) and nothing == 0
    assert x2 == pytest.approx(x1 + a, abs=0.02)
    alone = part_bars("b", {"one": {"a": 1.0}}, below="ms")
    assert ">a<" not in alone    # one part needs no legend


@pytest.mark.parametrize(("picture", "pixel"), [
    (np.full((1, 2, 3), 200.0), (200, 200, 200)),
    (np.stack([np.full((2, 3), value) for value in (10.0, 20.0, 30.0)]), (10, 20, 30)),
    (np.full((1, 2, 3), 51_400.0), (200, 200, 200)),    # 16 bits
])
def test_a_picture_of_a_page_is_the_picture(picture: np.ndarray, pixel: tuple[int, ...]):
    data = picture_data(picture).removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (3, 2) and image.getpixel((1, 1))[:3] == pixel


def test_an_array_of_a_page_is_the_array():
    array = np.arange(6.0).reshape(2, 3).T    # not contiguous
    data = array_data(array)
    assert data["shape"] == [3, 2]
    assert (np.frombuffer(base64.b64decode(data["values"]), "<f4").reshape(3, 2) == array).all()
