"""Masks made of objects: YOLO's polygons, and COCO's polygons and run-length encoding."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, count
from lensmith.data.formats.boxes.annotations import Unlabelled
from lensmith.data.formats.boxes.coco import (
    CocoFile,
    OutlinedCocoFile,
    Picture,
    categories_of,
    files_by_split,
    picture_folder,
    read_coco_file,
)
from lensmith.data.formats.boxes.yolo import label_lines
from lensmith.data.formats.boxes.yolo_folders import class_names, find_yolo
from lensmith.data.formats.boxes.yolo_pictures import orphan_labels
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled
from lensmith.data.formats.located import Finder
from lensmith.data.sources.mask_files import MaskSource
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import Outlines, Shape, polygon_from, shapes_from
from lensmith.values.semantic_mask import IGNORED

BACKGROUND = "background"    # the class of what lies in no object


@dataclass
class MaskedPictures:
    """The pictures of a split with their masks."""

    paths: list[Path] = field(default_factory=list)
    masks: list[MaskSource] = field(default_factory=list)    # one a path


@dataclass(frozen=True)
class ObjectMasks:
    """The masks that the objects of a set make: its splits, its classes, and an account of it."""

    splits: dict[str, MaskedPictures]
    names: tuple[str, ...]
    account: dict[str, Any]


def with_background(names: Sequence[str]) -> tuple[str, ...]:
    """The classes, after one for what lies in no object where none of them is called so."""
    return tuple(names) if BACKGROUND in names else (BACKGROUND, *names)


def yolo_outlines(root: Path, classes: tuple[str, ...] | None, unlabelled: Unlabelled) -> ObjectMasks:
    """The polygons of a YOLO set as masks; raises DataError with file and line.

    `classes` renames the classes in order. A picture without label file is left out (leave), shows the background alone
    (empty), or is an error (refuse).
    """
    yolo_set = find_yolo(root)
    folder = root.parent if root.is_file() else root
    names, named_by = class_names(yolo_set.content, yolo_set.config, folder, classes)
    objects: dict[str, list[tuple[Path, list[tuple[int, Shape]]]]] = {}    # split -> pictures, each with its objects
    without_label, orphans, highest = list[Path](), list[Path](), -1
    for split, files in yolo_set.splits.items():
        objects[split] = []
        for picture, label in zip(files.pictures, files.labels, strict=True):
            if os.path.isfile(label):
                polygons = _polygons(label, names, named_by)
                highest = max(highest, *(number for number, _ in polygons), -1)
                objects[split].append((picture, polygons))
                continue
            without_label.append(picture)
            if unlabelled == "empty":
                objects[split].append((picture, []))
        orphans += orphan_labels(files)
    if unlabelled == "refuse":
        refuse_unlabelled(without_label, "label file")
    names = names if names is not None else {number: str(number) for number in range(highest + 1)}
    in_order = with_background(tuple(names.values()))
    index = {number: in_order.index(name) for number, name in names.items()}
    background = in_order.index(BACKGROUND)
    splits = {split: MaskedPictures(
        [picture for picture, _ in pictures],
        [Outlines([(index[number], shape) for number, shape in polygons], background, relative=True)
         for _, polygons in pictures]) for split, pictures in objects.items()}
    account = {"layout": "yolo polygons", "config": None if yolo_set.config is None else readable(yolo_set.config),
               "objects": {split: sum(len(polygons) for _, polygons in pictures)
                           for split, pictures in objects.items()},
               "unlabelled": {"count": len(without_label), "taken_as": unlabelled,
                              "pictures": listed_below(folder, without_label)},
               "masks_without_picture": {"count": len(orphans), "files": listed_below(folder, orphans)}}
    return ObjectMasks(splits, in_order, account)


def _polygons(file: Path, names: Mapping[int, str] | None, named_by: str) -> list[tuple[int, Shape]]:
    """The class numbers and polygons of a label file; raises DataError."""
    polygons: list[tuple[int, Shape]] = []
    for number, fractions, where in label_lines(file, names, named_by, keypoints=0):
        if len(fractions) == 4:
            raise DataError(f"{where}: a box, and the points of a polygon are expected: boxes are learned with "
                            "data.name=yolo")
        polygons.append((number, polygon_from(fractions, where)))
    return polygons


def coco_outlines(root: Path, images: str | None, classes: tuple[str, ...] | None) -> ObjectMasks:
    """The outlines in COCO's files as masks; crowds are void, below all objects. Raises DataError with the file and the
    entry, UserError.

    `images` is the folder of the pictures, as data.images names it; `classes` renames the categories in the order of
    their numbers.
    """
    folder = root.parent if root.is_file() else root
    files = {"all": root} if root.is_file() else files_by_split(root)
    contents = {split: read_coco_file(file, OutlinedCocoFile) for split, file in files.items()}
    first = "train" if "train" in contents else next(iter(contents))
    names = tuple(categories_of(contents[first], files[first]).values())
    if classes is not None:
        if len(classes) != len(names):
            raise UserError(f"data.classes has {count(len(classes), 'name')}, but {readable(files[first])} has "
                            f"{len(names)}: they are given in the order of the categories' numbers")
        names = classes
    in_order, splits, objects = with_background(names), {}, dict[str, int]()
    tally = {"crowd": 0, "without_outline": 0, "annotations_without_picture": 0, "listed_twice": 0}
    for split, content in contents.items():
        numbers = _names_by_number(content, files[split], contents[first], names)
        base = picture_folder(files[split], content, None if images is None else folder / Path(images).expanduser())
        index = {number: in_order.index(name) for number, name in numbers.items()}
        left_out = _left_out(tally)
        splits[split] = _masked(content, files[split], base, index, in_order.index(BACKGROUND), tally)
        objects[split] = len(content.annotations) - (_left_out(tally) - left_out)
    account = {"layout": "coco", "files": {split: readable(file) for split, file in files.items()},
               "objects": objects, **tally}
    return ObjectMasks(splits, in_order, account)


def _left_out(tally: Mapping[str, int]) -> int:
    """How many annotations are in no mask."""
    return tally["without_outline"] + tally["annotations_without_picture"]


def _names_by_number(content: CocoFile, file: Path, first: CocoFile, names: Sequence[str]) -> dict[int, str]:
    """The class names of a file's categories by number; `first` is the training file, whose classes are `names`."""
    learned = dict(zip(sorted(category.id for category in first.categories), names, strict=True))
    categories = categories_of(content, file)
    for number, name in categories.items():
        if number not in learned:
            raise DataError(f"{readable(file)}: category {name!r} (id {number}) is not among those of the training "
                            "file, so it could not be learned")
    return {number: learned[number] for number in categories}


