"""Boxes as the VGG Image Annotator (VIA) has them: one JSON or CSV file with the regions of all pictures."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.annotations import Unlabelled
from lensmith.data.formats.boxes.exports import (
    ListedObject,
    ListedPicture,
    box_around,
    ellipse,
    sources_of_export,
)
from lensmith.data.formats.format import LAYOUT, Evidence, Format
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import beginning_of, existing, read_json, read_text
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import polygon_from
from lensmith.data.sources.sample import Splits

_CLASS = "object"    # what a region without attributes is called
_LABELS = ("label", "class", "name", "category", "type", "object", "species")    # attributes that name the class


def via(path: str, *, images: str | None = None, classes: list[str] | None = None, attribute: str | None = None,
        unlabelled: Unlabelled = "empty", outlines: bool | None = None) -> Splits:
    """The pictures of an export or a project of VIA 2, or of the ones in train and val of a folder.

    Rectangles, polygons, circles and ellipses give the boxes around them; points and lines have none and are counted.
    Raises DataError with the file and the region that cannot be used.

    - `path`: the JSON or CSV file, or a folder that holds it, or holds train and val with one each.
    - `images`: the folder of the pictures, from that of the file; by default where they are found beside it.
    - `classes`: the only classes, in order; by default those that occur.
    - `attribute`: the attribute of a region that is its class; by default one called label, class, name or the like,
      else the only one.
    - `unlabelled`: what a picture that the file lists without regions is: it shows no object (empty), as every other.
    - `outlines`: whether each object comes with its pixels; by default where the task learns masks.
    """
    root = existing(path)
    files = {"all": root} if root.is_file() else _files_in(Listing(root))
    if not files:
        raise DataError(f"{readable(root)} holds no export of VIA: a JSON or CSV file with regions is expected")
    pictures = {split: _read(file, attribute) for split, file in files.items()}
    if list(files) != ["all"]:
        for split, file in files.items():
            for picture in pictures[split]:
                picture.name = f"{file.parent.name}/{picture.name}"
    return sources_of_export(pictures, root, layout="via", images=images, classes=classes, unlabelled=unlabelled,
                             outlines=outlines)


def recognise_via(listing: Listing) -> Evidence:
    """A JSON or CSV file with regions."""
    if listing.is_file:
        return Evidence(LAYOUT if _is_via(listing.path) else 0, sentence=listing.path.name)
    file = next(iter(_files_in(listing).values()), None)
    return Evidence() if file is None else Evidence(LAYOUT, sentence=str(file.relative_to(listing.path)))


def _files_in(listing: Listing) -> dict[str, Path]:
    """The file of a folder as that of "all", else those in its splits."""
    for folders in ({"all": listing}, listing.splits):
        files = {split: file for split, folder in folders.items()
                 if (file := folder.first_of((".json", ".csv"), _is_via)) is not None}
        if files:
            return files
    return {}


def _is_via(file: Path) -> bool:
    text = beginning_of(file)
    if file.suffix.lower() == ".csv":
        return "region_shape_attributes" in text.partition("\n")[0]
    return '"_via_img_metadata"' in text or ('"shape_attributes"' in text and '"filename"' in text)


def _read(file: Path, attribute: str | None) -> list[ListedPicture]:
    pictures: dict[str, ListedPicture] = {}
    regions: list[tuple[ListedPicture, Mapping[str, Any], Mapping[str, Any], str]] = []
    for name, shape, attributes, where in _rows_of_csv(file) if file.suffix.lower() == ".csv" else _rows_of_json(file):
        picture = pictures.setdefault(name, ListedPicture(name))
        if shape:
            regions.append((picture, shape, attributes, where))
    key = attribute or _class_attribute([attributes for _, _, attributes, _ in regions])
    for picture, shape, attributes, where in regions:
        try:
            points = _points(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: the shape {str(dict(shape))[:60]!a} cannot be read ({error})") from error
        if points is None:
            picture.without_box += 1
            continue
        outline = polygon_from(points.ravel().tolist(), where) if len(points) > 2 and shape["name"] != "rect" else None
        picture.objects.append(ListedObject(_label(attributes, key), box_around(points), where, outline))
    return list(pictures.values())


Region = tuple[str, Mapping[str, Any], Mapping[str, Any], str]    # picture, shape, attributes, the entry for errors


def _rows_of_json(file: Path) -> Iterator[Region]:
    content = read_json(file)
    content = content.get("_via_img_metadata", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise DataError(f"{readable(file)} is no export of VIA: a map of pictures is expected")
    for key, entry in content.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("filename"), str):
            raise DataError(f"{readable(file)}: {key[:40]!a} names no picture: filename and regions are expected")
        yield entry["filename"], {}, {}, ""
        regions = entry.get("regions") or []
        for i, region in enumerate(regions.values() if isinstance(regions, dict) else regions):
            where = f"{readable(file)}: {readable(entry['filename'])}, regions[{i}]"
            if not isinstance(region, dict) or not isinstance(region.get("shape_attributes"), dict):
                raise DataError(f"{where}: has no shape_attributes")
            yield entry["filename"], region["shape_attributes"], region.get("region_attributes") or {}, where


def _rows_of_csv(file: Path) -> Iterator[Region]:
    rows = csv.DictReader(io.StringIO(read_text(file), newline=""))
    for line, row in enumerate(rows, 2):
        name = (row.get("filename") or row.get("#filename") or "").strip()
        where = f"{readable(file)}, line {line}"
        try:
            shape = json.loads(row.get("region_shape_attributes") or "{}")
            attributes = json.loads(row.get("region_attributes") or "{}")
        except ValueError as error:
            raise DataError(f"{where}: the attributes are not JSON ({error})") from error
        if not name or not isinstance(shape, dict) or not isinstance(attributes, dict):
            raise DataError(f"{where}: a filename, region_shape_attributes and region_attributes are expected")
        yield name, shape, attributes, where


def _points(shape: Mapping[str, Any]) -> np.ndarray | None:
    """Points [n, 2] of which the box around them is the object's; None of points and lines."""
    kind = shape["name"]
    if kind == "rect":
        x, y = float(shape["x"]), float(shape["y"])
        return np.array([(x, y), (x + float(shape["width"]), y + float(shape["height"]))])
    if kind in ("polygon", "polyline") and len(shape["all_points_x"]) > 2:    # polylines are drawn around objects too
        return np.array([shape["all_points_x"], shape["all_points_y"]], dtype=np.float64).T
    if kind == "circle":
        return ellipse(float(shape["cx"]), float(shape["cy"]), float(shape["r"]), float(shape["r"]))
    if kind == "ellipse":
        return ellipse(float(shape["cx"]), float(shape["cy"]), float(shape["rx"]), float(shape["ry"]))
    return None


def _class_attribute(regions: list[Mapping[str, Any]]) -> str | None:
    """The attribute that names the class: one that is called so, else the only one there is."""
    names = list(dict.fromkeys(name for attributes in regions for name, value in attributes.items() if value))
    usual = next((name for word in _LABELS for name in names if name.lower().strip() == word), None)
    return usual or (names[0] if len(names) == 1 else None)


def _label(attributes: Mapping[str, Any], key: str | None) -> str:
    value = attributes.get(key) if key is not None else None
    if isinstance(value, dict):    # check boxes: the first that is ticked
        value = next((name for name, ticked in value.items() if ticked), None)
    return str(value).strip() if value not in (None, "") else _CLASS


VIA = Format(via, recognise_via, suffixes=(".json", ".csv"))
