"""What charts say, and that they are whole, quiet and the same each time."""

import base64
import re
import xml.etree.ElementTree as ET
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lensmith.study.report import charts

NASTY = ["<script>alert(1)</script>", "$\\frac$", "a & b", "猫", "]]>-->", "x" * 80, "naïve \"quoted\"",
         "tab\there\n\x1b"]
SVG = "{http://www.w3.org/2000/svg}"


def letters(svg: str) -> list[str]:
    """What is written in a chart, in order; fails where it is not one well-formed SVG element."""
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize(("names", "turned"), [(["cat", "dog"], False), ([f"d{i}" for i in range(10)], False),
                                           (["Egyptian_Mau", "Maine_Coon", "Persian"], True)])
def test_names_below_a_confusion_matrix_are_turned_where_they_would_meet(names: list[str], turned: bool):
    svg = charts.confusion_chart(np.eye(len(names), dtype=int).tolist(), names)
    below = [text for text in ET.fromstring(svg).iter(f"{SVG}text") if text.text in names][1::2]
    assert len(below) == len(names)
    assert all(("rotate" in text.get("transform", "")) == turned for text in below)


def history(epochs: int) -> list[dict[str, float]]:
    return [{"epoch": i, "train/loss": 2 / i, "valid/loss": 2.2 / i, "valid/accuracy_top1": 1 - 0.5 / i}
            for i in range(1, epochs + 1)]


def every_chart(names: list[str]) -> list[str]:
    matrix = (np.eye(len(names), dtype=int) * 50 + 1).tolist()
    return [charts.curves(history(4), score="accuracy_top1", best=3), charts.confusion_chart(matrix, names),
            charts.scatter({name: [[1.0, 2.0], [2.0, 2.5]] for name in names}),
            charts.counts({"train": dict.fromkeys(names, 90), "test": dict.fromkeys(names, 9)})]


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert every_chart(["cat", "dog"]) == every_chart(["cat", "dog"])


def test_charts_hold_no_time_no_script_and_nothing_to_fetch() -> None:
    for svg in every_chart(NASTY):
        assert "<script" not in svg and "dc:date" not in svg and not re.search(r"20\d\d-\d\d-\d\d", svg)
        assert not re.search(r'(?:href|src)="(?!#|data:)', svg) and "@import" not in svg
        assert svg.startswith("<svg") and "<!DOCTYPE" not in svg


def test_strangers_names_are_text_and_nothing_else() -> None:
    written = letters(charts.confusion_chart((np.eye(len(NASTY), dtype=int)).tolist(), NASTY))
    for name in NASTY:
        short = {"tab\there\n\x1b": "tab�here��"}.get(name, name if len(name) <= 22 else name[:21] + "…")
        assert sum(text.strip() == short for text in written) == 2, name    # beside the rows and under the columns


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=2, max_size=3, unique=True))
@settings(deadline=None, max_examples=15)
def test_any_name_can_be_drawn(names: list[str]) -> None:
    svg = charts.confusion_chart(np.eye(len(names), dtype=int).tolist(), names)
    assert svg.count("<svg") == svg.count("</svg>") == 1 and "predicted" in svg


def test_ids_of_different_charts_do_not_meet() -> None:
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in every_chart(["cat", "dog"])]
    assert all(ids) and len(set().union(*ids)) == sum(map(len, ids))
    for svg in every_chart(["cat", "dog"]):
        own = set(re.findall(r'\bid="([^"]+)"', svg))
        assert set(re.findall(r'url\(#([^)]+)\)', svg)) | set(re.findall(r'href="#([^"]+)"', svg)) <= own


def test_ink_follows_the_page() -> None:
    for svg in every_chart(["cat", "dog"]):
        assert "currentColor" in svg and "#123457" not in svg


def test_curves_say_what_they_show() -> None:
    written = letters(charts.curves(history(5), score="accuracy_top1", best=3))
    assert {"loss", "train", "valid", "accuracy_top1 (valid)", "epoch"} <= set(written)
    assert any("best: epoch 3" in text for text in written)


def test_curves_draw_each_epoch_of_each_series() -> None:
    root = ET.fromstring(charts.curves(history(5), score="accuracy_top1", best=3))
    paths = [path.get("d") for path in root.iter(f"{SVG}path") if path.get("stroke") in (charts.BLUE, charts.ORANGE)]
    assert [len(re.findall(r"[ML]", path)) for path in paths] == [5, 5, 5]    # train, valid, score


