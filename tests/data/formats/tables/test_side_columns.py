"""Boxes in columns of a corner or the middle and the sides; masks as run lengths; pixels in a table."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError, Question, UserError
from lensmith.data.formats.tables.table import open_table


def table(folder: Path, picture, header: str, *rows: str) -> str:
    for i in range(len(rows)):
        picture(f"{i}.png")
    (folder / "t.csv").write_text("\n".join([f"image,{header}", *(f"{i}.png,{row}" for i, row in enumerate(rows))]))
    return str(folder / "t.csv")


def corners(opened) -> list[list[float]]:
    return opened.splits["all"].targets["boxes"].corners.tolist()


@pytest.mark.parametrize(("header", "row", "expected"), [
    ("left,top,width,height,class", "10,20,30,40,a", [10, 20, 40, 60]),
    ("xmin,ymin,width,height,class", "10,20,30,40,a", [10, 20, 40, 60]),
    ("x_center,y_center,width,height,class", "50,40,20,10,a", [40, 35, 60, 45]),
    ("cx,cy,w,h,class", "0.5,0.5,0.2,0.4,a", [80, 30, 120, 70]),
    ("width,height,class,xmin,ymin,xmax,ymax", "200,100,a,10,20,30,40", [10, 20, 30, 40])])
def test_names_that_say_what_they_are(header: str, row: str, expected: list[float], tmp_path: Path, picture):
    opened = open_table(table(tmp_path, picture, header, row, row))
    assert corners(opened)[0] == pytest.approx(expected, abs=1e-4)


def test_x_and_y_may_be_the_middle_or_a_corner(tmp_path: Path, picture):
    file = table(tmp_path, picture, "x,y,width,height,class", "50,40,20,10,a", "50,40,20,10,b", ",,,,")
    with pytest.raises(Question, match="do not say whether x and y are a corner or the middle") as told:
        open_table(file)
    assert [answer.settings for answer in told.value.answers] == [
        ("data.bbox=xywh",), ("data.bbox=centre",), ("data.target=class",)]
    assert corners(open_table(file, bbox="xywh"))[0] == [50, 40, 70, 50]
    assert corners(open_table(file, bbox="centre"))[0] == [40, 35, 60, 45]
    assert list(open_table(file, target="class").splits["all"].targets) == ["label"]


def test_what_is_no_number_is_named_with_its_line(tmp_path: Path, picture):
    file = table(tmp_path, picture, "left,top,width,height,class", "1,2,3,4,a", "1,2,wide,4,a")
    with pytest.raises(DataError, match=r"t\.csv, line 3: the columns left, top, width, height of a box hold"):
        open_table(file)
    with pytest.raises(UserError, match="data.bbox=xywh is for a column of boxes"):
        open_table(table(tmp_path, picture, "class", "a", "b"), bbox="xywh")


def test_masks_as_run_lengths_are_named(tmp_path: Path, picture):
    file = table(tmp_path, picture, "ClassId,EncodedPixels", "1,3 5 9 2", "2,", "1,3 5")
    with pytest.raises(Question, match="column 'EncodedPixels' of .* holds masks as run lengths, which are no") as told:
        open_table(file)
    assert [answer.settings for answer in told.value.answers] == [("data.target=ClassId",)]
    assert open_table(file, target="ClassId").splits["all"].classes == {"label": ("1", "2")}
    with pytest.raises(DataError, match="write each as a PNG in a folder masks/ to learn them"):
        open_table(table(tmp_path, picture, "rle_mask", "3 5 9 2", "1 1"))


@pytest.mark.parametrize("header", ["emotion,pixels", "label,pixel0,pixel1"])
def test_values_of_pixels_are_named(header: str, tmp_path: Path):
    (tmp_path / "t.csv").write_text(f"{header}\n" + ",".join("1" for _ in header.split(",")) + "\n")
    with pytest.raises(DataError, match=r"t\.csv holds the values of pixels \(\d columns?, as 'pixels?0?'\)"):
        open_table(str(tmp_path / "t.csv"))


def test_an_identifier_of_several_pictures_is_no_target(tmp_path: Path, picture):
    file = table(tmp_path, picture, "lesion_id,dx", *(f"L{i // 2},{'ab'[i % 2]}" for i in range(12)))
    opened = open_table(file)
    assert list(opened.splits["all"].targets) == ["label"]
    assert "'lesion_id' (an identifier, 6 in 12 lines; called group it keeps" in opened.account["notes"][0]
