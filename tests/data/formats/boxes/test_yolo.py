"""YOLO sets: every way in which a data.yaml names its parts, every layout without one, and every line that is wrong."""

import os
import sys
from pathlib import Path

import pytest
import torch

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.boxes.yolo import yolo

GIVEN = os.environ.get("LENSMITH_DATA", "")


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)


def opened(folder: Path, **settings):
    parts = yolo(str(folder), **settings)
    return {split: [(source.name(i), [source.classes["boxes"][c] for c in source.targets["boxes"][i].classes],
                     source.targets["boxes"][i].corners.tolist()) for i in range(len(source))]
            for split, source in parts.splits.items()}, parts.account


BOX = "0 0.5 0.5 0.2 0.4\n"    # of 200 x 100 pixels: 80 30 120 70
CORNERS = pytest.approx([80, 30, 120, 70], abs=1e-5)


@pytest.mark.parametrize("names", ["names: [cat, 'no']\nnc: 2", "names:\n- cat\n- no", "names:\n  0: cat\n  1: no",
                                   "names: {1: no, 0: \"cat\"}  # a map"])
@pytest.mark.parametrize("places", [
    "train: images/train\nval: images/val", "path: .\ntrain: [images/train]\nval: ./images/val/",
    "path: /nowhere/at/all\ntrain: images/train\nvalid: images/val",
    "train: ../images/train\nval: ../images/val", "path: ../data\ntrain: train.txt\nval:\n  - images/val"])
def test_the_parts_and_names_of_a_description(names, places, tmp_path, picture):
    picture("data/images/train/a.png")
    picture("data/images/val/deep/b.png")
    write(tmp_path / "data", {"data.yaml": f"{places}\n{names}\n", "labels/train/a.txt": BOX,
                              "labels/val/deep/b.txt": BOX.replace("0 ", "1 ", 1),
                              "train.txt": "./images/train/a.png\n"})
    found, account = opened(tmp_path / "data")
    assert found == {"train": [("images/train/a.png", ["cat"], [CORNERS])],
                     "valid": [("images/val/deep/b.png", ["no"], [CORNERS])]}
    assert account["config"] == str(tmp_path / "data" / "data.yaml") and account["boxes"] == {"train": 1, "valid": 1}
    assert opened(tmp_path / "data" / "data.yaml")[0] == found


@pytest.mark.parametrize(("pictures", "labels", "splits"), [
    (["images/a.png"], ["labels/a.txt"], {"all": 1}),
    (["a.png"], ["a.txt"], {"all": 1}),
    (["train/a.png", "valid/b.png"], ["train/a.txt", "valid/b.txt"], {"train": 1, "valid": 1}),
    (["train/images/a.png", "test/images/b.png"], ["train/labels/a.txt", "test/labels/b.txt"], {"train": 1, "test": 1}),
    (["images/train2017/a.png", "images/val2017/b.png"], ["labels/train2017/a.txt"], {"train": 1, "valid": 1}),
    (["images/train/a.png"], ["labels/train/a.txt"], {"train": 1})])
def test_layouts_without_a_description(pictures, labels, splits, tmp_path, picture):
    for name in pictures:
        picture(name)
    write(tmp_path, dict.fromkeys(labels, BOX) | {"classes.txt": "cat\ndog\n"})
    found, account = opened(tmp_path)
    assert {split: len(rows) for split, rows in found.items()} == splits
    assert next(iter(found.values()))[0][1:] == (["cat"], [CORNERS])
    assert account["labels_without_picture"]["count"] == 0


def test_windows_lines_marks_spaces_polygons_and_empty_files(tmp_path, picture):
    for name in "abc":
        picture(f"images/{name}.png")
    polygon = b"  1.0\t0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6\r\n"
    write(tmp_path, {"labels/a.txt": b"\xef\xbb\xbf0 0.5 0.5 0.2 0.4  \r\n\r\n" + polygon, "labels/b.txt": ""})
    found, account = opened(tmp_path)
    assert found["all"] == [("images/a.png", ["0", "1"], [CORNERS, pytest.approx([20, 20, 60, 60], abs=1e-5)]),
                            ("images/b.png", [], []), ("images/c.png", [], [])]
    assert account["unlabelled"] == {"count": 1, "taken_as": "empty", "pictures": ["images/c.png"]}
    assert account["background"] == {"all": 2} and account["class_numbers"] == [0, 1]


def test_a_picture_without_label_is_empty_left_or_refused_and_a_label_without_picture_counted(tmp_path, picture):
    picture("images/a.png")
    picture("images/b.png")
    write(tmp_path, {"labels/a.txt": BOX, "labels/gone.txt": BOX})
    assert [row[0] for row in opened(tmp_path)[0]["all"]] == ["images/a.png", "images/b.png"]
    found, account = opened(tmp_path, unlabelled="leave")
    assert [row[0] for row in found["all"]] == ["images/a.png"]
    assert account["labels_without_picture"] == {"count": 1, "files": ["labels/gone.txt"]}
    with pytest.raises(DataError, match=r"1 picture without label file: .*/b.png. Label them, or say data.unlabelled"):
        yolo(str(tmp_path), unlabelled="refuse")


