"""Boxes as LabelMe has them: a JSON file beside each picture, with rectangles, polygons and circles."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from pydantic import BaseModel, ValidationError

from lensmith.base.errors import DataError
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, Unlabelled, sources_of_boxes
from lensmith.data.formats.boxes.picture_to_write import PictureToWrite, shortest
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.files_below import files_below, pictures_below
from lensmith.data.formats.format import BESIDE, Evidence, Format, Writer
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled, split_folders
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import begins_with_key, existing, invalid_content, read_json
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.sample import Splits

# The least number of points of which a shape has a box around it; other shapes, points and lines, have none.
_POINTS = {"rectangle": 2, "polygon": 3, "circle": 2, "mask": 2}
_APART = ("annotations", "annotation", "labels", "json", "jsons")    # folders of JSON files beside that of the pictures


class LabelMeShape(BaseModel):
    """What was drawn around an object."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    flags: dict[str, Any] | None = None


class LabelMeFile(BaseModel):
    """A file of LabelMe's, as far as it lists shapes."""

    shapes: list[LabelMeShape]
    imagePath: str | None = None        # noqa: N815 - the names of the file
    imageWidth: float | None = None     # noqa: N815
    imageHeight: float | None = None    # noqa: N815


def labelme(path: str, *, classes: list[str] | None = None, unlabelled: Unlabelled = "leave") -> Splits:
    """The pictures of a folder that have a JSON file of LabelMe's beside them, also below train, valid and test.

    The picture of a JSON file is the one that its `imagePath` names, else the one with its own name. Every rectangle,
    polygon and circle becomes the box around it; points and lines are counted as `shapes_without_box`. Objects with the
    flag `crowd` are neither learned nor measured. Raises DataError with the file and the shape that cannot be used.

    - `path`: the folder.
    - `classes`: the only classes, in order; by default those that occur.
    - `unlabelled`: a picture without a JSON file is left out (leave), shows no object (empty) or is an error (refuse).
    """
    root = existing(path)
    if not root.is_dir():
        raise DataError(f"{root} is a file: give the folder of LabelMe's JSON files")
    folders = split_folders(root) or {"all": root}
    accepted = fixed_classes(classes)
    annotated = {split: AnnotatedSplit(accepted=accepted) for split in folders}
    without_picture, without_label, without_box, read = list[Path](), list[Path](), 0, 0
    for split, folder in folders.items():
        files = sorted(map(Path, files_below(os.fspath(folder), (".json",))))
        pictures = {os.path.splitext(picture)[0]: Path(picture)
                    for picture in sorted(pictures_below(os.fspath(folder), ignored=[]), reverse=True)}
        for file in files:
            content = _read_file(file)
            if content is None:
                continue
            read += 1
            picture = _picture_of(file, content, pictures)
            if picture is None:
                without_picture.append(file)
                continue
            annotated[split].add_picture(picture, width=content.imageWidth, height=content.imageHeight)
            without_box += _add_shapes(content, annotated[split], file)
        labelled = set(annotated[split].paths)
        rest = sorted(picture for picture in pictures.values() if picture not in labelled)
        without_label += rest
        if unlabelled == "empty":
            for picture in rest:
                annotated[split].add_picture(picture)
    if not read:
        raise DataError(f"{root} holds no JSON file of LabelMe's (with shapes): they are expected beside the pictures")
    if unlabelled == "refuse":
        refuse_unlabelled(without_label, "JSON file")
    account = {"folder": readable(root), "layout": "labelme", "shapes_without_box": without_box,
               "unlabelled": {"count": len(without_label), "taken_as": unlabelled,
                              "pictures": listed_below(root, without_label)},
               "labels_without_picture": {"count": len(without_picture), "files": listed_below(root, without_picture)}}
    return sources_of_boxes(annotated, names=accepted, folder=root, account=account)


