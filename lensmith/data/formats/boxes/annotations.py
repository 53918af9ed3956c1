"""Objects as annotation files list them: gathered by split, checked against their pictures, counted and stacked."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lensmith.base.errors import DataError, count, nearest
from lensmith.data.formats.class_names import check_names, ordered
from lensmith.data.formats.given_splits import NAMED, common_root, named_parts
from lensmith.data.sources.outlined_objects import with_outlines
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.rasterise import Outline, in_pixels
from lensmith.data.sources.sample import Parts
from lensmith.values.boxes import Boxes

# A picture without annotation shows no object, is left out, or is an error.
Unlabelled = Literal["empty", "leave", "refuse"]
_ROUNDING = 0.01    # pixels: what numbers of six digits lose; no overhang
_SLACK = (2.0, 0.01)    # pixels, and share of the picture's edge: an overhang up to the larger of both is a small one
_LONGEST = 1 << 24    # pixels: no edge is longer, and an area of such still fits float32


@dataclass
class Drawn:
    """The objects of one split as its files list them; `accepted` are the only classes, where they are fixed."""

    accepted: Sequence[str] | None = None
    relative: bool = False                                     # corners as shares of the picture's width and height
    paths: list[Path] = field(default_factory=list)            # one a picture
    declared: dict[int, tuple[float, float]] = field(default_factory=dict)    # picture -> width, height as annotated
    picture: list[int] = field(default_factory=list)           # one a box: the number of its picture
    corners: list[Sequence[float]] = field(default_factory=list)    # x0 y0 x1 y1
    classes: list[str] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    area: list[float] = field(default_factory=list)            # square pixels; NaN where the file does not say it
    outlines: list[Outline] | None = None                      # one a box where objects are wanted with their pixels
    bare: int = 0                                              # objects that were left out since they have no outline

    def add_picture(self, path: Path, *, width: float | None = None, height: float | None = None) -> None:
        """The picture that the boxes added next belong to; a declared size of 0 is none."""
        if width and height:
            self.declared[len(self.paths)] = (width, height)
        self.paths.append(path)

    def add(self, corners: Sequence[float], label: str, *, where: str, crowd: bool = False, area: float = math.nan,
            picture: int | None = None, outline: Outline | None = None) -> None:
        """A box of the last picture, or of `picture`; raises DataError with `where` for what no box can be."""
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


def boxed(drawn: Mapping[str, Drawn], *, names: Sequence[str] | None, folder: Path, account: dict[str, Any]) -> Parts:
    """The sources of the drawn splits, their boxes in the file's pixels, and `account` with what became of them. Where
    the objects have outlines the target is `masks`, in place of `boxes`.

    Without `names` the classes are those that occur, in order. A box that leaves its picture is cut at the edge
    (`clipped`: by up to 2 pixels or 1 % of the edge `small`, else `large`); what has no area, lies outside or is there
    twice is left out (`dropped`). Pictures that cannot be read keep their row: surveying the set finds them. Raises
    DataError for a set without pictures or objects to learn from.
    """
    drawn = named_parts(drawn) or {"all": Drawn()}
    whole = [one for part in drawn.values() for one in part.classes]
    names = tuple(names) if names is not None else ordered(set(whole))
    check_names(names, str(folder))
    first = next(iter(drawn.values()))
    if not any(part.paths for part in drawn.values()):
        raise DataError(f"{folder} holds no picture to learn from")
    bare = sum(part.bare for part in drawn.values())
    if bare and not first.classes:
        raise DataError(f"{folder} lists {count(bare, 'object')}, none with an outline, which masks are learned from: "
                        "learn the boxes with task.name=detection")
    if not first.classes:
        raise DataError(f"{folder} lists {count(len(first.paths), 'picture')} to learn from and no object in any: "
                        "there is nothing to learn")
    root = common_root(folder, [path for part in drawn.values() for path in part.paths])
    with_area = any(not math.isnan(one) for part in drawn.values() for one in part.area)
    tally = Tally()
    splits = {name: _source(part, names, root=root, with_area=with_area, tally=tally) for name, part in drawn.items()}
    boxes: dict[str, Any] = {name: next(iter(source.targets.values())) for name, source in splits.items()}
    seen = [set(source.paths) for source in splits.values()]
    twice = sum(map(len, seen)) - len(set().union(*seen))
    told = {"pictures": {name: len(source) for name, source in splits.items()},
            "boxes": {name: len(one.classes) for name, one in boxes.items()},
            "background": {name: len(source) - len(boxes[name].image.unique()) for name, source in splits.items()},
            "crowd": sum(int(one.crowd.sum()) for one in boxes.values()),
            **tally.mended(),
            "size_differs": tally.told("size_differs").get("size_differs", {"count": 0, "pictures": []}),
            "in_two_splits": twice, **({"without_outline": bare} if bare else {})}
    return Parts(dict(splits), {**account, **told})


class Tally:
    """How many boxes something was done to, and in which pictures."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.pictures: dict[str, list[str]] = {}

    def add(self, what: str, rows: np.ndarray, name: Callable[[int], str]) -> None:
        """`rows` int64 [k]: the picture of each thing counted; `name` says what it is called."""
        self.counts[what] = self.counts.get(what, 0) + len(rows)
        named = self.pictures.setdefault(what, [])
        named += [name(row) for row in dict.fromkeys(rows.tolist())][: NAMED - len(named)]

    def told(self, *what: str) -> dict[str, Any]:
        return {one: {"count": self.counts[one], "pictures": self.pictures[one]} for one in what
                if self.counts.get(one)}

    def mended(self) -> dict[str, Any]:
        """What `usable` has cut and left out, for data.json."""
        return {"clipped": self.told("small", "large"), "dropped": self.told("outside", "without_area", "duplicates")}


