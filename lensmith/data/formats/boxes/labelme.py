"""Boxes as LabelMe has them: a JSON file beside each picture, with rectangles, polygons and circles."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from pydantic import BaseModel, ValidationError

from lensmith.base.errors import DataError
from lensmith.base.pictures import SUFFIXES
from lensmith.data.formats.boxes.annotations import Drawn, Unlabelled, boxed
from lensmith.data.formats.boxes.picture_to_write import Shown, shortest
from lensmith.data.formats.class_folders import pictures_below
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.format import BESIDE, Evidence, Format, Writer
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled, split_folders
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import begins_with_key, existing, read_json, refused
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.sample import Parts

_POINTS = {"rectangle": 2, "polygon": 3, "circle": 2, "mask": 2}    # the fewest that make a box


class Shape(BaseModel):
    """What was drawn around an object."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    flags: dict[str, Any] | None = None


class Page(BaseModel):
    """A file of LabelMe's, as far as it speaks of shapes."""

    shapes: list[Shape]
    imagePath: str | None = None        # noqa: N815 - the names of the file
    imageWidth: float | None = None     # noqa: N815
    imageHeight: float | None = None    # noqa: N815


def labelme(path: str, *, classes: list[str] | None = None, unlabelled: Unlabelled = "leave") -> Parts:
    """The pictures of a folder that have a JSON file of LabelMe's beside them, also below train, valid and test.

    The picture is the one that `imagePath` names, else the one with the name of the JSON file. Every rectangle, polygon
    and circle counts by the box around it; points and lines are counted as `shapes_without_box`. A flag `crowd` marks
    what neither counts nor costs. A picture without a JSON file is `unlabelled`: it is left out (leave), shows no
    object (empty) or is an error (refuse). Raises DataError with the file and the shape that cannot be used.
    """
    root = existing(path)
    if not root.is_dir():
        raise DataError(f"{root} is a file: give the folder of LabelMe's JSON files")
    places = split_folders(root) or {"all": root}
    accepted = fixed_classes(classes)
    drawn = {split: Drawn(accepted=accepted) for split in places}
    orphans, bare, lines, read = list[Path](), list[Path](), 0, 0
    for split, place in places.items():
        part = drawn[split]
        files = sorted(Path(folder, name) for folder, _, names in os.walk(place) for name in names
                       if name.lower().endswith(".json"))
        pictures = {os.path.splitext(one)[0]: Path(one)
                    for one in sorted(pictures_below(os.fspath(place), ignored=[]), reverse=True)}
        for file in files:
            page = _page(file)
            if page is None:
                continue
            read += 1
            picture = _picture(file, page, pictures)
            if picture is None:
                orphans.append(file)
                continue
            part.add_picture(picture, width=page.imageWidth, height=page.imageHeight)
            lines += _add_shapes(page, part, file)
        known = set(part.paths)
        without = sorted(one for one in pictures.values() if one not in known)
        bare += without
        if unlabelled == "empty":
            for one in without:
                part.add_picture(one)
    if not read:
        raise DataError(f"{root} holds no JSON file of LabelMe's (with shapes): they are expected beside the pictures")
    if unlabelled == "refuse":
        refuse_unlabelled(bare, "JSON file")
    account = {"folder": readable(root), "layout": "labelme", "shapes_without_box": lines,
               "unlabelled": {"count": len(bare), "taken_as": unlabelled, "pictures": listed_below(root, bare)},
               "labels_without_picture": {"count": len(orphans), "files": listed_below(root, orphans)}}
    return boxed(drawn, names=accepted, folder=root, account=account)


def recognise_labelme(listing: Listing) -> Evidence:
    """JSON files beside pictures, or without any where the first one has shapes: its pictures lie elsewhere."""
    for folder in listing.with_splits():
        file = folder.beside_picture(".json")
        if file is not None:
            return Evidence(BESIDE, sentence=f"{file} beside a picture")
        page = next((name for name in folder.names if name.endswith(".json")), None)
        if page is not None and not folder.ending(SUFFIXES) and begins_with_key(folder.path / page, "shapes"):
            return Evidence(BESIDE, sentence=page)
    return Evidence()


def _page(file: Path) -> Page | None:
    """A file of LabelMe's; None for JSON of another kind."""
    content = read_json(file)
    if not isinstance(content, dict) or "shapes" not in content:
        return None
    try:
        return Page.model_validate(content)
    except ValidationError as error:
        raise refused(file, error) from error


def _picture(file: Path, page: Page, pictures: Mapping[str, Path]) -> Path | None:
    """The picture that a file names, with whichever slashes, else the one beside it that has its name."""
    if page.imagePath:
        named = Path(os.path.normpath(file.parent / PureWindowsPath(page.imagePath).as_posix()))
        if os.path.isfile(named):
            return named
    return pictures.get(os.path.splitext(file)[0])


def _add_shapes(page: Page, part: Drawn, file: Path) -> int:
    """Add the boxes of a page; -> how many of its shapes have none."""
    without = 0
    for i, shape in enumerate(page.shapes):
        where = f"{readable(file)}, shapes[{i}]"
        kind = shape.shape_type or "polygon"
        if kind not in _POINTS:
            without += 1
            continue
        if len(shape.points) < _POINTS[kind]:
            raise DataError(f"{where}: a {kind} has at least {_POINTS[kind]} points, this one {len(shape.points)}")
        crowd = bool((shape.flags or {}).get("crowd"))
        part.add(_around(kind, shape.points), shape.label.strip(), where=where, crowd=crowd)
    return without


def _around(kind: str, points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 of the box around a shape; a circle is its middle and a point of its edge."""
    if kind == "circle":
        (x, y), edge = points[0], points[1]
        radius = math.hypot(edge[0] - x, edge[1] - y)
        return x - radius, y - radius, x + radius, y + radius
    columns, lines = zip(*points, strict=True)
    return min(columns), min(lines), max(columns), max(lines)


def write_labelme(splits: Mapping[str, Sequence[Shown]], names: Sequence[str], folder: Path) \
        -> Iterator[tuple[Path, str]]:
    """A JSON file a picture, in the folder of its split; `crowd` as a flag. -> paths and texts."""
    for split, pictures in splits.items():
        place = folder if split == "all" else folder / split
        for one in pictures:
            height, width = one.size
            shapes = [{"label": names[number], "points": [[float(shortest(x0)), float(shortest(y0))],
                                                          [float(shortest(x1)), float(shortest(y1))]],
                       "group_id": None, "shape_type": "rectangle", "flags": {"crowd": True} if crowd else {}}
                      for (x0, y0, x1, y1), number, crowd, _ in one.objects()]
            content: dict[str, Any] = {"version": "5.0.1", "flags": {}, "shapes": shapes,
                       "imagePath": Path(os.path.relpath(one.path, place)).as_posix(), "imageData": None,
                       "imageHeight": height, "imageWidth": width}
            yield place / f"{one.stem}.json", json.dumps(content, ensure_ascii=False) + "\n"


LABELME = Format(labelme, recognise_labelme, Writer(write_labelme, lambda split: "." if split == "all" else split))