def recognise_labelme(listing: Listing) -> Evidence:
    """JSON files beside pictures, or beside none where the first one lists shapes: its picture lies elsewhere."""
    apart = [inner for name in listing.folders if name.lower() in _APART and (inner := listing.inner(name)) is not None]
    for folder in [*listing.with_splits(), *apart]:
        file = folder.beside_picture(".json")
        if file is not None:
            return Evidence(BESIDE, sentence=f"{file} beside a picture")
        first = next((name for name in folder.names if name.endswith(".json")), None)
        if first is not None and not folder.ending(SUFFIXES) and begins_with_key(folder.path / first, "shapes"):
            return Evidence(BESIDE, sentence=first)
    return Evidence()


def _read_file(file: Path) -> LabelMeFile | None:
    """A file of LabelMe's; None for JSON of another kind. Raises DataError."""
    content = read_json(file)
    if not isinstance(content, dict) or "shapes" not in content:
        return None
    try:
        return LabelMeFile.model_validate(content)
    except ValidationError as error:
        raise invalid_content(file, error) from error


def _picture_of(file: Path, content: LabelMeFile, pictures: Mapping[str, Path]) -> Path | None:
    """The picture that a file names, with slashes or backslashes, else the one beside it that has its name."""
    if content.imagePath:
        named = Path(os.path.normpath(file.parent / PureWindowsPath(content.imagePath).as_posix()))
        if os.path.isfile(named):
            return named
    return pictures.get(os.path.splitext(file)[0])


def _add_shapes(content: LabelMeFile, annotated: AnnotatedSplit, file: Path) -> int:
    """Add the boxes around the shapes of a file; -> the number of shapes that have none."""
    without_box = 0
    for i, shape in enumerate(content.shapes):
        where = f"{readable(file)}, shapes[{i}]"
        kind = shape.shape_type or "polygon"
        if kind not in _POINTS:
            without_box += 1
            continue
        if len(shape.points) < _POINTS[kind]:
            raise DataError(f"{where}: a {kind} has at least {_POINTS[kind]} points, this one {len(shape.points)}")
        crowd = bool((shape.flags or {}).get("crowd"))
        annotated.add(_box_around(kind, shape.points), shape.label.strip(), where=where, crowd=crowd)
    return without_box


def _box_around(kind: str, points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 of the box around a shape; a circle is given by its centre and a point on its edge."""
    if kind == "circle":
        (x, y), edge = points[0], points[1]
        radius = math.hypot(edge[0] - x, edge[1] - y)
        return x - radius, y - radius, x + radius, y + radius
    columns, rows = zip(*points, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def write_labelme(splits: Mapping[str, Sequence[PictureToWrite]], names: Sequence[str], folder: Path) \
        -> Iterator[tuple[Path, str]]:
    """A JSON file a picture, in the folder of its split, as paths and texts; `crowd` is written as a flag."""
    for split, pictures in splits.items():
        inner = folder / _written_folder(split)
        for picture in pictures:
            height, width = picture.size
            shapes = [{"label": names[number], "points": [[float(shortest(x0)), float(shortest(y0))],
                                                          [float(shortest(x1)), float(shortest(y1))]],
                       "group_id": None, "shape_type": "rectangle", "flags": {"crowd": True} if crowd else {}}
                      for (x0, y0, x1, y1), number, crowd, _ in picture.objects()]
            content: dict[str, Any] = {"version": "5.0.1", "flags": {}, "shapes": shapes,
                                       "imagePath": Path(os.path.relpath(picture.path, inner)).as_posix(),
                                       "imageData": None, "imageHeight": height, "imageWidth": width}
            yield inner / f"{picture.stem}.json", json.dumps(content, ensure_ascii=False) + "\n"


def _written_folder(split: str) -> str:
    """The folder of a split's pictures and JSON files in a set that is written."""
    return "." if split == "all" else split


LABELME = Format(labelme, recognise_labelme, Writer(write_labelme, _written_folder))