def _source(drawn: Drawn, names: tuple[str, ...], *, root: Path, with_area: bool, tally: Tally) -> Files:
    """A split with its boxes checked against the headers of its pictures."""
    target = "boxes" if drawn.outlines is None else "masks"
    bare = Files(drawn.paths, {}, {target: names}, root=root)
    sizes = np.array([(header.width, header.height) if header is not None else (math.nan, math.nan)
                      for header in survey(bare).headers]).reshape(-1, 2)    # float64 [pictures, 2]
    differs = [row for row, size in drawn.declared.items()
               if not np.isnan(sizes[row, 0]) and tuple(sizes[row]) != size]
    tally.add("size_differs", np.array(differs, dtype=np.int64), bare.name)
    number = {name: i for i, name in enumerate(names)}
    image = np.array(drawn.picture, dtype=np.int64)
    classes = np.array([number[name] for name in drawn.classes], dtype=np.int64)
    crowd, area = np.array(drawn.crowd, dtype=bool), np.array(drawn.area, dtype=np.float64)
    corners = np.array(drawn.corners, dtype=np.float64).reshape(-1, 4)
    edges = np.tile(sizes[image], 2)    # float64 [boxes, 4]: width height width height
    if drawn.relative:
        corners = corners * edges    # NaN where the picture cannot be read; it will be left out
    inside, rows = usable(corners, edges, image, classes, crowd, tally=tally, name=bare.name)
    own = (inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1])
    areas = torch.from_numpy(np.where(np.isnan(area[rows]), own, area[rows])).float() if with_area else None
    boxes = Boxes(torch.from_numpy(inside), torch.from_numpy(classes[rows]), image=torch.from_numpy(image[rows]),
                  crowd=torch.from_numpy(crowd[rows]), area=areas)
    if drawn.outlines is not None:
        outlines = [in_pixels(drawn.outlines[row], edges[row, :2] if drawn.relative else None) for row in rows.tolist()]
        boxes = with_outlines(boxes, outlines)
    return Files(drawn.paths, {target: boxes}, {target: names}, root=root)


def usable(corners: np.ndarray, edges: np.ndarray, image: np.ndarray, classes: np.ndarray, crowd: np.ndarray, *,
           tally: Tally, name: Callable[[int], str]) -> tuple[np.ndarray, np.ndarray]:
    """The corners, float32 [kept, 4], of the boxes that have an area in their picture, cut at its edges, each once;
    and which these are, int64 [kept], those of a picture together.

    `corners` float64 [n, 4] in pixels, `edges` [n, 4] width height width height of each one's picture, NaN where it is
    not known, `image`, `classes` and `crowd` [n]. What was cut and left out is counted in `tally`.
    """
    limits = np.where(np.isnan(edges), _LONGEST, edges)
    low, high = corners[:, :2], corners[:, 2:]
    empty = (high <= low).any(1)
    inside = np.clip(corners, 0, limits)
    overhang = np.abs(inside - corners).max(1, initial=0)
    inside = inside.astype(np.float32)
    outside = ~empty & (inside[:, 2:] <= inside[:, :2]).any(1)
    kept = ~empty & ~outside & ~np.isnan(inside).any(1)
    large = overhang > np.maximum(_SLACK[0], _SLACK[1] * limits.max(1, initial=0))
    tally.add("large", image[kept & large], name)
    tally.add("small", image[kept & ~large & (overhang > _ROUNDING)], name)
    tally.add("without_area", image[empty], name)
    tally.add("outside", image[outside], name)
    rows = np.flatnonzero(kept)
    # One key a box; the first of equal ones stays.
    keys = np.column_stack((image, classes, crowd, inside))[rows]
    alone = np.sort(np.unique(keys, axis=0, return_index=True)[1]) if len(rows) else rows
    again = np.setdiff1d(np.arange(len(rows)), alone)
    tally.add("duplicates", image[rows[again]], name)
    rows = rows[alone]
    rows = rows[np.argsort(image[rows], kind="stable")]
    return inside[rows], rows


