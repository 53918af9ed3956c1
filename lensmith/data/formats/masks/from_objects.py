"""Masks made of objects: YOLO's polygons, and COCO's polygons and run lengths."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, count
from lensmith.data.formats.boxes.annotations import Unlabelled
from lensmith.data.formats.boxes.coco import (
    Instances,
    Outlined,
    OutlinedInstances,
    Picture,
    categories_of,
    files_by_split,
    picture_folder,
    read_instances,
)
from lensmith.data.formats.boxes.yolo import class_number, shares_of
from lensmith.data.formats.boxes.yolo_folders import (
    config_file,
    found_by_config,
    found_by_folders,
    given_names,
    orphan_labels,
    read_config,
)
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled
from lensmith.data.formats.reading import read_text
from lensmith.data.sources.mask_files import MaskSource
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import Outlines, Shape, polygon_from, shapes_from
from lensmith.values.semantic_mask import IGNORED

GROUND = "background"    # the class of what lies in no object


@dataclass
class Painted:
    """The pictures of a part with their masks."""

    paths: list[Path] = field(default_factory=list)
    masks: list[MaskSource] = field(default_factory=list)    # one a path


@dataclass(frozen=True)
class Objects:
    """A set of objects as masks: its parts, its classes, and an account of it."""

    parts: dict[str, Painted]
    names: tuple[str, ...]
    account: dict[str, Any]


def with_ground(names: Sequence[str]) -> tuple[str, ...]:
    """The classes, with one for what lies in no object before them where none is called so."""
    return tuple(names) if GROUND in names else (GROUND, *names)


def yolo_outlines(root: Path, wanted: tuple[str, ...] | None, unlabelled: Unlabelled) -> Objects:
    """The polygons of a YOLO set as masks; a picture without label file is left out, shows the ground alone (empty), or
    is an error (refuse). Raises DataError with file and line."""
    config = config_file(root)
    content: Mapping[str, Any] = {} if config is None else read_config(config)
    folder = root.parent if root.is_file() else root
    found = found_by_folders(folder) if config is None else found_by_config(config, content)
    names, named_by = given_names(content, config, folder, wanted)
    drawn: dict[str, list[tuple[Path, list[tuple[int, Shape]]]]] = {}
    missing, orphans, most = list[Path](), list[Path](), -1
    for split, one in found.items():
        drawn[split] = []
        for picture, label in zip(one.pictures, one.labels, strict=True):
            if os.path.isfile(label):
                objects = _read_label(label, names, named_by)
                most = max(most, *(number for number, _ in objects), -1)
                drawn[split].append((picture, objects))
                continue
            missing.append(picture)
            if unlabelled == "empty":
                drawn[split].append((picture, []))
        orphans += orphan_labels(one)
    if unlabelled == "refuse":
        refuse_unlabelled(missing, "label file")
    listed = names if names is not None else {number: str(number) for number in range(most + 1)}
    classes = with_ground(tuple(listed.values()))
    of_number = {number: classes.index(name) for number, name in listed.items()}
    ground = classes.index(GROUND)
    parts = {split: Painted([picture for picture, _ in listed_pictures],
                            [Outlines([(of_number[number], shape) for number, shape in objects], ground, relative=True)
                             for _, objects in listed_pictures]) for split, listed_pictures in drawn.items()}
    account = {"layout": "yolo polygons", "config": None if config is None else readable(config),
               "objects": {split: sum(len(objects) for _, objects in one) for split, one in drawn.items()},
               "unlabelled": {"count": len(missing), "taken_as": unlabelled, "pictures": listed_below(folder, missing)},
               "masks_without_picture": {"count": len(orphans), "files": listed_below(folder, orphans)}}
    return Objects(parts, classes, account)


def _read_label(file: Path, names: Mapping[int, str] | None, named_by: str) -> list[tuple[int, Shape]]:
    """The class numbers and polygons of a label file."""
    objects: list[tuple[int, Shape]] = []
    for line, text in enumerate(read_text(file).splitlines(), 1):
        cells = text.split()
        if not cells:
            continue
        where = f"{readable(file)}, line {line}"
        number, shares = class_number(cells[0], where), shares_of(cells[1:], where)
        if names is not None and number not in names:
            raise DataError(f"{where}: class {number} is not one of the {len(names)} that {named_by} names "
                            f"({min(names)} to {max(names)})")
        if len(shares) == 4:
            raise DataError(f"{where}: a box, and the points of a polygon are expected: boxes are learned with "
                            "data.name=yolo")
        objects.append((number, polygon_from(shares, where)))
    return objects


def coco_outlines(root: Path, images: str | None, wanted: tuple[str, ...] | None) -> Objects:
    """The polygons and run lengths of COCO's files as masks; crowds are void, below all objects. Raises DataError with
    the file and the entry."""
    folder = root.parent if root.is_file() else root
    files = {"all": root} if root.is_file() else files_by_split(root)
    read = {split: read_instances(file, OutlinedInstances) for split, file in files.items()}
    first = "train" if "train" in read else next(iter(read))
    names = tuple(categories_of(read[first], files[first]).values())
    if wanted is not None:
        if len(wanted) != len(names):
            raise UserError(f"data.classes has {count(len(wanted), 'name')}, but {readable(files[first])} has "
                            f"{len(names)}: they are given in the order of the categories' numbers")
        names = wanted
    classes, parts = with_ground(names), {}
    tally = {"crowd": 0, "without_outline": 0, "annotations_without_picture": 0}
    for split, one in read.items():
        numbers = _numbers(one, files[split], read[first], names)
        base = picture_folder(files[split], one, None if images is None else folder / Path(images).expanduser())
        parts[split] = _painted(one, files[split], base, {number: classes.index(name)
                                                          for number, name in numbers.items()},
                                classes.index(GROUND), tally)
    account = {"layout": "coco", "files": {split: readable(file) for split, file in files.items()},
               "objects": {split: len(one.annotations) for split, one in read.items()}, **tally}
    return Objects(parts, classes, account)


def _numbers(one: Instances, file: Path, first: Instances, names: Sequence[str]) -> dict[int, str]:
    """Category number -> the name of its class."""
    known = dict(zip(sorted(category.id for category in first.categories), names, strict=True))
    own = categories_of(one, file)
    for number, name in own.items():
        if number not in known:
            raise DataError(f"{readable(file)}: category {name!r} (id {number}) is not among those of the training "
                            "file, so it could not be learned")
    return {number: known[number] for number in own}


def _painted(instances: Instances, file: Path, base: Path, classes: Mapping[int, int], ground: int,
             tally: dict[str, int]) -> Painted:
    pictures: dict[int | str, tuple[Picture, list[tuple[int, Shape]], list[tuple[int, Shape]]]] = {}
    for picture in instances.images:
        pictures[picture.id] = (picture, [], [])
    for i, one in enumerate(instances.annotations):
        assert isinstance(one, Outlined)
        where = f"{readable(file)}, annotations[{i}]"
        if one.image_id not in pictures:
            tally["annotations_without_picture"] += 1
            continue
        if one.category_id not in classes:
            known = ", ".join(map(str, list(classes)[:20]))
            raise DataError(f"{where}: category_id {one.category_id} is not in categories. Accepted: {known}.")
        shapes = shapes_from(one.segmentation, where)
        tally["without_outline"] += not shapes
        tally["crowd"] += one.iscrowd
        _, crowds, objects = pictures[one.image_id]
        (crowds if one.iscrowd else objects).extend(
            (IGNORED if one.iscrowd else classes[one.category_id], shape) for shape in shapes)
    return Painted([base / picture.file_name for picture, _, _ in pictures.values()],
                   [Outlines([*crowds, *objects], ground, relative=False) for _, crowds, objects in pictures.values()])