def test_a_higher_number_stands_higher() -> None:
    """The lines of falling losses run down, which is up in the numbers of SVG; a gap stays a gap."""
    rows = [{"epoch": 1, "train/loss": 3.0}, {"epoch": 2, "train/loss": 2.0}, {"epoch": 3, "train/loss": float("nan")},
            {"epoch": 4, "train/loss": 1.0}]
    root = ET.fromstring(charts.curves(rows))
    path = next(path.get("d") for path in root.iter(f"{SVG}path") if path.get("stroke") == charts.BLUE)
    points = re.findall(r"([ML])([\d.]+) ([\d.]+)", path)
    assert [move for move, _, _ in points] == ["M", "L", "M"]
    (x1, y1), (x2, y2), (x4, y4) = [(float(x), float(y)) for _, x, y in points]
    assert x4 - x1 == pytest.approx(3 * (x2 - x1), abs=0.03) and y4 - y1 == pytest.approx(2 * (y2 - y1), abs=0.03)
    assert y1 < y2 < y4


def test_the_cells_of_a_confusion_matrix_have_the_depth_of_their_share() -> None:
    svg = charts.confusion_chart([[75, 25], [0, 4]], ["a", "b"])
    with Image.open(BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", svg)[1]))) as picture:
        cells = np.asarray(picture.convert("RGBA"))
    assert cells.shape == (2, 2, 4)
    assert cells[..., 3].tolist() == [[round(255 * 0.75**0.5), round(255 * 0.5)], [0, 255]]
    assert cells[0, 0, :3].tolist() == [0, 0x72, 0xB2] and cells[0, 1, :3].tolist() == [0xE0, 0x7A, 0]


@pytest.mark.parametrize(("rows", "present", "absent"), [
    (history(1), {"train", "valid"}, set()),
    ([{"epoch": 1, "train/loss": 1.0}], {"train"}, {"valid", "accuracy_top1 (valid)"}),
    ([{"epoch": 1, "train/loss": float("nan")}, {"epoch": 2, "train/loss": 1.0}], {"train"}, {"valid"}),
])
def test_curves_leave_out_what_was_not_measured(rows: list[dict[str, float]], present: set[str],
                                                absent: set[str]) -> None:
    written = set(letters(charts.curves(rows, score="accuracy_top1", best=None)))
    assert present <= written and not absent & written


def test_no_chart_is_made_of_nothing() -> None:
    assert charts.curves([]) == charts.scatter({}) == charts.counts({}) == charts.counts({"train": {}}) == ""


@pytest.mark.parametrize("classes", [2, 10, 20])
def test_small_confusion_matrices_hold_their_numbers(classes: int) -> None:
    matrix = np.arange(classes**2).reshape(classes, classes) + 1000
    written = letters(charts.confusion_chart(matrix.tolist(), [f"c{i}" for i in range(classes)]))
    assert {str(number) for number in matrix.ravel()} <= set(written)
    assert {"truth", "predicted", "c0", f"c{classes - 1}"} <= set(written)


def test_large_confusion_matrices_hold_names_but_no_numbers() -> None:
    matrix = (np.eye(100, dtype=int) * 777).tolist()
    written = letters(charts.confusion_chart(matrix, [f"c{i}" for i in range(100)]))
    assert {f"c{i}" for i in range(100)} <= set(written) and "777" not in written
    huge = letters(charts.confusion_chart((np.eye(300, dtype=int)).tolist(), [f"c{i}" for i in range(300)]))
    assert len(huge) < 70 and "1" in huge


def test_large_counts_are_written_short() -> None:
    written = letters(charts.confusion_chart([[12345, 9999], [3_000_000, 0]], ["a", "b"]))
    assert {"12k", "9999", "3M"} <= set(written)


def test_a_class_without_pictures_does_not_divide_by_zero() -> None:
    assert "5" in letters(charts.confusion_chart([[5, 0], [0, 0]], ["a", "b"]))


def test_only_what_fits_is_drawn_of_the_counts() -> None:
    assert charts.counts({"train": {f"c{i}": 1 for i in range(61)}}) == ""
    assert {"train", "valid", "test"} <= set(letters(charts.counts(
        {split: {"cat": 1, "dog": 2} for split in ("train", "valid", "test")})))


def test_a_scatter_that_is_not_finite_is_drawn_as_far_as_it_is() -> None:
    assert "price" in letters(charts.scatter({"price": [[1.0, float("nan")], [2.0, float("inf")]]}))
