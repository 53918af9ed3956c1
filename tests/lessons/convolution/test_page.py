"""The page of the lesson in a browser, opened from its file: its numbers are PyTorch's, and its sliders move them."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lensmith.lessons.convolution.layer import read_layer
from lensmith.lessons.convolution.lesson import convolution_lesson
from lensmith.lessons.convolution.picture import LessonPicture, read_lesson_picture
from lensmith.lessons.convolution.taught import Taught, about
from lensmith.lessons.convolution.two_halves import two_halves
from lensmith.lessons.lesson import write_lesson

# Moving a slider, choosing and typing, as a person's hand does to the page.
MOVE = """
const move = (id, value, kind = "input") => {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event(kind));
};
const values = (id) => [...document.querySelectorAll(`#${id} .cell`)].map((cell) => Number(cell.dataset.value));
const text = (id) => document.getElementById(id).textContent;
"""


@pytest.fixture(scope="module")
def taught() -> Taught:
    layer = read_layer(["sobel"], padding="1", stride=2, dilation=1, channels=3, filters=2)
    return about(read_lesson_picture(None, 48), layer, halves=two_halves())


@pytest.fixture(scope="module")
def page(taught: Taught, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lesson(convolution_lesson(taught), tmp_path_factory.mktemp("lesson"))


def patch_of(taught: Taught) -> torch.Tensor:
    """The gray patch, float [1, rows, columns]."""
    row, column = taught.corner
    return taught.picture.gray[:, row: row + 8, column: column + 8].float()


def numbers(found: list) -> torch.Tensor:
    return torch.tensor(found, dtype=torch.float32)


def test_every_number_on_the_page_is_pytorchs(taught, page, look):
    found = look(page, f"""{MOVE}
        const plane = (rows) => rows.map((row) => row.map((value) => Math.round(value * 1e6) / 1e6));
        const step = {{ padding: LESSON.padding, stride: LESSON.stride, dilation: LESSON.dilation }};
        return {{ map: values("map"), sum: text("sum"), window: values("window"), products: values("products"),
                  maps: LESSON.kernels.map(({{ rows }}) => plane(convolve(COLOURS, COLOURS.map(() => rows), step))),
                  channels: Number(document.getElementById("channel-sum").dataset.total),
                  place: text("channel-place") }};
    """)
    layer = taught.layer
    expected = F.conv2d(patch_of(taught)[None], torch.tensor(layer.kernels[0].rows)[None, None], None, 2, 1)
    torch.testing.assert_close(numbers(found["map"]), expected.flatten(), rtol=1e-5, atol=1e-5)
    assert sum(found["products"]) == found["map"][0]
    assert found["sum"].endswith(str(int(found["map"][0])).replace("-", "−"))
    whole = F.conv2d(taught.picture.colours[None].float(), torch.tensor(layer.weights), None, 2, 1)[0]
    torch.testing.assert_close(numbers(found["maps"]), whole, rtol=1e-5, atol=1e-5)
    row, column = map(int, re.findall(r"\d+", found["place"]))
    assert found["channels"] == pytest.approx(float(whole[0, row, column]))


TYPED = [("1 2 3; 4 5 6; 7 8 9", 2, 3, 1), ("0.5, -1.25", 0, 1, 3), ("1 0 0 0; 0 1 0 0; 0 0 1 0; 0 0 0 -3", 1, 1, 2),
         ("1/9 1/9 1/9; 1/9 1/9 1/9; 1/9 1/9 1/9", 3, 2, 2)]    # kernel, padding, stride, dilation


def test_a_kernel_that_is_typed_and_sliders_that_are_moved_give_pytorchs_map(taught, page, look):
    answers = look(page, f"""{MOVE}
        return {json.dumps(TYPED)}.map(([kernel, padding, stride, dilation]) => {{
            move("typed", kernel, "change");
            move("padding", padding); move("stride", stride); move("dilation", dilation);
            move("position", document.getElementById("position").max);
            return {{ map: values("map"), total: Number(document.getElementById("sum").dataset.total),
                      formula: text("formula"), words: text("kernel-words"),
                      columns: document.getElementById("map").style.getPropertyValue("--columns") }};
        }});
    """)
    for (kernel, padding, stride, dilation), found in zip(TYPED, answers, strict=True):
        weight = torch.tensor([[_number(word) for word in row.replace(",", " ").split()] for row in kernel.split(";")])
        expected = F.conv2d(patch_of(taught)[None], weight[None, None], None, stride, padding, dilation)[0, 0]
        torch.testing.assert_close(numbers(found["map"]).view_as(expected), expected, rtol=1e-5, atol=1e-4)
        assert found["total"] == pytest.approx(float(expected[-1, -1]), rel=1e-5)    # the slider went to the last place
        assert int(found["columns"]) == expected.shape[1]
        assert [int(number) for number in re.findall(r"= (\d+)", found["formula"])][-1] == expected.shape[1]
        assert found["words"].startswith("blur" if "/" in kernel else "A kernel of your own")


def test_what_else_is_moved_is_answered(page, look):
    found = look(page, f"""{MOVE}
        move("count-channels", 3); move("count-filters", 8); move("count-kernel", 5);
        move("edge", 1000); move("units", 1000);
        const dense = Number(document.getElementById("dense-words").dataset.value), words = text("dense-words");
        move("zoom", 4);
        move("typed", "1 2; 3", "change"); const wrong = text("typed-wrong");
        move("typed", "1 x", "change"); const word = text("typed-wrong");
        move("preset", "laplacian", "change");
        const before = text("pooled-words"); move("pooling", "mean", "change");
        move("padding", 0); move("dilation", 3); move("typed", {'; '.join(['1 1 1 1 1'] * 5)!r}, "change");
        return {{ weights: text("count-weights"), shape: text("count-shape"), dense, words, wrong, word, before,
                  after: text("pooled-words"),
                  view: document.getElementById("vector").getAttribute("viewBox").split(" ")[2],
                  small: !document.getElementById("too-small").hidden, nothing: text("formula") }};
    """)
    assert (found["weights"], found["shape"]) == ("600", "8 × 3 × 5 × 5")
    assert found["dense"] == 3 * 1000 * 1000 * 1000 * 4 and found["words"].endswith("3,000,000,000 weights, 12 GB")
    assert found["wrong"] == "This is no kernel: its rows have 2, 1 values, and all need as many."
    assert found["word"] == 'This is no kernel: "x" is no number.' and found["view"] == "4"
    assert "the largest of each 2 × 2 window" in found["before"] and "the mean of each" in found["after"]
    assert found["small"] and "nothing" in found["nothing"]


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_window(page, look, width):
    found = look(page, """
        const wide = [...document.querySelectorAll("main *")].filter((one) => !one.closest(".scroll, pre, svg")
          && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.id || one.className || one.tagName);
        const sizes = [...document.querySelectorAll("#map .cell, #input .cell")].map(
          (one) => parseFloat(getComputedStyle(one).fontSize));
        return { inner: innerWidth, whole: document.documentElement.scrollWidth, wide, font: Math.min(...sizes) };
    """, width)
    assert found["inner"] == width and found["whole"] <= width and found["wide"] == []
    assert found["font"] >= 7    # pixels: digits that can still be read


def test_a_page_fetches_nothing_and_shows_hostile_names_as_text(taught, tmp_path):
    picture = taught.picture
    named = LessonPicture("<img src=x onerror=alert(1)>.png", picture.own_size, picture.colours, picture.gray)
    hostile = about(named, taught.layer, halves=taught.halves, command=["lensmith", "</script><b>"])
    text = write_lesson(convolution_lesson(hostile), tmp_path / "one").read_text()
    assert "<img src=x" not in text and "</script><b>" not in text and text.count("</script>") == 1
    assert not re.findall(r"(?:src|href)=\"(?!data:)[^\"]*\"", text) and not re.search("https?://", text)


def _number(word: str) -> float:
    above, _, below = word.partition("/")
    return float(above) / float(below or 1)
