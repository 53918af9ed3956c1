"""COCO files: what they say, with pycocotools as oracle, where their pictures lie, and every entry that is wrong."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.boxes.coco import coco

CATEGORIES = [{"id": 90, "name": "brush"}, {"id": 3, "name": "car", "supercategory": "vehicle"}]


def content(**changes: Any) -> dict[str, Any]:
    return {"info": {}, "images": [{"id": 7, "file_name": "a.png", "width": 200, "height": 100},
                                   {"id": 5, "file_name": "b.png", "width": 200, "height": 100}],
            "annotations": [
                {"id": 1, "image_id": 5, "category_id": 90, "bbox": [10, 20, 30, 40.5], "area": 700.25, "iscrowd": 0,
                 "segmentation": [[1, 2, 3]]},
                {"id": 2, "image_id": 5, "category_id": 3, "bbox": [0, 0, 200, 100], "area": 9000, "iscrowd": 1,
                 "segmentation": {"size": [100, 200], "counts": "abc"}}],
            "categories": CATEGORIES} | changes


def write(folder: Path, what: Any, name: str = "one.json") -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(what if isinstance(what, str) else json.dumps(what))
    return str(folder / name)


def test_gaps_crowds_areas_and_pictures_without_objects(tmp_path, picture):
    picture("a.png")
    picture("b.png")
    parts = coco(write(tmp_path, content()))
    source = parts.splits["all"]
    assert source.classes == {"boxes": ("car", "brush")} and parts.account["category_ids"] == [3, 90]
    assert [source.name(i) for i in range(2)] == ["a.png", "b.png"]
    boxes = source.targets["boxes"]
    assert boxes.image.tolist() == [1, 1] and boxes.classes.tolist() == [1, 0] and boxes.crowd.tolist() == [False, True]
    assert boxes.corners.tolist() == [[10, 20, 40, 60.5], [0, 0, 200, 100]] and boxes.area.tolist() == [700.25, 9000]
    assert parts.account["background"] == {"all": 1} and parts.account["crowd"] == 1


def test_every_box_is_what_pycocotools_reads(tmp_path, picture):
    tools = pytest.importorskip("pycocotools.coco")
    picture("images/val/a.png")
    picture("images/val/b.png", width=300)
    images = [{"id": 7, "file_name": "a.png", "width": 200, "height": 100},
              {"id": 5, "file_name": "b.png", "width": 300, "height": 100}]
    annotations = [{"id": i + 1, "image_id": (5, 7)[i % 2], "category_id": (3, 90)[i % 3 == 0],
                    "iscrowd": int(i % 5 == 0), "bbox": [i * 1.25, i * 0.5, 7.5 + i, 9 + i / 4],
                    "area": 50.0 + i} for i in range(40)]
    file = write(tmp_path, content(images=images, annotations=annotations), "annotations/instances_val.json")
    with redirect_stdout(io.StringIO()):
        oracle = tools.COCO(file)
    parts = coco(str(tmp_path))
    source, ids = parts.splits["all"], parts.account["category_ids"]
    for row, image in enumerate(images):
        one = source.targets["boxes"][row]
        expected = oracle.loadAnns(oracle.getAnnIds(imgIds=[image["id"]]))
        assert source.paths[row].name == oracle.loadImgs([image["id"]])[0]["file_name"]
        assert [ids[c] for c in one.classes] == [each["category_id"] for each in expected]
        assert [source.classes["boxes"][c] for c in one.classes] == [
            oracle.loadCats([each["category_id"]])[0]["name"] for each in expected]
        x, y, width, height = zip(*(each["bbox"] for each in expected), strict=True)
        corners = [[a, b, a + c, b + d] for a, b, c, d in zip(x, y, width, height, strict=True)]
        assert one.corners.tolist() == [pytest.approx(each) for each in corners]
        assert one.crowd.tolist() == [bool(each["iscrowd"]) for each in expected]
        assert one.area.tolist() == [each["area"] for each in expected]


@pytest.mark.parametrize(("files", "splits"), [
    ({"annotations/instances_train2017.json": "train2017", "annotations/instances_val2017.json": "val2017",
      "annotations/captions_val2017.json": None}, ["train", "valid"]),
    ({"annotations/instances_train.json": "images/train", "annotations/instances_test.json": "images/test"},
     ["train", "test"]),
    ({"train/_annotations.coco.json": "train", "valid/_annotations.coco.json": "valid"}, ["train", "valid"]),
    ({"train.json": "images", "val.json": "images"}, ["train", "valid"]),
    ({"_annotations.coco.json": "."}, ["all"]), ({"labels.json": "images"}, ["all"])])
def test_usual_layouts(files, splits, tmp_path, picture):
    for name, place in files.items():
        write(tmp_path, content() if place else {"annotations": []}, name)
        if place:
            picture(f"{place}/a.png")
            picture(f"{place}/b.png")
    parts = coco(str(tmp_path))
    assert list(parts.splits) == splits
    assert all(path.is_file() for source in parts.splits.values() for path in source.paths)
    assert parts.account["in_two_splits"]["count"] == (2 if "train.json" in files else 0)


def test_the_folder_of_pictures_can_be_given_and_is_asked_for(tmp_path, picture):
    picture("deep/inside/a.png")
    file = write(tmp_path, content())
    with pytest.raises(DataError, match=r"one.json: a.png was found in none of .*: name the folder of the pictures "
                                        r"with data.images"):
        coco(file)
    assert coco(file, images="deep/inside").splits["all"].paths[0].is_file()
    with pytest.raises(DataError, match=r"data.images=.*/deep/out is no folder"):
        coco(file, images="deep/out")


def test_classes_are_fixed_and_ordered(tmp_path, picture):
    picture("a.png")
    file = write(tmp_path, content())
    parts = coco(file, classes=["brush", "car"])
    assert parts.splits["all"].classes == {"boxes": ("brush", "car")} and parts.account["category_ids"] == [90, 3]
    with pytest.raises(DataError, match=r"annotations\[1\]: class 'car' is not one of the accepted. Did you mean"):
        coco(file, classes=["brush", "cat"])
    assert coco(file, classes=["brush", "car", "new"]).account["category_ids"] is None
    with pytest.raises(UserError, match=r"data.classes=\[\] must hold at least one name"):
        coco(file, classes=[])


BOX = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}


@pytest.mark.parametrize(("changes", "text"), [
    ({"annotations": [BOX | {"category_id": 4}]},
     r"annotations\[0\]: category_id 4 is not in categories. Accepted: 3, 90"),
    ({"annotations": [BOX | {"bbox": [1, 2, 3]}]}, r"annotations\[0\]: bbox has 3 numbers; x, y, width and height"),
    ({"annotations": [BOX | {"bbox": [1, 2, float("nan"), 4]}]}, r"annotations\[0\]: the box holds a number that"),
    ({"annotations": [BOX | {"bbox": None}]}, r"annotations\[0\].bbox: Input should be a valid list, not None"),
    ({"annotations": [BOX | {"bbox": [1, "x", 3, 4]}]}, r"annotations\[0\].bbox\[1\]: Input should be a valid number"),
    ({"annotations": [{"image_id": 7, "category_id": 3}]}, r"annotations\[0\].bbox: Field required"),
    ({"annotations": {}}, r"one.json: annotations: Input should be a valid list"),
    ({"categories": [*CATEGORIES, {"id": 3, "name": "x"}]}, r"two categories have the id 3: 'car' and 'x'"),
    ({"categories": [*CATEGORIES, {"id": 4, "name": "car"}]}, r"names two classes 'car'"),
    ({"images": [{"id": 7, "file_name": "a.png"}] * 2}, r"images\[1\]: two pictures have the id 7"),
    ({"images": []}, r"holds no picture to learn from"),
    ({"annotations": []}, r"lists 2 pictures to learn from and no object in any")])
def test_a_wrong_entry_is_named(changes, text, tmp_path, picture):
    picture("a.png")
    with pytest.raises(DataError, match=text):
        coco(write(tmp_path, content(**changes)))


@pytest.mark.parametrize(("text", "said"), [
    (json.dumps(content())[:300], r"one.json, line 1: is not JSON \(.*\); was it cut off\?"),
    ("", r"line 1: is not JSON"),
    ("[" * 100_000, r"is not JSON that can be read \(RecursionError\)"), ("[1, 2]", r"the file: .*not \[1, 2\]"),
    ('{"shapes": []}', r"is a file of LabelMe's: give its folder, with data.name=labelme")])
def test_what_is_no_coco_file_is_said(text, said, tmp_path):
    with pytest.raises(DataError, match=said):
        coco(write(tmp_path, text))


def test_parts_that_do_not_fit_together_and_annotations_of_no_picture(tmp_path, picture):
    picture("images/a.png")
    write(tmp_path, content(annotations=[BOX, BOX | {"image_id": 99}]), "train.json")
    assert coco(str(tmp_path)).account["annotations_without_picture"] == 1
    picture("images/c.png")
    assert coco(str(tmp_path)).account["pictures_not_listed"] == {"count": 1,
                                                                  "pictures": ["images/c.png"]}
    write(tmp_path, content(categories=[*CATEGORIES, {"id": 1, "name": "cat"}]), "val.json")
    with pytest.raises(DataError, match=r"val.json: category 'cat' is not in .*train.json, so it could not be learned"):
        coco(str(tmp_path))
    write(tmp_path, content(), "valid.json")
    with pytest.raises(DataError, match=r"holds both val.json and valid.json, which name one split"):
        coco(str(tmp_path))
    write(tmp_path, content(), "more.json")
    with pytest.raises(DataError, match=r"several JSON files, and more.json is called after no split"):
        coco(str(tmp_path))
    with pytest.raises(DataError, match=r"images holds no file of COCO's: accepted are annotations/instances_<split>"):
        coco(str(tmp_path / "images"))


def test_ids_match_as_text_and_a_picture_listed_twice_is_one(tmp_path, picture):
    picture("a.png")
    picture("b.png")
    images = [*content()["images"], {"id": 8, "file_name": "b.png", "width": 200, "height": 100}]
    annotations = [BOX | {"image_id": "7"}, BOX | {"image_id": 5}, BOX | {"image_id": 8, "bbox": [50, 50, 8, 8]},
                   BOX | {"image_id": 8}]
    parts = coco(write(tmp_path, content(images=images, annotations=annotations)))
    assert parts.splits["all"].targets["boxes"].image.tolist() == [0, 1, 1] and len(parts.splits["all"]) == 2
    assert parts.account["ids_as_text"] == {"count": 1, "pictures": ["a.png"]}
    assert parts.account["listed_twice"] == {"count": 1, "pictures": ["b.png"]}
    assert parts.account["dropped"] == {"duplicates": {"count": 1, "pictures": ["b.png"]}}
    with pytest.raises(DataError, match=r"images\[1\]: two pictures have the id '7'"):
        coco(write(tmp_path, content(images=[content()["images"][0], {"id": "7", "file_name": "b.png"}])))


@pytest.mark.parametrize("named", ["images\\{}", "images/{}", "data/images/{}", "C:\\set\\images\\{}",
                                   "../../media/upload/1/{}", "/data/upload/1/{}"])
def test_pictures_named_as_they_lay_elsewhere_are_found(named, tmp_path, picture):
    for name in ("a.png", "b.png"):
        picture(f"images/{name}")
    images = [{"id": 7, "file_name": named.format("a.png")}, {"id": 5, "file_name": named.format("b.png")}]
    file = write(tmp_path, content(images=images), "result.json")
    for settings in ({}, {"images": "images"}):
        assert [path.name for path in coco(file, **settings).splits["all"].paths] == ["a.png", "b.png"]
    assert coco(str(tmp_path)).splits["all"].paths[0] == tmp_path / "images/a.png"


@pytest.mark.parametrize(("train", "valid"), [("instances_Train", "instances_Validation"), ("training", "testing"),
                                              ("train_coco", "val_coco"), ("annotations_train", "annotations_dev")])
def test_files_of_splits_under_usual_names(train, valid, tmp_path, picture):
    picture("images/a.png")
    picture("images/b.png")
    for name in (train, valid):
        write(tmp_path, content(), f"Annotations/{name}.json")
    assert len(coco(str(tmp_path)).splits) == 2
