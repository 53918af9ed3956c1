"""The exports of annotation programs that list pictures and objects in one file: what they have in common."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lensmith.base.errors import DataError
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, Unlabelled, sources_of_boxes
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.located import Finder
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import Shape
from lensmith.data.sources.sample import Splits

_PICTURES = ("images", "image", "imgs", "img", "data", "pictures", "photos", "upload")    # in any case


@dataclass(frozen=True)
class ListedObject:
    """An object of a picture."""

    label: str
    corners: tuple[float, float, float, float]    # x0 y0 x1 y1 in pixels
    where: str                                    # the entry of its file, for errors
    outline: Shape | None = None                  # None of a box


@dataclass
class ListedPicture:
    """A picture with its objects, as a file lists it."""

    name: str
    objects: list[ListedObject] = field(default_factory=list)
    size: tuple[float, float] | None = None    # width, height
    labelled: bool = True                      # whether somebody has looked at it
    without_box: int = 0                       # points, lines and brushes, of which no box is taken


def sources_of_export(pictures: Mapping[str, Sequence[ListedPicture]], root: Path, *, layout: str,
                      images: str | None, classes: list[str] | None, unlabelled: Unlabelled,
                      outlines: bool | None) -> Splits:
    """The sources of the pictures by split, found below the folder of `root`; raises DataError.

    The settings are those of the formats. A picture that is nowhere is counted, and with all of them missing an error.
    """
    folder = root.parent if root.is_file() else root
    accepted = fixed_classes(classes)
    annotated: dict[str, AnnotatedSplit] = {}
    missing, without_label = list[str](), list[Path]()
    for split, listed in pictures.items():
        target = annotated[split] = AnnotatedSplit(accepted=accepted, outlines=[] if outlines else None)
        finder = Finder(_folders_of_pictures(folder, images))
        for picture in listed:
            path = finder.find(picture.name) or finder.find(_without_code(picture.name))
            if path is None:
                missing.append(picture.name)
                continue
            if not picture.labelled:
                without_label.append(path)
                if unlabelled != "empty":
                    continue
            width, height = picture.size or (None, None)
            target.add_picture(path, width=width, height=height)
            for each in picture.objects:
                if outlines and each.outline is None:
                    target.without_outline += 1
                    continue
                target.add(each.corners, each.label, where=each.where,
                           outline=[each.outline] if outlines and each.outline is not None else None)
    if missing and not any(target.paths for target in annotated.values()) and not without_label:
        raise DataError(f"{readable(root)} lists {missing[0]!r} and more, none of which is in or below "
                        f"{readable(folder)}: put the pictures there, or name their folder with data.images")
    if unlabelled == "refuse":
        refuse_unlabelled(without_label, "annotation")
    without_box = sum(picture.without_box for listed in pictures.values() for picture in listed)
    account: dict[str, Any] = {
        "folder": readable(folder), "layout": layout, "shapes_without_box": without_box,
        "unlabelled": {"count": len(without_label), "taken_as": unlabelled,
                       "pictures": listed_below(folder, without_label)},
        "labels_without_picture": {"count": len(missing), "files": missing[:10]}}
    return sources_of_boxes(annotated, names=accepted, folder=folder, account=account)


def _folders_of_pictures(folder: Path, images: str | None) -> list[Path]:
    """Where pictures are looked for: the setting data.images alone, else the folder and the usual ones in it."""
    if images is not None:
        given = folder / Path(images).expanduser()
        if not given.is_dir():
            raise DataError(f"data.images={given} is no folder")
        return [given]
    listing = Listing(folder)
    inner = [folder / name for name in listing.folders if name.lower() in _PICTURES]
    # Else any folder of pictures beside the file.
    others = [folder / name for name in listing.folders if folder / name not in inner
              and (found := listing.inner(name)) is not None and found.ending(SUFFIXES)]
    return [folder, *inner, *others]


def _without_code(name: str) -> str:
    """The name of a picture without the code that Label Studio puts in front of uploads: 1a2b3c4d-cat.jpg -> cat.jpg"""
    folder, file = os.path.split(name.replace("\\", "/"))
    return os.path.join(folder, re.sub(r"^[0-9a-f]{8}-", "", file))


def box_around(points: np.ndarray) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 of the box around points [n, 2]."""
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return x0, y0, x1, y1


def turned_rectangle(x: float, y: float, width: float, height: float, *, degrees: float = 0.0,
                     about_centre: bool = False) -> tuple[float, float, float, float]:
    """The box around a rectangle that is turned clockwise about its first corner or its centre."""
    corners = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    pivot = corners.mean(0) if about_centre else corners[0]
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return box_around((corners - pivot) @ turn + pivot)


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> np.ndarray:
    """float64 [32, 2]: points of an ellipse about a centre."""
    angles = np.linspace(0, 2 * math.pi, 32, endpoint=False)
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)
