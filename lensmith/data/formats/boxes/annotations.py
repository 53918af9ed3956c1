"""Objects as annotation files list them: gathered by split, checked against their pictures, counted and stacked."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lensmith.base.errors import DataError, count, nearest
from lensmith.data.formats.boxes.turned_pictures import drawn_before_rotation, turned_corners
from lensmith.data.formats.class_names import alike, check_names, ordered
from lensmith.data.formats.given_splits import LISTED, common_root, listed_below, splits_with_pictures
from lensmith.data.sources.outlined_objects import with_outlines
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.rasterise import Outline, in_pixels, upright_outline
from lensmith.data.sources.sample import Splits
from lensmith.values.boxes import Boxes

# A picture without annotation shows no object, is left out, or is an error.
Unlabelled = Literal["empty", "leave", "refuse"]
_ROUNDING = 0.01    # pixels: corners of six digits may be off by as much, which is not counted as leaving the picture
_SMALL = (2.0, 0.01)    # pixels, and fraction of the picture's edge: leaving it by up to the larger of both is "small"
_LONGEST = 1 << 24    # pixels: no picture has a longer edge, and the area of such a one still fits float32


@dataclass
class AnnotatedSplit:
    """The pictures of one split and the objects in them, as the annotation files list them."""

    accepted: Sequence[str] | None = None                      # the only classes, where they are fixed
    relative: bool = False                                     # corners are fractions of the picture's width and height
    paths: list[Path] = field(default_factory=list)            # one a picture
    declared: dict[int, tuple[float, float]] = field(default_factory=dict)    # picture -> width, height as annotated
    picture: list[int] = field(default_factory=list)           # one a box: the number of its picture
    corners: list[Sequence[float]] = field(default_factory=list)    # x0 y0 x1 y1
    classes: list[str] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    area: list[float] = field(default_factory=list)            # square pixels; NaN where the file does not say it
    outlines: list[Outline] | None = None                      # one a box, where objects are wanted with their pixels
    without_outline: int = 0                                   # objects that were left out since they have no outline

    def add_picture(self, path: Path, *, width: float | None = None, height: float | None = None) -> None:
        """The picture that the boxes added next belong to; width and height as annotated, 0 where they are not."""
        if width and height:
            self.declared[len(self.paths)] = (width, height)
        self.paths.append(path)

    def add(self, corners: Sequence[float], label: str, *, where: str, crowd: bool = False, area: float = math.nan,
            picture: int | None = None, outline: Outline | None = None) -> None:
        """A box of the last picture, or of number `picture`; raises DataError, which begins with `where`."""
        if not all(map(math.isfinite, corners)):
            raise DataError(f"{where}: the box holds a number that is not finite ({', '.join(map(str, corners))})")
        if not label:
            raise DataError(f"{where}: the object has no class")
        if self.accepted is not None and label not in self.accepted:
            raise DataError(f"{where}: class {label!r} is not one of the accepted.{nearest(label, self.accepted)} "
                            f"Accepted: {', '.join(self.accepted[:20])}{' ...' if len(self.accepted) > 20 else ''}.")
        self.picture.append(len(self.paths) - 1 if picture is None else picture)
        self.corners.append(corners)
        self.classes.append(label)
        self.crowd.append(crowd)
        self.area.append(area)
        if self.outlines is not None and outline is not None:
            self.outlines.append(outline)


def sources_of_boxes(annotated: Mapping[str, AnnotatedSplit], *, names: Sequence[str] | None, folder: Path,
                     account: dict[str, Any]) -> Splits:
    """The sources of the annotated splits, with their boxes in the pixels of the files, and `account` extended by what
    became of them. Where the objects have outlines the target is `masks` in place of `boxes`.

    `names` are the classes in order; without it they are those that occur. A box that leaves its picture is cut at the
    edge and counted as `clipped` (`small` by up to 2 pixels or 1 % of the edge, else `large`). A box without area,
    outside of its picture or there twice is left out and counted as `dropped`. Pictures that cannot be read keep their
    row, since surveying the set finds them. Raises DataError for a set without pictures or objects to learn from.
    """
    annotated = splits_with_pictures(annotated) or {"all": AnnotatedSplit()}
    names = tuple(names) if names is not None else \
        ordered({label for split in annotated.values() for label in split.classes})
    check_names(names, str(folder))
    without_outline = _check_content(annotated, folder)
    root = common_root(folder, [path for split in annotated.values() for path in split.paths])
    with_area = any(not math.isnan(area) for split in annotated.values() for area in split.area)
    tally = Tally()
    splits = {name: _source(split, names, root=root, with_area=with_area, tally=tally)
              for name, split in annotated.items()}
    boxes: dict[str, Any] = {name: next(iter(source.targets.values())) for name, source in splits.items()}
    paths = [path for source in splits.values() for path in dict.fromkeys(source.paths)]
    in_two = [path for path, times in Counter(paths).items() if times > 1]
    counts = {"pictures": {name: len(source) for name, source in splits.items()},
              "boxes": {name: len(value.classes) for name, value in boxes.items()},
              "background": {name: len(source) - len(boxes[name].image.unique()) for name, source in splits.items()},
              "crowd": sum(int(value.crowd.sum()) for value in boxes.values()),
              **tally.repairs(),
              "size_differs": tally.account("size_differs").get("size_differs", {"count": 0, "pictures": []}),
              "in_two_splits": {"count": len(in_two), "pictures": listed_below(root, in_two)},
              **({"without_outline": without_outline} if without_outline else {})}
    if same := alike(names, "one of them"):
        counts["notes"] = [*account.get("notes", []), *same]
    return Splits(dict(splits), {**account, **counts})


def _check_content(annotated: Mapping[str, AnnotatedSplit], folder: Path) -> int:
    """How many objects were left out for want of an outline; raises DataError where nothing is left to learn."""
    first = next(iter(annotated.values()))
    if not any(split.paths for split in annotated.values()):
        raise DataError(f"{folder} holds no picture to learn from")
    without_outline = sum(split.without_outline for split in annotated.values())
    if without_outline and not first.classes:
        raise DataError(f"{folder} lists {count(without_outline, 'object')}, none with an outline, which masks are "
                        "learned from: learn the boxes with task.name=detection")
    if not first.classes:
        raise DataError(f"{folder} lists {count(len(first.paths), 'picture')} to learn from and no object in any: "
                        "there is nothing to learn")
    return without_outline


class Tally:
    """How many boxes something was done to, and in which pictures."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.pictures: dict[str, dict[str, None]] = {}    # each once, in order

    def add(self, what: str, rows: np.ndarray, name: Callable[[int], str]) -> None:
        """Count `what` once for each of `rows`, int64 [k], the numbers of pictures; `name` gives a picture's name."""
        self.counts[what] = self.counts.get(what, 0) + len(rows)
        names = self.pictures.setdefault(what, {})
        for row in dict.fromkeys(rows.tolist()) if len(names) < LISTED else ():
            names[name(row)] = None

    def account(self, *keys: str) -> dict[str, Any]:
        """What was counted under the keys, as data.json keeps it."""
        return {key: {"count": self.counts[key], "pictures": list(self.pictures[key])[:LISTED]} for key in keys
                if self.counts.get(key)}

    def repairs(self) -> dict[str, Any]:
        """What `usable_boxes` has set right, cut and left out, as data.json keeps it."""
        return {**self.account("swapped", "turned", "maybe_turned"), "clipped": self.account("small", "large"),
                "dropped": self.account("outside", "without_area", "duplicates")}


