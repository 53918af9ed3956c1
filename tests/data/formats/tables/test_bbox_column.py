"""Tables whose boxes stand in one column: what the four numbers are is certain, or asked."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError, Question
from lensmith.data.formats.tables.bbox_column import with_corners
from lensmith.data.formats.tables.read_table import read_rows
from lensmith.data.formats.tables.table import open_table


def table(folder: Path, *cells: str, header: str = "path,width,height,bbox", before: str = "a.png,100,80") -> Path:
    file = folder / "t.csv"
    file.write_text("\n".join([header, *(f'{before},"{cell}"' for cell in cells)]) + "\n")
    return file


@pytest.mark.parametrize(("cells", "form", "corners", "because"), [
    # A size is smaller than a corner: no corner can be.
    (["[60.0, 50.0, 20.0, 10.0]", "[0, 0, 30, 40]"], None, [["60", "50", "80", "60"], ["0", "0", "30", "40"]],
     "the boxes in 'bbox' are x, y, width, height (of 1 the third number is below the first or the fourth below the "
     "second)"),
    # As a corner and a size a box would leave the picture of 100 x 80.
    (["(60, 50, 80, 70)", "1 2 3 4"], None, [["60", "50", "80", "70"], ["1", "2", "3", "4"]],
     "the boxes in 'bbox' are x0, y0, x1, y1 (1 would leave their pictures as x, y, width, height)"),
    (["1;2;3;4.5", "nan", "[]", ""], "xywh", [["1", "2", "4", "6.5"], [""] * 4, [""] * 4, [""] * 4], "(data.bbox)"),
    (["1,2,3,4"], "corners", [["1", "2", "3", "4"]], "x0, y0, x1, y1 (data.bbox)"),
])
def test_boxes_become_corners(cells, form, corners, because, tmp_path):
    rows, words = with_corners(read_rows(table(tmp_path, *cells), None), form)
    assert rows.header == ["path", "width", "height", "x0", "y0", "x1", "y1"]
    assert [row[3:] for row in rows.cells] == corners and words.endswith(because)


def test_where_both_can_be_the_user_is_asked(tmp_path):
    file = table(tmp_path, "[1, 2, 30, 40]", "[5, 5, 6, 7]")
    with pytest.raises(Question) as asked:
        open_table(str(file))
    assert str(asked.value) == (
        f"the boxes in column 'bbox' of {file} can be x, y, width, height as well as x0, y0, x1, y1: `lensmith train "
        f"{file} data.bbox=xywh` takes them for x, y, width, height; `lensmith train {file} data.bbox=corners` takes "
        "them for x0, y0, x1, y1")


def test_what_is_no_box_is_named(tmp_path):
    with pytest.raises(DataError, match=r"t.csv, line 4: column 'bbox' holds '\[1, 2, 3\]', which is no box: four"):
        with_corners(read_rows(table(tmp_path, "[9, 2, 3, 4]", "1 2 3 4", "[1, 2, 3]"), None), None)
    rows = read_rows(table(tmp_path, "cat", "dog"), None)    # a column of that name with something else in it
    assert with_corners(rows, None) == (rows, "")
    assert with_corners(rows, "xywh") == (rows, "")    # open_table refuses the setting


def test_the_set_of_global_wheat(tmp_path, picture, command):
    """Many rows a picture, its size, no class, and a farm that is none."""
    for name in ("b6ab", "2fd1"):
        picture(f"train/{name}.jpg", width=100, height=80)
    file = tmp_path / "train.csv"
    file.write_text('image_id,width,height,bbox,source\nb6ab,100,80,"[83.0, 22.0, 56.0, 36.0]",usask_1\n'
                    'b6ab,100,80,"[22.0, 54.0, 17.0, 16.0]",usask_1\n2fd1,100,80,"[36.0, 7.0, 20.0, 30.0]",arvalis_1\n')
    parts = open_table(str(file), pictures="train/{image_id}.jpg")
    source = parts.splits["all"]
    assert source.classes == {"boxes": ("object",)} and len(source) == 2
    assert source.targets["boxes"].corners.tolist() == [[83, 22, 100, 58], [22, 54, 39, 70], [36, 7, 56, 37]]
    assert parts.account["clipped"]["large"]["count"] == 1 and "not used: " in parts.account["notes"][0]
    shown = command("data", "show", file, "data.pictures=train/{image_id}.jpg", "split.valid=0",
                    "split.test=0")
    assert shown.code == 0 and "the boxes in 'bbox' are x, y, width, height (of 3 the third number is" in shown.out
    one_each = tmp_path / "one.csv"
    one_each.write_text('path,bbox\ntrain/b6ab.jpg,"[83, 22, 5, 6]"\ntrain/2fd1.jpg,"[3, 2, 5, 6]"\n')
    assert list(open_table(str(one_each)).splits["all"].targets) == ["boxes"]    # and no numbers
