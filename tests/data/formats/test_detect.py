"""Which format a folder or file is taken for, and what is said where two fit."""

import os
from pathlib import Path

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats.detect import recognise

GIVEN = os.environ.get("LENSMITH_DATA", "")
YAML = "train: images/train\nnames: [cat]\n"
INSTANCES = '{"images": [], "annotations": []}'
CASES = {
    "yolo by its description": ("yolo", {"data.yaml": YAML, "images/train/a.png": ""}),
    "yolo by labels": ("yolo", {"images/a.png": "", "labels/a.txt": ""}),
    "yolo of Roboflow": ("yolo", {"data.yaml": YAML, "train/images/a.png": "", "train/labels/a.txt": ""}),
    "yolo without its description": ("yolo", {"train/images/a.png": "", "train/labels/a.txt": ""}),
    "yolo by split": ("yolo", {"images/train/a.png": "", "labels/train/a.txt": ""}),
    "yolo beside": ("yolo", {"a.png": "", "a.txt": "", "classes.txt": ""}),
    "yolo of Label Studio": ("yolo", {"images/a.png": "", "labels/a.txt": "", "notes.json": '{"categories": []}'}),
    "coco": ("coco", {"annotations/instances_train.json": "{}", "train/a.png": ""}),
    "coco of Roboflow": ("coco", {"train/_annotations.coco.json": "{}", "train/a.png": ""}),
    "coco beside": ("coco", {"a.png": "", "any.json": INSTANCES}),
    "voc": ("voc", {"Annotations/a.xml": "", "JPEGImages/a.jpg": ""}),
    "voc of pets": ("voc", {"xmls/a.xml": "", "images/a.jpg": "", "trimaps/a.png": "", "labels.csv": ""}),
    "voc beside": ("voc", {"train/a.xml": "", "train/a.jpg": ""}),
    "voc with labels": ("voc", {"labels/a.xml": "", "images/a.jpg": ""}),
    "voc with masks too": ("voc", {"Annotations/a.xml": "", "JPEGImages/a.jpg": "", "SegmentationClass/a.png": ""}),
    "masks": ("masks", {"images/a.jpg": "", "masks/a.png": ""}),
    "masks by split": ("masks", {"train/images/a.png": "", "train/masks/a.png": ""}),
    "masks by their description": ("masks", {"i/a.jpg": "", "m/a.png": "", "set.yaml":
                                             "train:\n  images: i\n  masks: m\nclasses: {0: a, 1: b}\n"}),
    "masks beside": ("masks", {"a.jpg": "", "a.png": "", "b.jpg": "", "b.png": ""}),
    "masks of VOC alone": ("masks", {"JPEGImages/a.jpg": "", "SegmentationClass/a.png": ""}),
    "masks of Cityscapes": ("masks", {"leftImg8bit/train/x/a_leftImg8bit.png": "",
                                      "gtFine/train/x/a_gtFine_labelIds.png": ""}),
    "masks of CamVid": ("masks", {"train/a.png": "", "trainannot/a.png": "", "val/b.png": "", "valannot/b.png": ""}),
    "boxes and masks": ("yolo", {"images/a.jpg": "", "labels/a.txt": "", "masks/a.png": ""}),
    "a class called masks": ("folder", {"masks/a.png": "", "visors/b.png": ""}),
    "labelme": ("labelme", {"a.png": "", "a.json": "{}", "bare.png": ""}),
    "labelme by split": ("labelme", {"train/a.png": "", "train/a.json": "{}"}),
    "labelme without pictures": ("labelme", {"a.json": '{"version": "5", "shapes": []}'}),
    "boxes in a table": ("table", {"images/a.png": "", "boxes.csv": "path,x0,y0,x1,y1,label\na.png,1,1,5,5,cat\n"}),
    "classes": ("folder", {"cat/a.png": "", "dog/b.png": "", "notes.txt": "", "environment.yaml": "name: x\n"}),
    "classes by split": ("folder", {"train/cat/a.png": "", "train/dog/b.png": "", "val/cat/a.png": "",
                                    "val/dog/b.png": ""}),
    "classes with more": ("folder", {"cat/a.png": "", "dog/b.png": "", "list.csv": "", "settings.json": '{"a": 1}'}),
    "pictures alone": ("folder", {"a.png": "", "b.png": ""}),
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("case", CASES)
def test_a_folder_is_taken_for_what_it_is(case, tmp_path):
    name, files = CASES[case]
    write(tmp_path, files)
    assert recognise(tmp_path) == name


@pytest.mark.parametrize(("name", "known"), [("data.yaml", "yolo"), ("x.YML", "yolo"), ("instances.json", "coco"),
                                             ("list.csv", "table"), ("list.tsv", "table"), ("a.png", None)])
def test_a_file_is_known_by_its_suffix(name, known, tmp_path):
    (tmp_path / name).touch()
    assert recognise(tmp_path / name) == known
    assert recognise(tmp_path / "absent") is None


def test_a_description_of_masks_is_not_one_of_boxes(tmp_path):
    write(tmp_path, {"set.yaml": "train:\n  images: i\n  masks: m\nnames: {0: a, 1: b}\n"})
    assert recognise(tmp_path / "set.yaml") == "masks"


@pytest.mark.parametrize(("files", "said"), [
    ({"labels/a.txt": "", "Annotations/a.xml": ""},
     r"can be read as voc and as yolo \(Annotations/\*.xml; labels/\*.txt\): say which with data.name=voc or data"),
    ({"data.yaml": YAML, "annotations/one.json": ""},
     r"read as coco and as yolo \(annotations/one.json; data.yaml\): say which with data.name=coco or data.name=yolo"),
    ({"a.png": "", "a.txt": "", "a.json": ""},
     r"as labelme and as yolo \(a.json beside a picture; a.txt beside a picture\)")])
def test_two_formats_that_fit_are_named(files, said, tmp_path):
    write(tmp_path, files)
    with pytest.raises(DataError, match=said):
        recognise(tmp_path)


def test_a_folder_of_a_hundred_thousand_names_is_looked_through_once(tmp_path, monkeypatch):
    """By what it asks the system for, not by the clock: no file is opened, and each folder is listed a few times."""
    for i in range(300):
        (tmp_path / f"{i}.png").touch()
        (tmp_path / f"{i}.txt").touch()
    listed = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scan(path))
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("a file was opened"))
    assert recognise(tmp_path) == "yolo" and len(listed) < 10


@pytest.mark.skipif(not GIVEN, reason="LENSMITH_DATA is not set: no coco128, no pets3")
@pytest.mark.parametrize(("folder", "name"), [("coco128/object_detection", "yolo"), ("pets3", "voc"),
                                              ("photos", "folder"), ("coco128/semantic_segmentation", "masks"),
                                              ("coco128/instance_segmentation", "yolo")])
def test_real_folders(folder, name):
    assert recognise(Path(GIVEN) / folder) == name
