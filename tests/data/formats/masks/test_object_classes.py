"""The classes of objects in masks that number them: by the mask of classes beside it, or by the number."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.data.formats.detect import recognise
from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.masks.object_masks import object_masks
from lensmith.data.sources.findings import findings

SIZE = (16, 24)                                              # height, width
OBJECTS = {1: (1, 1, 6, 6), 2: (8, 2, 14, 10), 3: (16, 8, 23, 15)}    # number -> x0 y0 x1 y1


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def painted(values: dict[int, int], dtype: Any = np.uint8, background: int = 0) -> np.ndarray:
    """A mask with each object of OBJECTS in its value."""
    mask = np.full(SIZE, background, dtype=dtype)
    for number, value in values.items():
        x0, y0, x1, y1 = OBJECTS[number]
        mask[y0:y1, x0:x1] = value
    return mask


def voc_set(root: Path, classes: dict[int, int], *, objects: str = "SegmentationObject",
            masks: str = "SegmentationClass", images: str = "JPEGImages", count: int = 4) -> Path:
    for i in range(count):
        save(root / images / f"p{i}.jpg", np.full((*SIZE, 3), 90, dtype=np.uint8))
        numbers, of_class = painted({number: number for number in OBJECTS}), painted(classes)
        for mask in (numbers, of_class):
            mask[1, 1:6] = 255    # a border that is void in both
        save(root / objects / f"p{i}.png", numbers)
        save(root / masks / f"p{i}.png", of_class)
    return root


def objects_of(source: Any) -> list[tuple[str, tuple[float, ...]]]:
    """The class and the corners of each object of the first picture, in order."""
    value = source.targets["masks"]
    names = source.classes["masks"]
    return sorted((names[number], tuple(corners)) for number, corners, image in
                  zip(value.classes.tolist(), value.corners.tolist(), value.image.tolist(), strict=True) if image == 0)


WANTED = [(1, 2, 6, 6), OBJECTS[2], OBJECTS[3]]    # the first without its border


def test_the_class_is_that_of_most_pixels_in_the_mask_beside(tmp_path: Path):
    root = voc_set(tmp_path, {1: 7, 2: 3, 3: 7})
    mask = painted({1: 7, 2: 3, 3: 7})
    mask[2:4, 8:14] = 7    # a third of the second object is of another class
    save(root / "SegmentationClass/p0.png", mask)
    assert recognise(root) == "object-masks"
    opened = object_masks(str(root))
    assert opened.splits["all"].classes == {"masks": ("3", "7")}
    assert objects_of(opened.splits["all"]) == [("3", WANTED[1]), ("7", WANTED[0]), ("7", WANTED[2])]
    assert object_masks(str(root), ids={"3": "cat", "7": "dog"}).splits["all"].classes["masks"] == ("cat", "dog")
    boxes = object_masks(str(root), outlines=False).splits["all"]
    assert boxes.classes == {"boxes": ("3", "7")} and len(boxes.targets["boxes"].classes) == 12


@pytest.mark.parametrize(("file", "text", "names"), [
    ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:3,3,3::\ndog:7,7,7::\n", ("cat", "dog")),
    ("classes.txt", "background\na\nb\nc\nd\ne\nf\ng\n", ("a", "b", "c", "d", "e", "f", "g")),
    # Their boxes name Pascal VOC's classes alone, so that the ids are its own.
    ("Annotations/p0.xml", "<annotation><object><name>bird</name></object></annotation>", None),
    ("Annotations/p0.xml", "<annotation><object><name>crow</name></object></annotation>", ("3", "7")),
])
def test_names_come_from_a_list(file: str, text: str, names: tuple[str, ...] | None, tmp_path: Path):
    root = voc_set(tmp_path, {1: 7, 2: 3, 3: 7})
    if file == "labelmap.txt":    # of CVAT, whose masks are in these colours; void is none of them
        for path in (root / "SegmentationClass").iterdir():
            mask = np.asarray(Image.open(path))
            Image.fromarray(np.stack([np.where(mask == 255, 0, mask)] * 3, axis=2)).save(path)
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(text)
    source = object_masks(str(root)).splits["all"]
    found = source.classes["masks"]
    assert found == names if names is not None else (found[2], found[6], len(found)) == ("bird", "car", 20)
    shown = {name for name, _ in objects_of(source)}
    assert shown == ({"bird", "car"} if names is None else set(names) if len(names) == 2 else {"c", "g"})


@pytest.mark.parametrize("classes", [{1: 1, 2: 1, 3: 1}, {1: 200, 2: 200, 3: 200}, {1: 1, 2: 2, 3: 3}])
def test_masks_that_tell_no_class_leave_objects_of_one(classes: dict[int, int], tmp_path: Path):
    """Foreground alone, and a second file with the same numbers."""
    root = voc_set(tmp_path, classes, objects="instances", masks="masks", images="images")
    assert object_masks(str(root)).splits["all"].classes == {"masks": ("object",)}
    assert object_masks(str(root), classes=["cell"]).splits["all"].classes == {"masks": ("cell",)}
    known = KnownClasses({"masks": tuple(map(str, range(1, 201)))})    # of a network that has learned classes by number
    assert object_masks(str(root), known=known).splits["all"].classes == {
        "masks": tuple(map(str, sorted(set(classes.values()))))}


def test_the_lists_of_voc_divide_and_what_has_no_class_is_counted(tmp_path: Path):
    root = voc_set(tmp_path, {1: 7, 2: 3})    # the third object lies on the background
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("p0\np1\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("p2\n")
    opened = object_masks(str(root))
    assert {name: len(source) for name, source in opened.splits.items()} == {"train": 2, "valid": 1}
    assert [one.sentence() for one in findings({"source": opened.account})] == [
        "3 of 9 objects of which nothing says the class, left out", "1 of 4 pictures in no list of a split, left out"]


def test_masks_of_two_sizes_are_named(tmp_path: Path):
    root = voc_set(tmp_path, {1: 7, 2: 3, 3: 7})
    save(root / "SegmentationClass/p1.png", np.ones((8, 8), dtype=np.uint8))
    with pytest.raises(DataError, match=r"^mask .*SegmentationClass/p1.png is 8 x 8 pixels \(width x height\), and "
                                        r".*SegmentationObject/p1.png, which numbers its objects, 24 x 16: both are"):
        object_masks(str(root))


def cityscapes_set(root: Path, values: dict[int, int]) -> Path:
    """As Cityscapes has it: 16 bits, 7 a road, class * 1000 + n an object."""
    for split, name in (("train", "aachen_000000_000019"), ("val", "bonn_000001_000019")):
        city = name.partition("_")[0]
        save(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", np.full((*SIZE, 3), 90, dtype=np.uint8))
        mask = painted(values, np.uint16, background=7)
        save(root / f"gtFine/{split}/{city}/{name}_gtFine_instanceIds.png", mask)
        save(root / f"gtFine/{split}/{city}/{name}_gtFine_labelIds.png",
             np.where(mask >= 1000, mask // 1000, mask).astype(np.uint8))
    return root


def test_cityscapes_objects_have_their_class_in_the_number(tmp_path: Path, command):
    root = cityscapes_set(tmp_path, {1: 26000, 2: 24003, 3: 26001})
    assert recognise(root) == "masks"    # as before; its objects are asked for
    opened = object_masks(str(root))
    assert list(opened.splits) == ["train", "valid"]
    source = opened.splits["train"]
    assert source.classes["masks"] == ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
    assert objects_of(source) == [("car", OBJECTS[1]), ("car", OBJECTS[3]), ("person", OBJECTS[2])]
    refused = command("train", root, "--task", "instances", "--epochs", 1, "--runs", tmp_path)
    assert refused.code == 2 and "which data.name=object-masks reads" in refused.err


def test_a_group_is_a_crowd_and_a_class_that_does_not_count_is_told(tmp_path: Path):
    root = cityscapes_set(tmp_path, {1: 26000, 2: 26, 3: 29001})
    opened = object_masks(str(root))
    value = opened.splits["train"].targets["masks"]
    assert value.crowd.tolist() == [True, False] and value.classes.tolist() == [2, 2]    # by their numbers: 26, 26000
    assert [one.sentence() for one in findings({"source": opened.account})][:1] == [
        "2 of 6 objects of which nothing says the class, left out"]
    (root / "gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png").unlink()
    (root / "gtFine/val/bonn/bonn_000001_000019_gtFine_instanceIds.png").unlink()
    with pytest.raises(DataError, match="is laid out as Cityscapes and holds no .*_gtFine_instanceIds.png"):
        object_masks(str(root))


def test_files_called_instance_ids_elsewhere_have_numbers_for_classes(tmp_path: Path):
    for i in range(3):
        save(tmp_path / f"images/p{i}.png", np.full((*SIZE, 3), 90, dtype=np.uint8))
        save(tmp_path / f"instances/p{i}_instanceIds.png", painted({1: 5001, 2: 5002, 3: 12001}, np.uint16, 9))
    assert recognise(tmp_path) == "object-masks"
    source = object_masks(str(tmp_path)).splits["all"]
    assert source.classes == {"masks": ("5", "12")}
    assert objects_of(source) == [("12", OBJECTS[3]), ("5", OBJECTS[1]), ("5", OBJECTS[2])]
    assert object_masks(str(tmp_path), ids={"5": "cow", "12": "hen"}).splits["all"].classes["masks"] == ("cow", "hen")