def _source(split: AnnotatedSplit, names: tuple[str, ...], *, root: Path, with_area: bool, tally: Tally) -> Files:
    """A split with its boxes checked against the headers of its pictures."""
    target = "boxes" if split.outlines is None else "masks"
    pictures = Files(split.paths, {}, {target: names}, root=root)
    headers = survey(pictures).headers
    sizes = np.array([(header.width, header.height) if header is not None else (math.nan, math.nan)
                      for header in headers]).reshape(-1, 2)    # float64 [pictures, 2]
    orientation = np.array([1 if header is None else header.orientation for header in headers], dtype=np.int64)
    number = {name: i for i, name in enumerate(names)}
    image = np.array(split.picture, dtype=np.int64)
    classes = np.array([number[name] for name in split.classes], dtype=np.int64)
    crowd, area = np.array(split.crowd, dtype=bool), np.array(split.area, dtype=np.float64)
    corners = np.array(split.corners, dtype=np.float64).reshape(-1, 4)
    edges = np.tile(sizes[image], 2)    # float64 [boxes, 4]: width height width height
    stored = np.zeros(len(headers), dtype=bool)    # pictures whose labels are of the file before its EXIF rotation
    if split.relative:
        corners = corners * edges    # NaN where the picture cannot be read; it will be left out
        if not split.declared:
            labelled = np.isin(np.arange(len(headers)), image)
            tally.add("maybe_turned", np.flatnonzero(labelled & (orientation != 1)), pictures.name)
    else:
        stored = drawn_before_rotation(headers, split.declared, corners, image)
        rows = np.flatnonzero(stored[image])
        corners[rows] = turned_corners(corners[rows], orientation[image[rows]], edges[rows, :2])
    differs = [row for row, size in split.declared.items()
               if not np.isnan(sizes[row, 0]) and tuple(sizes[row]) != size and not stored[row]]
    tally.add("size_differs", np.array(differs, dtype=np.int64), pictures.name)
    tally.add("turned", np.flatnonzero(stored), pictures.name)
    inside, rows = usable_boxes(corners, edges, image, classes, crowd, tally=tally, name=pictures.name)
    box_area = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1])
    areas = torch.from_numpy(np.where(np.isnan(area[rows]), box_area, area[rows])).float() if with_area else None
    boxes = Boxes(torch.from_numpy(inside), torch.from_numpy(classes[rows]), image=torch.from_numpy(image[rows]),
                  crowd=torch.from_numpy(crowd[rows]), area=areas)
    if split.outlines is not None:
        outlines = [in_pixels(split.outlines[row], edges[row, :2] if split.relative else None) for row in rows.tolist()]
        outlines = [upright_outline(outline, int(orientation[image[row]]), edges[row, :2]) if stored[image[row]]
                    else outline for outline, row in zip(outlines, rows.tolist(), strict=True)]
        boxes = with_outlines(boxes, outlines)
    return Files(split.paths, {target: boxes}, {target: names}, root=root)


