"""Tables of boxes: whichever names the columns have, pictures without objects, splits, groups and wrong lines."""

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats.tables.table import open_table
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Numbers


def write(folder, text, name="list.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize("header", ["path,x0,y0,x1,y1,label", "filename,XMin,YMin,XMax,YMax,class",
                                    "image,x_min,y_min,x_max,y_max,category", "file,x1,y1,x2,y2,class_name",
                                    "picture,left,top,right,bottom,name"])
def test_columns_go_by_many_names(header, tmp_path, picture):
    for name in "abc":
        picture(f"{name}.png")
    lines = "b.png,1,2,30.5,40,cat\na.png,,,,,\nb.png,5,6,7,8,ant\nc.png,0,0,9,9,cat\n"
    parts = open_table(write(tmp_path, f"{header}\n{lines}"))
    source = parts.splits["all"]
    assert [source.name(i) for i in range(3)] == ["b.png", "a.png", "c.png"]
    boxes = source.targets["boxes"]
    assert isinstance(boxes, Boxes) and source.classes == {"boxes": ("ant", "cat")}
    assert boxes.image.tolist() == [0, 0, 2] and boxes.classes.tolist() == [1, 0, 1]
    assert boxes.corners.tolist() == [[1, 2, 30.5, 40], [5, 6, 7, 8], [0, 0, 9, 9]]
    assert parts.account["kind"] == "boxes" and parts.account["background"] == {"all": 1}


def test_roboflows_columns_of_the_picture_size_are_passed_over(tmp_path, picture):
    picture("a.png")
    found = open_table(write(tmp_path, "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,200,100,cat,1,2,3,4\n"))
    assert found.splits["all"].targets["boxes"].corners.tolist() == [[1, 2, 3, 4]]


def test_splits_groups_crowds_and_classes(tmp_path, picture):
    picture("a.png")
    picture("b.png")
    text = ("path,x0,y0,x1,y1,label,split,group,iscrowd\na.png,1,2,3,4,cat,train,g1,\nb.png,1,2,3,4,dog,val,g2,1\n"
            "a.png,5,6,7,8,dog,train,g1,0\n")
    parts = open_table(write(tmp_path, text), classes=["dog", "cat"])
    assert {split: source.targets["boxes"].classes.tolist() for split, source in parts.splits.items()} == {
        "train": [1, 0], "valid": [0]}
    assert parts.splits["valid"].targets["boxes"].crowd.tolist() == [True]
    assert parts.splits["train"].groups.tolist() == ["g1"] and parts.account["groups"] == "2 groups"


def test_corners_without_a_class_are_numbers_unless_boxes_are_meant(tmp_path, picture):
    picture("a.png")
    picture("b.png")
    file = write(tmp_path, "path,x0,y0,x1,y1\na.png,1,2,3.5,4\nb.png,5,6,7,8\n")
    assert isinstance(open_table(file).splits["all"].targets["numbers"], Numbers)
    source = open_table(file, kind="boxes").splits["all"]
    assert source.classes == {"boxes": ("object",)} and len(source.targets["boxes"].classes) == 2
    labelled = write(tmp_path, "path,x0,y0,x1,y1,label\na.png,1,2,3,4,cat\nb.png,5,6,7,8,dog\n")
    assert set(open_table(labelled, target="label").splits["all"].targets) == {"label"}


@pytest.mark.parametrize(("text", "said"), [
    ("path,x0,y0,x1,y1,label\na.png,1,2,x,4,cat\n", r"line 2: column 'x1' holds 'x', which is no number; leave all"),
    ("path,x0,y0,x1,y1,label\na.png,1,2,,4,cat\n", r"line 2: column 'x1' holds ''"),
    ("path,x0,y0,x1,y1,label\na.png,1,2,1e309,4,cat\n", r"line 2: the box holds a number that is not finite"),
    ("path,x0,y0,x1,y1,label\na.png,1,2,3,4,\n", r"line 2: the object has no class"),
    ("path,x0,y0,x1,y1,label\na.png,,,,,cat\n", r"line 2: column 'x0' holds ''"),
    ("path,x0,y0,x1,y1,label\na.png,0.1,0.2,0.3,1,cat\n",
     r"no corner is beyond 1, which looks like fractions of the picture"),
    ("path,x0,y0,x1,y1,label\na.png,,,,,\n", r"lists 1 picture to learn from and no object in any"),
    ("path,x0,y0,x1,y1,label,crowd\na.png,1,2,3,4,cat,maybe\n", r"line 2: 'maybe' says neither that the box"),
    ("path,x0,y0,x1,y1,label,split\na.png,1,2,3,4,cat,train\na.png,1,2,3,4,cat,test\n",
     r"line 3: a.png is in split 'test' here and in 'train' above"),
    ("path,x0,y0,x1,y1,label,group\na.png,1,2,3,4,cat,a\na.png,1,2,3,4,cat,b\n",
     r"line 3: a.png is in group 'b' here and in another above"),
    ("thing,x0,y0,x1,y1,label\na,1,2,3,4,cat\n", r"has no column for the pictures"),
    ("path,x0,y0,x1,y1,label\n,1,2,3,4,cat\n", r"line 2: column 'path' is empty")])
def test_a_wrong_line_is_named(text, said, tmp_path, picture):
    picture("a.png")
    with pytest.raises(DataError, match=said):
        open_table(write(tmp_path, text))


def test_boxes_that_are_asked_for_need_their_columns(tmp_path):
    with pytest.raises(DataError, match=r"has no columns for boxes: accepted are x0, y0, x1, y1, or xmin, .*; its "
                                        r"columns are path, label"):
        open_table(write(tmp_path, "path,label\na.png,cat\nb.png,dog\n"), kind="boxes")
