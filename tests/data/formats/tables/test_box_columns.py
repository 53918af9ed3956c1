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
    ("path,x0,y0,x1,y1,label\na.png,0,0,1,1,cat\n",
     r"no corner is beyond 1 and all are whole: neither pixels nor fractions of a picture can be meant"),
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


def test_corners_of_which_none_is_beyond_1_are_fractions_of_each_picture(tmp_path, picture):
    picture("a.png", width=40, height=20)
    picture("b.png", width=10, height=100)
    parts = open_table(write(tmp_path, "path,x0,y0,x1,y1,label\na.png,0.1,0.2,0.5,1,cat\nb.png,0,0,0.5,0.5,dog\n"))
    assert parts.splits["all"].targets["boxes"].corners.tolist() == [pytest.approx([4, 4, 20, 20]), [0, 0, 5, 50]]
    assert "no corner is beyond 1: they are fractions of the picture" in parts.account["notes"]


OPEN_IMAGES = ("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf\n"
               "000a,xclick,/m/01g317,1,0.25,0.75,0.5,1.0,0,0,0\n000a,xclick,/m/0k4j,1,0.0,0.5,0.0,0.5,1,0,1\n"
               "000b,xclick,/m/0k4j,1,0.1,0.2,0.3,0.4,0,-1,-1\n")


def test_the_tables_of_open_images(tmp_path, picture):
    """Corners in fractions, in another order, classes by codes, groups as crowds; pictures are named by an id."""
    for name in ("000a", "000b"):
        picture(f"train/{name}.jpg", width=40, height=20)
    file = write(tmp_path, OPEN_IMAGES, "train-annotations-bbox.csv")
    with pytest.raises(DataError, match=r"train/000[ab].jpg is: `lensmith train \S+ data.name=table "
                                        r"'data.pictures=train/\{ImageID\}.jpg'` takes those in train"):
        open_table(file)
    parts = open_table(file, pictures="train/{ImageID}.jpg")
    source = parts.splits["all"]
    boxes = source.targets["boxes"]
    assert source.classes == {"boxes": ("/m/01g317", "/m/0k4j")} and len(source) == 2
    assert boxes.corners.tolist() == [[10, 10, 30, 20], [0, 0, 20, 10], pytest.approx([4, 6, 8, 8])]
    assert boxes.classes.tolist() == [0, 1, 1] and boxes.crowd.tolist() == [False, True, False]
    assert "'IsTruncated'" in parts.account["notes"][0] and "IsGroupOf" not in parts.account["notes"][0]
    names = write(tmp_path, 'LabelName,DisplayName\n/m/01g317,Person\n/m/0k4j,"Car, fast"\n',
                  "oidv7-class-descriptions-boxable.csv")
    parts = open_table(file, pictures="train/{ImageID}.jpg")
    assert parts.splits["all"].classes == {"boxes": ("Car, fast", "Person")}
    assert f"the classes are called as in {names}" in parts.account["notes"]
    write(tmp_path, "/m/01g317,Person\n", "oidv7-class-descriptions-boxable.csv")
    with pytest.raises(DataError, match=r"does not name the class '/m/0k4j': add it, or move the file away"):
        open_table(file, pictures="train/{ImageID}.jpg")