def usable_boxes(corners: np.ndarray, edges: np.ndarray, image: np.ndarray, classes: np.ndarray, crowd: np.ndarray, *,
                 tally: Tally, name: Callable[[int], str]) -> tuple[np.ndarray, np.ndarray]:
    """The boxes that have an area in their picture, cut at its edges, each once, those of a picture together. Corners
    that are swapped are set right.

    -> their corners, float32 [kept, 4], and their numbers among the given boxes, int64 [kept]. `corners` are float64
    [n, 4] in pixels; `edges` [n, 4], width height width height of each box's picture, NaN where they are not known;
    `image`, `classes` and `crowd` [n]. What was cut and what was left out is counted in `tally`, with the `name` of the
    picture.
    """
    limits = np.where(np.isnan(edges), _LONGEST, edges)
    swapped = (corners[:, 2:] < corners[:, :2]).any(1)
    ends = corners.reshape(-1, 2, 2)
    corners = np.concatenate((ends.min(1), ends.max(1)), 1)
    empty = (corners[:, 2:] <= corners[:, :2]).any(1)
    inside = np.clip(corners, 0, limits)
    overhang = np.abs(inside - corners).max(1, initial=0)
    inside = inside.astype(np.float32)
    outside = ~empty & (inside[:, 2:] <= inside[:, :2]).any(1)
    kept = ~empty & ~outside & ~np.isnan(inside).any(1)
    large = overhang > np.maximum(_SMALL[0], _SMALL[1] * limits.max(1, initial=0))
    tally.add("large", image[kept & large], name)
    tally.add("small", image[kept & ~large & (overhang > _ROUNDING)], name)
    tally.add("swapped", image[kept & swapped], name)
    tally.add("without_area", image[empty], name)
    tally.add("outside", image[outside], name)
    rows = np.flatnonzero(kept)
    # Of boxes that are equal in every column the first one stays.
    columns = np.column_stack((image, classes, crowd, inside))[rows]
    first = np.sort(np.unique(columns, axis=0, return_index=True)[1]) if len(rows) else rows
    again = np.setdiff1d(np.arange(len(rows)), first)
    tally.add("duplicates", image[rows[again]], name)
    rows = rows[first]
    rows = rows[np.argsort(image[rows], kind="stable")]
    return inside[rows], rows
