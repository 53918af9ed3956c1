"""Boxes as CVAT's own format has them, "CVAT for images": one XML file with all pictures and their shapes."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError, count
from lensmith.data.formats.boxes.annotations import Unlabelled
from lensmith.data.formats.boxes.exports import (
    ListedObject,
    ListedPicture,
    box_around,
    ellipse,
    sources_of_export,
    turned_rectangle,
)
from lensmith.data.formats.boxes.read_xml import read_xml
from lensmith.data.formats.format import LAYOUT, NOTHING, Evidence, Format
from lensmith.data.formats.given_splits import split_named
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import beginning_of, existing
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import Shape, polygon_from, rle_from
from lensmith.data.sources.sample import Splits

_SHAPES = {"box", "polygon", "ellipse", "mask"}
_WITHOUT_BOX = {"polyline", "points", "cuboid", "skeleton"}


def cvat(path: str, *, images: str | None = None, classes: list[str] | None = None, unlabelled: Unlabelled = "empty",
         outlines: bool | None = None) -> Splits:
    """The pictures of an export "CVAT for images". The subsets of the task are the splits where they are called so.

    Boxes, polygons, ellipses and masks give the boxes around them; lines, points and skeletons have none and are
    counted. Raises DataError with the file and the shape that cannot be used.

    - `path`: the XML file, or the folder that holds it.
    - `images`: the folder of the pictures, from that of the file; by default where they are found beside it.
    - `classes`: the only classes, in order; by default those that occur.
    - `unlabelled`: a picture that the file lists without shapes shows no object (empty), as every other.
    - `outlines`: whether each object comes with its pixels; by default where the task learns masks.
    """
    root = existing(path)
    file = root if root.is_file() else _file_in(Listing(root))
    if file is None:
        raise DataError(f"{readable(root)} holds no annotations.xml of CVAT")
    tree = read_xml(file)
    if tree.tag != "annotations":
        raise DataError(f"{readable(file)} is no export of CVAT: its first element is {tree.tag!a}, and 'annotations' "
                        "is expected")
    elements = tree.findall("image")
    if not elements:
        raise DataError(f"{readable(file)} lists no picture: export the task as \"CVAT for images\", not for video")
    splits = {split_named(element.get("subset") or "") for element in elements}
    divided = None not in splits and "train" in splits
    pictures: dict[str, list[ListedPicture]] = {}
    for element in elements:
        split = split_named(element.get("subset") or "") if divided else "all"
        pictures.setdefault(split or "all", []).append(_picture(element, file))
    tags = sum(len(element.findall("tag")) for element in elements)
    if tags and not any(picture.objects for of_split in pictures.values() for picture in of_split):
        raise DataError(f"{readable(file)} holds {count(tags, 'tag')} of whole pictures and no shape: they are not "
                        "read from here; export the task from CVAT as ImageNet, which gives class folders")
    return sources_of_export(pictures, root, layout="cvat", images=images, classes=classes, unlabelled=unlabelled,
                             outlines=outlines)


def recognise_cvat(listing: Listing) -> Evidence:
    """An XML file that begins with CVAT's `annotations`."""
    if listing.is_file:
        return Evidence(LAYOUT if _is_cvat(listing.path) else NOTHING, sentence=listing.path.name)
    file = _file_in(listing)
    return Evidence() if file is None else Evidence(LAYOUT, sentence=str(file.relative_to(listing.path)))


def _file_in(folder: Listing) -> Path | None:
    inner = folder.inner("annotations")
    return folder.first_of((".xml",), _is_cvat) or (inner.first_of((".xml",), _is_cvat) if inner is not None else None)


def _is_cvat(file: Path) -> bool:
    return re.match(r"\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)*<annotations\b", beginning_of(file), re.DOTALL) is not None


def _picture(element: Any, file: Path) -> ListedPicture:
    name = element.get("name") or ""
    where = f"{readable(file)}: {readable(name)}"
    if not name:
        raise DataError(f"{readable(file)}: a picture has no name")
    width, height = (_number(element, edge, where, 0.0) for edge in ("width", "height"))
    picture = ListedPicture(name, size=(width, height) if width and height else None)
    for i, shape in enumerate(element, 1):
        if shape.tag in _WITHOUT_BOX:
            picture.without_box += 1
        elif shape.tag in _SHAPES:
            picture.objects.append(_object(shape, f"{where}, {shape.tag} {i}", (int(height), int(width))))
    return picture


def _object(shape: Any, where: str, size: tuple[int, int]) -> ListedObject:
    outline: Shape | None = None
    if shape.tag == "box":
        x0, y0, x1, y1 = (_number(shape, edge, where) for edge in ("xtl", "ytl", "xbr", "ybr"))
        turned = _number(shape, "rotation", where, 0.0)
        corners = turned_rectangle(x0, y0, x1 - x0, y1 - y0, degrees=turned, about_centre=True)
    elif shape.tag == "polygon":
        outline = polygon_from(_numbers(shape.get("points") or "", where), where)
        corners = box_around(outline)
    elif shape.tag == "ellipse":
        outline = ellipse(*(_number(shape, name, where) for name in ("cx", "cy", "rx", "ry")))
        corners = box_around(outline)
    else:
        left, top, width, height = (int(_number(shape, name, where)) for name in ("left", "top", "width", "height"))
        corners = (float(left), float(top), float(left + width), float(top + height))
        outline = _mask(shape, where, (left, top, width, height), size)
    return ListedObject((shape.get("label") or "").strip(), corners, where, outline)


def _mask(shape: Any, where: str, box: tuple[int, int, int, int], size: tuple[int, int]) -> Shape:
    """A mask as COCO's RLE of the picture. CVAT writes the runs row by row, within the box of the mask."""
    left, top, width, height = box
    counts = [int(number) for number in _numbers(shape.get("rle") or "", where)]
    inside = min(left, top, width, height) >= 0 and left + width <= size[1] and top + height <= size[0]
    if not inside or min(counts, default=-1) < 0 or sum(counts) > width * height:
        raise DataError(f"{where}: the mask of {width} x {height} pixels does not fit its picture, or its runs do not")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    pixels = np.zeros(size, dtype=bool)
    cut = np.zeros(width * height, dtype=bool)
    cut[: len(values)] = values    # the last run outside may be left away
    pixels[top : top + height, left : left + width] = cut.reshape(height, width)
    flat = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    return rle_from([0, *runs] if flat[0] else runs, size, where)


def _number(element: Any, name: str, where: str, default: float | None = None) -> float:
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        return float(text)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {name} is {text!a}, and a number is expected") from error


def _numbers(text: str, where: str) -> list[float]:
    try:
        return [float(number) for number in re.split(r"[;,\s]+", text.strip()) if number]
    except ValueError as error:
        raise DataError(f"{where}: the points cannot be read ({error})") from error


CVAT = Format(cvat, recognise_cvat, suffixes=(".xml",))
