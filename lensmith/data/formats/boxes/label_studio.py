"""Boxes as Label Studio exports them: JSON with a list of tasks, in full or as JSON-MIN."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from lensmith.base.errors import DataError
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.boxes.annotations import Unlabelled
from lensmith.data.formats.boxes.brush_rle import brush_mask
from lensmith.data.formats.boxes.exports import (
    ListedObject,
    ListedPicture,
    box_around,
    ellipse,
    sources_of_export,
    turned_rectangle,
)
from lensmith.data.formats.format import LAYOUT, NOTHING, Evidence, Format
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import beginning_of, existing, read_json
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import Shape, polygon_from, rle_of
from lensmith.data.sources.sample import Splits

_LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "labels")
_WITHOUT_BOX = ("keypointlabels", "vectorlabels", "bitmasklabels")


def label_studio(path: str, *, images: str | None = None, classes: list[str] | None = None,
                 unlabelled: Unlabelled = "leave", outlines: bool | None = None) -> Splits:
    """The pictures of Label Studio's JSON or JSON-MIN.

    Rectangles, polygons, ellipses and the masks of brushes give the boxes around them; keypoints and bit masks are
    counted. Of several annotations of a task the first that was not cancelled counts. A picture is found by the last
    steps of its path, also without the code that uploads get in front. Raises DataError with the file and the task that
    cannot be used.

    - `path`: the JSON file, or the folder that holds it.
    - `images`: the folder of the pictures, from that of the file; by default where they are found beside it.
    - `classes`: the only classes, in order; by default those that occur.
    - `unlabelled`: a task without annotation is left out (leave), shows no object (empty) or is an error (refuse).
    - `outlines`: whether each object comes with its pixels; by default where the task learns masks.
    """
    root = existing(path)
    file = root if root.is_file() else Listing(root).first_of((".json",), _is_label_studio)
    if file is None:
        raise DataError(f"{readable(root)} holds no JSON of Label Studio's")
    tasks = read_json(file)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError(f"{readable(file)} is no export of Label Studio: a list of tasks is expected")
    pictures = [_picture(task, f"{readable(file)}, task {task.get('id', i)}") for i, task in enumerate(tasks)]
    return sources_of_export({"all": pictures}, root, layout="label studio", images=images, classes=classes,
                             unlabelled=unlabelled, outlines=outlines)


def recognise_label_studio(listing: Listing) -> Evidence:
    """A JSON file that lists tasks with the labels of shapes."""
    if listing.is_file:
        return Evidence(LAYOUT if _is_label_studio(listing.path) else NOTHING, sentence=listing.path.name)
    file = listing.first_of((".json",), _is_label_studio)
    return Evidence() if file is None else Evidence(LAYOUT, sentence=file.name)


def _is_label_studio(file: Path) -> bool:
    text = beginning_of(file)
    return text.lstrip().startswith("[") and re.search(
        rf'"({"|".join(_LABELS[:-1])})"|"format"\s*:\s*"rle"', text) is not None


def _picture(task: Mapping[str, Any], where: str) -> ListedPicture:
    data = task.get("data") if isinstance(task.get("data"), dict) else task
    assert isinstance(data, Mapping)
    name = next((plain for value in data.values() if isinstance(value, str) and (plain := _path_of(value))), None)
    if name is None:
        raise DataError(f"{where}: names no picture")
    results = _results(task)
    picture = ListedPicture(name, labelled=results is not None)
    for i, (value, width, height) in enumerate(results or ()):
        if any(kind in value for kind in _WITHOUT_BOX) or ("brushlabels" in value and "rle" not in value):
            picture.without_box += 1
            continue
        labels = next((value[kind] for kind in _LABELS if kind in value), None)
        if labels is None:
            continue    # a choice or a text about the picture
        try:
            picture.size = float(width), float(height)
            corners, outline = _shape(value, picture.size, f"{where}, result {i}")
            label = str(labels[0]) if labels else ""
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{where}, result {i}: {str(dict(value))[:60]!a} is no shape that can be read "
                            f"({type(error).__name__}: {error})") from error
        picture.objects.append(ListedObject(label.strip(), corners, f"{where}, result {i}", outline))
    return picture


def _path_of(value: str) -> str | None:
    """The path in the value of a field, an address of Label Studio's included; None where it names no picture."""
    path = value.rpartition("?d=")[2].partition("?")[0]
    path = unquote(path.partition("://")[2] or path)
    return path if path.lower().endswith(SUFFIXES) else None


def _results(task: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Any, Any]] | None:
    """The shapes of a task, each with the width and height of the picture; None where nobody has looked at it."""
    if "data" in task:
        annotations = [one for one in task.get("annotations") or task.get("completions") or ()
                       if isinstance(one, dict) and not one.get("was_cancelled")]
        if not annotations:
            return None
        return [(result["value"], result.get("original_width"), result.get("original_height"))
                for result in annotations[0].get("result") or () if isinstance(result.get("value"), dict)]
    return list(_shapes_of_min(task))


def _shapes_of_min(task: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any, Any]]:
    for value in task.values():
        for each in value if isinstance(value, list) else ():
            if isinstance(each, dict) and "original_width" in each:
                yield each, each["original_width"], each.get("original_height")


def _shape(value: Mapping[str, Any], size: tuple[float, float],
           where: str) -> tuple[tuple[float, float, float, float], Shape | None]:
    """The box around a shape, whose numbers are percent of the picture, and its outline, None of a rectangle. A brush
    that has painted nothing has a box without area."""
    if "rle" in value:
        inside = brush_mask(value["rle"], (int(size[1]), int(size[0])), where)
        rows, columns = (np.flatnonzero(np.any(inside, axis=axis)) for axis in (1, 0))
        if not len(rows):
            return (0.0, 0.0, 0.0, 0.0), rle_of(inside, where)
        return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)), rle_of(inside, where)
    scale = np.array(size) / 100
    if "points" in value:
        outline = polygon_from((np.array(value["points"], dtype=np.float64) * scale).ravel().tolist(), where)
        return box_around(outline), outline
    x, y = float(value["x"]) * scale[0], float(value["y"]) * scale[1]
    if "radiusX" in value:
        points = ellipse(x, y, float(value["radiusX"]) * scale[0], float(value["radiusY"]) * scale[1])
        return box_around(points), points
    return turned_rectangle(x, y, float(value["width"]) * scale[0], float(value["height"]) * scale[1],
                            degrees=float(value.get("rotation") or 0)), None


LABEL_STUDIO = Format(label_studio, recognise_label_studio, suffixes=(".json",))