def test_numbers_with_gaps_and_classes_that_are_given(tmp_path, picture):
    picture("images/train/a.png")
    write(tmp_path, {"data.yaml": "train: images/train\nnames: {3: cat, 7: dog}\n",
                     "labels/train/a.txt": "7" + BOX[1:]})
    found, account = opened(tmp_path)
    assert found["train"][0][1] == ["dog"] and account["class_numbers"] == [3, 7]
    assert opened(tmp_path, classes=["Katze", "Hund"])[0]["train"][0][1] == ["Hund"]
    with pytest.raises(UserError, match=r"data.classes has 1 name, but .*data.yaml has 2: the numbers in the label"):
        yolo(str(tmp_path), classes=["one"])
    with pytest.raises(UserError, match=r"data.classes=\['a', 'a'\] must hold at least one name"):
        yolo(str(tmp_path), classes=["a", "a"])


def test_a_file_that_stands_for_a_link_is_followed(tmp_path, picture):
    picture("pictures/train/a.png")
    write(tmp_path, {"set/data.yaml": "train: images/train\nnames: [cat]\n", "set/images": "../pictures",
                     "set/labels/train/a.txt": BOX, "plain/images": "../set/images", "plain/labels/train/a.txt": BOX})
    assert opened(tmp_path / "set")[0] == {"train": [("a.png", ["cat"], [CORNERS])]}
    assert opened(tmp_path / "plain")[0] == {"train": [("a.png", ["0"], [CORNERS])]}    # a link to a link
    write(tmp_path, {"loop/data.yaml": "train: images/train\nnames: [cat]\n", "loop/images": "../loop/images"})
    with pytest.raises(DataError, match=r"loop/data.yaml: train: images/train was not found: there is no"):
        yolo(str(tmp_path / "loop"))


@pytest.mark.parametrize(("line", "text"), [
    ("0 0.5 0.5 0.2 0.4 0.9", r"6 columns; accepted are 5 .*; is the sixth a confidence\? Take it off"),
    ("0 0.5 0.5 0.2", r"4 columns; accepted are 5 \(class x y width height\) or a class and the points of a polygon"),
    ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", r"8 columns"),
    ("3 0.5 0.5 0.2 0.4", r"class 3 is not one of the 2 that .*data.yaml names \(0 to 1\)"),
    ("-1 0.5 0.5 0.2 0.4", r"'-1' is no class: a whole number from 0 up"),
    ("cat 0.5 0.5 0.2 0.4", r"'cat' is no class"),
    ("1.5 0.5 0.5 0.2 0.4", r"'1.5' is no class"),
    ("0 0.5 nan 0.2 0.4", r"the box holds a number that is not finite"),
    ("0 0.5 0,5 0.2 0.4", r"cannot be read as numbers \(could not convert string to float: '0,5'\)"),
    ("0 120 80 40 20", r"120 looks like pixels: fractions of the picture's width and height, 0 to 1, are expected"),
    ("0 0.5 inf 0.2 0.4", r"inf looks like pixels")])
def test_a_wrong_line_is_named(line, text, tmp_path, picture):
    picture("images/train/a.png")
    write(tmp_path, {"data.yaml": "train: images/train\nnames: [cat, dog]\n", "labels/train/a.txt": f"\n{BOX}{line}\n"})
    with pytest.raises(DataError, match=rf"labels/train/a.txt, line 3: {text}"):
        yolo(str(tmp_path))


@pytest.mark.parametrize(("config", "text"), [
    ("train: images/tain\nnames: [cat]", r"data.yaml: train: images/tain was not found: there is no .*/images/tain$"),
    ("val: \ntrain:\nnames: [cat]", r"names no train: a folder of pictures or a .txt file"),
    ("train: images/train\nnames: [cat]\nnc: 3", r"nc says 3 and names holds 1 classes: mend one of them"),
    ("train: images/train\nnames: [cat, cat]", r"names two classes 'cat': rename one"),
    ("train: images/train\nnames: [cat, '']", r"class 1 is called '', which is no name"),
    ("train: images/train\nnames: {a: cat}", r"names: 'a' is no class number"),
    ("train: images/train\nnames: cat", r"names is neither a list, as \[cat, dog\], nor a map"),
    ("train: {a: b}\nnames: [cat]", r"train is neither a folder, a .txt file of pictures nor a list"),
    ("train: [images/train\nnames: [cat]", r"data.yaml, line \d: is not YAML"),
    ("train: wrong.txt\nnames: [cat]", r"wrong.txt, line 2: 'hello' is no picture: each line is expected to name one"),
    ("train: images/empty\nnames: [cat]", r"holds no picture to learn from"),
    ("train: images/bare\nnames: [cat]", r"lists 1 picture to learn from and no object in any: there is nothing to")])