def _masked(content: OutlinedCocoFile, file: Path, base: Path, index: Mapping[int, int], background: int,
            tally: dict[str, int]) -> MaskedPictures:
    """The pictures of a file with their masks; `index` is the class of each category. Counts in `tally`."""
    pictures: dict[str, tuple[Picture, list[tuple[int, Shape]], list[tuple[int, Shape]]]] = {}    # by id, as text
    by_name: dict[str, tuple[Picture, list[tuple[int, Shape]], list[tuple[int, Shape]]]] = {}
    finder = Finder([base])
    for picture in content.images:
        tally["listed_twice"] += picture.file_name in by_name
        pictures[str(picture.id)] = by_name.setdefault(picture.file_name, (picture, [], []))
    for i, annotation in enumerate(content.annotations):
        where = f"{readable(file)}, annotations[{i}]"
        if str(annotation.image_id) not in pictures:
            tally["annotations_without_picture"] += 1
            continue
        if annotation.category_id not in index:
            ids = ", ".join(map(str, list(index)[:20]))
            raise DataError(f"{where}: category_id {annotation.category_id} is not in categories. Accepted: {ids}.")
        shapes = shapes_from(annotation.segmentation, where)
        tally["without_outline"] += not shapes
        tally["crowd"] += annotation.iscrowd
        _, crowds, objects = pictures[str(annotation.image_id)]
        (crowds if annotation.iscrowd else objects).extend(
            (IGNORED if annotation.iscrowd else index[annotation.category_id], shape) for shape in shapes)
    return MaskedPictures(
        [finder.find(picture.file_name) or base / picture.file_name for picture, _, _ in by_name.values()],
        [Outlines([*crowds, *objects], background, relative=False, declared=_declared(picture))
         for picture, crowds, objects in by_name.values()])


def _declared(picture: Picture) -> tuple[int, int] | None:
    """The (height, width) that a COCO file gives a picture; None where it gives none."""
    return (int(picture.height), int(picture.width)) if picture.height and picture.width else None
