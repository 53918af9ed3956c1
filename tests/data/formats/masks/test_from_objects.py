"""Polygons of YOLO and shapes of COCO as masks: classes, ground, crowds, and what is said of files that cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.boxes.coco import coco
from lensmith.data.formats.masks.from_objects import coco_outlines, with_background, yolo_outlines
from lensmith.data.formats.masks.semantic_masks import labelled_pixels
from lensmith.data.sources.findings import findings

LEFT = "0 0 0.5 0 0.5 1 0 1"             # of the picture, in shares
BELOW = [0, 5, 20, 5, 20, 10, 0, 10]     # of a picture of 20 x 10, in pixels


def yolo_set(folder: Path, picture, labels: dict[str, str], names: str = "names: {2: cat, 5: dog}\n") -> None:
    (folder / "labels").mkdir(exist_ok=True)
    for name in ("a", "b"):
        picture(f"images/{name}.png", width=20, height=10)
    for name, text in labels.items():
        (folder / "labels" / f"{name}.txt").write_text(text)
    if names:
        (folder / "data.yaml").write_text(f"train: images\n{names}")


def coco_file(folder: Path, picture, annotations: list[dict], categories: list[dict] | None = None) -> Path:
    for name in ("a", "b"):
        picture(f"images/{name}.png", width=20, height=10)
    images = [{"id": i, "file_name": f"{name}.png", "width": 20, "height": 10} for i, name in enumerate("ab", 1)]
    categories = categories or [{"id": 17, "name": "cat"}, {"id": 3, "name": "car"}]
    file = folder / "set.json"
    file.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    return file


def test_polygons_of_yolo_lie_on_a_ground(tmp_path, picture):
    yolo_set(tmp_path, picture, {"a": f"2 {LEFT}\n\n5 0.25 0.5 1 0.5 1 1 0.25 1\n"})
    found = yolo_outlines(tmp_path, None, "leave")
    assert found.names == ("background", "cat", "dog")
    part = found.splits["train"]
    assert [path.name for path in part.paths] == ["a.png"]
    mask = part.masks[0].read((10, 20))
    assert (mask[:5, :10] == 1).all() and (mask[:5, 10:] == 0).all()
    assert (mask[5:, :5] == 1).all() and (mask[5:, 5:] == 2).all()    # the later one over the earlier
    assert found.account["objects"] == {"train": 2}
    assert found.account["unlabelled"] == {"count": 1, "taken_as": "leave", "pictures": ["images/b.png"]}
    shown = yolo_outlines(tmp_path, None, "empty").splits["train"]
    assert [path.name for path in shown.paths] == ["a.png", "b.png"] and not shown.masks[1].read((10, 20)).any()
    with pytest.raises(DataError, match=r"^1 picture without label file: .*images/b.png. Label them, or say"):
        yolo_outlines(tmp_path, None, "refuse")


def test_classes_of_yolo_without_names_are_numbers(tmp_path, picture):
    yolo_set(tmp_path, picture, {"a": f"1 {LEFT}\n"}, names="")
    assert yolo_outlines(tmp_path, None, "leave").names == ("background", "0", "1")
    assert yolo_outlines(tmp_path, ("cat", "dog"), "leave").names == ("background", "cat", "dog")


def test_a_class_called_background_is_the_ground(tmp_path, picture):
    assert with_background(["cat"]) == ("background", "cat")
    assert with_background(["cat", "background"]) == ("cat", "background")
    yolo_set(tmp_path, picture, {"a": f"0 {LEFT}\n"}, names="names: [cat, background]\n")
    found = yolo_outlines(tmp_path, None, "leave")
    assert found.names == ("cat", "background")
    assert found.splits["train"].masks[0].read((10, 20))[0].tolist() == [0] * 10 + [1] * 10


@pytest.mark.parametrize(("line", "said"), [
    (f"7 {LEFT}", r"class 7 is not one of the 2 that .*data.yaml names \(2 to 5\)$"),
    ("2 0.5 0.5 0.2 0.2", "a box, and the points of a polygon are expected: boxes are learned with data.name=yolo$"),
    ("2 0.1 0.1 0.5 0.5 0.2", r"6 columns; accepted are 5 \(class x y width height\) or a class and the points"),
    ("2 10 10 100 10 100 100", "10 looks like pixels: fractions of the picture's width and height"),
    ("2 nan 0 0.5 0 0.5 1", "the polygon holds nan, which is no place in a picture$")])
def test_lines_of_yolo_that_cannot_be_are_named(line, said, tmp_path, picture):
    yolo_set(tmp_path, picture, {"a": f"5 {LEFT}\n{line}\n"})
    with pytest.raises(DataError, match=f"^{tmp_path}/labels/a.txt, line 2: {said}"):
        yolo_outlines(tmp_path, None, "leave")


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_shapes_of_coco_in_every_way(tmp_path, picture):
    crowd = np.zeros((10, 20), dtype=np.uint8)
    crowd[:, 4:8] = 1
    packed = coco_masks.encode(np.asfortranarray(crowd))
    column = {"size": [10, 20], "counts": [0, 10, 190]}    # the first column
    file = coco_file(tmp_path, picture, [
        {"image_id": 1, "category_id": 17, "segmentation": [BELOW], "bbox": [0, 5, 20, 5]},
        {"image_id": 1, "category_id": 3, "iscrowd": 1, "segmentation":
         {"size": [10, 20], "counts": packed["counts"].decode()}},
        {"image_id": 1, "category_id": 3, "segmentation": column},
        {"image_id": 2, "category_id": 3, "segmentation": []},
        {"image_id": 9, "category_id": 3, "segmentation": [BELOW]}])
    found = coco_outlines(file, None, None)
    assert found.names == ("background", "car", "cat")
    mask = found.splits["all"].masks[0].read((10, 20))
    expected = np.zeros((10, 20), dtype=np.uint8)
    expected[crowd == 1] = 255    # below the objects, though later in the file
    expected[5:] = 2
    expected[:, 0] = 1
    assert np.array_equal(mask, expected)
    assert not found.splits["all"].masks[1].read((10, 20)).any()
    assert {name: found.account[name] for name in ("crowd", "without_outline", "annotations_without_picture")} == \
        {"crowd": 1, "without_outline": 1, "annotations_without_picture": 1}
    assert found.splits["all"].paths[0] == tmp_path / "images" / "a.png"
    assert coco_outlines(file, "images", ("auto", "kitten")).names == ("background", "auto", "kitten")


@pytest.mark.parametrize(("change", "said"), [
    ({"category_id": 4}, r"annotations\[1\]: category_id 4 is not in categories. Accepted: 3, 17.$"),
    ({"segmentation": [[0, 0, 5, 5]]}, r"annotations\[1\]: 4 numbers for a polygon: x and y of at least three points "
                                       "are expected$"),
    ({"segmentation": {"size": [10, 20], "counts": [3, 4]}}, r"annotations\[1\]: the RLE covers 7 pixels, and "
                                                             "20 x 10 are 200$"),
    ({"segmentation": [[0, 0, 5, 5, 1e200, 7]]}, r"annotations\[1\]: the polygon holds 1e\+200, which is no place in a "
                                                 "picture$"),
    ({"segmentation": "rle"}, r"annotations\[1\].segmentation.*: Input should be")])
def test_entries_of_coco_that_cannot_be_are_named(change, said, tmp_path, picture):
    good = {"image_id": 1, "category_id": 17, "segmentation": [BELOW]}
    file = coco_file(tmp_path, picture, [good, good | change])
    with pytest.raises(DataError, match=rf"^{file}[,:] {said}"):
        coco_outlines(file, None, None)


def test_names_of_coco_that_do_not_fit_are_named(tmp_path, picture):
    file = coco_file(tmp_path, picture, [])
    with pytest.raises(UserError, match=r"^data.classes has 1 name, but .*set.json has 2: they are given in the order"):
        coco_outlines(file, None, ("cat",))
    inner = tmp_path / "annotations"
    inner.mkdir()
    for split, number in (("train", 17), ("val", 18)):
        text = file.read_text().replace('"id": 17', f'"id": {number}')
        (inner / f"instances_{split}.json").write_text(text)
    with pytest.raises(DataError, match=r"instances_val.json: category 'cat' \(id 18\) is not among those of the tra"):
        coco_outlines(tmp_path, "images", None)


def test_what_is_said_of_outlines_is_of_as_many_as_the_files_list(tmp_path, picture):
    """Of ten annotations two are of no picture, one has no outline, and one is a crowd."""
    annotations = [{"id": i, "image_id": 1 + i % 2, "category_id": 3, "bbox": [0, 0, 5, 5], "segmentation": [BELOW]}
                   for i in range(10)]
    annotations[0]["image_id"] = annotations[7]["image_id"] = 99
    annotations[4]["segmentation"] = []
    annotations[5]["iscrowd"] = 1
    file = coco_file(tmp_path, picture, annotations)
    account = labelled_pixels(str(file)).account
    assert account["objects"] == {"all": 7}
    assert [one.sentence() for one in findings({"source": account})] == [
        "2 of 10 annotations of a picture that the file does not list, left out",
        "1 of 10 objects without an outline, left out",
        "1 of 10 objects marked as a crowd or as difficult: neither learned nor measured"]
    boxes = coco(str(file)).account    # the same file as boxes, whose totals are counted apart
    assert {one.of for one in findings({"source": boxes})} == {10}