def test_a_wrong_description_is_explained(config, text, tmp_path, picture):
    picture("images/train/a.png")
    picture("images/bare/a.png")
    (tmp_path / "images" / "empty").mkdir()
    write(tmp_path, {"data.yaml": config, "labels/train/a.txt": BOX, "wrong.txt": "images/train/a.png\nhello\n"})
    with pytest.raises(DataError, match=text):
        yolo(str(tmp_path / "data.yaml"))


def test_what_is_no_set_is_named(tmp_path, picture):
    with pytest.raises(DataError, match=r"bats does not exist. Did you mean 'cats'\?"):
        (tmp_path / "cats").mkdir()
        yolo(str(tmp_path / "bats"))
    picture("cats/a.png")
    with pytest.raises(DataError, match=r"cats holds 1 picture and no label file of YOLO's: accepted are a data.yaml"):
        yolo(str(tmp_path / "cats"))
    with pytest.raises(DataError, match=r"a.png is a file and no .yaml"):
        yolo(str(tmp_path / "cats" / "a.png"))
    write(tmp_path, {f"cats/{name}.yaml": "names: [a]\ntrain: b\n" for name in "xy"})
    with pytest.raises(DataError, match=r"holds several descriptions of a set, x.yaml, y.yaml: give the one"):
        yolo(str(tmp_path / "cats"))
    write(tmp_path, {"bad/a.txt": b"\xff\xfe0 0 0", "bad/data.yaml": "names: [a]\ntrain: .\n"})
    picture("bad/a.png")
    with pytest.raises(DataError, match=r"a.txt is not UTF-8 text \(byte 0\)"):
        yolo(str(tmp_path / "bad"))


def test_without_a_yaml_library_it_says_which_extra_brings_it(tmp_path, monkeypatch):
    write(tmp_path, {"data.yaml": "names: [a]\ntrain: b\n"})
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(DataError, match=r"takes PyYAML: pip install pyyaml, or give the folder above"):
        yolo(str(tmp_path))


@pytest.mark.skipif(not GIVEN, reason="LENSMITH_DATA is not set: no coco128")
def test_coco128():
    folder = Path(GIVEN) / "coco128"
    parts = yolo(str(folder / "object_detection"))
    lines = {split: sum(len(Path(file).read_text().split("\n")) - 1
                        for file in (folder / "object_detection" / "labels" / name).glob("*.txt")
                        if (folder / "images" / name / f"{file.stem}.jpg").is_file())
             for split, name in (("train", "train2017"), ("valid", "val2017"))}
    assert parts.account["boxes"] == lines and parts.account["pictures"] == {"train": 128, "valid": 128}
    assert len(parts.splits["train"].classes["boxes"]) == 80 and parts.splits["train"].name(0).startswith("train2017/")
    polygons = yolo(str(folder / "instance_segmentation"))
    assert polygons.splits["train"].classes == parts.splits["train"].classes
    # Two independent annotations of one picture: each object's box is around its polygon.
    boxes, around = (one.splits["train"].targets["boxes"][0] for one in (parts, polygons))
    order = [torch.argsort(one.corners[:, 0] + 1000 * one.classes) for one in (boxes, around)]
    assert torch.equal(boxes.classes[order[0]], around.classes[order[1]])
    assert (boxes.corners[order[0]] - around.corners[order[1]]).abs().max() < 3


def test_labels_of_poses_give_their_boxes(tmp_path, picture):
    picture("images/a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("train: images\nkpt_shape: [2, 3]\nnames: [red]\n")
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .2 .4 .1 .2 2 .9 .9 1\n0 .2 .2 .1 .1\n")
    parts = yolo(str(tmp_path))
    assert parts.splits["train"].targets["boxes"].corners.tolist() == [
        pytest.approx([80, 30, 120, 70]), pytest.approx([30, 15, 50, 25])]
    assert "are not learned: the boxes of the poses are" in parts.account["notes"][0]
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .2 .4 .1 .2 .9 .9\n")
    with pytest.raises(DataError, match=r"a.txt, line 1: 9 columns, and kpt_shape of the data.yaml asks for 11: class"):
        yolo(str(tmp_path))
    for shape in ("3", "[2]", "[0, 3]", "[a, 3]"):
        (tmp_path / "data.yaml").write_text(f"train: images\nkpt_shape: {shape}\nnames: [red]\n")
        with pytest.raises(DataError, match=r"is no shape of keypoints: their number and the numbers of each"):
            yolo(str(tmp_path))
