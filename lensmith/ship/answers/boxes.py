"""Found boxes in words, table rows, COCO results and YOLO text, in the file's pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lensmith.values.boxes import Boxes

_COLUMNS = ("file", "label", "score", "x0", "y0", "x1", "y1")


def _scores(boxes: Boxes) -> list[float]:
    return [1.0] * len(boxes.classes) if boxes.scores is None else boxes.scores.tolist()


def _corners(boxes: Boxes) -> list[list[float]]:
    """To a thousandth of a pixel, which no picture can show and COCO's own files do not exceed."""
    return [[round(edge, 3) for edge in row] for row in boxes.corners.tolist()]


def in_words(boxes: Boxes, names: Sequence[str], k: int) -> str:
    """The k surest in one line: `dog 93.1 %, cat 80.2 % and 2 more`; without any `no object`."""
    found = [f"{names[number]} {100 * score:.1f} %"
             for number, score in zip(boxes.classes.tolist(), _scores(boxes), strict=True)]
    if not found:
        return "no object"
    more = len(found) - k
    return ", ".join(found[:k]) + (f" and {more} more" if more > 0 else "")


def as_json(boxes: Boxes, names: Sequence[str]) -> dict[str, Any]:
    """`boxes`: an object each with label, score and corners [x0, y0, x1, y1]."""
    rows = zip(boxes.classes.tolist(), _scores(boxes), _corners(boxes), strict=True)
    return {"boxes": [{"label": names[number], "score": round(score, 6), "corners": corners}
                      for number, score, corners in rows]}


def as_rows(file: str, boxes: Boxes, names: Sequence[str]) -> list[dict[str, Any]]:
    """A line of a table for each box: file, label, score, x0, y0, x1, y1; without any one with the file alone."""
    lines = [[file, one["label"], one["score"], *one["corners"]] for one in as_json(boxes, names)["boxes"]]
    return [dict(zip(_COLUMNS, line, strict=True)) for line in lines or [[file] + [""] * (len(_COLUMNS) - 1)]]


def coco_results(files: Sequence[str], found: Sequence[Boxes],
                 category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """What `loadRes` of pycocotools reads: an object for each box with its left, top, width and height.

    The image's id is the number that its file's name is, as COCO names its files, where all are such numbers and no two
    the same; else its place in the list, from 1. Category ids are the classes' places in the list of names, from 1,
    where no others are given.
    """
    stems = [Path(file).stem for file in files]
    named = all(stem.isascii() and stem.isdecimal() for stem in stems) and len(set(map(int, stems))) == len(stems)
    return [{"image_id": int(stem) if named else place, "file_name": Path(file).name,
             "category_id": number + 1 if category_ids is None else category_ids[number],
             "bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)], "score": round(score, 6)}
            for place, (file, stem, boxes) in enumerate(zip(files, stems, found, strict=True), start=1)
            for number, score, (x0, y0, x1, y1) in zip(boxes.classes.tolist(), _scores(boxes), _corners(boxes),
                                                       strict=True)]


def yolo_text(boxes: Boxes, size: tuple[int, int]) -> str:
    """A line a box: class number, centre x and y, width, height as shares of the file's `size` (height, width), score.

    Without the last column it is the form that YOLO trains on.
    """
    height, width = size
    lines = []
    for number, score, (x0, y0, x1, y1) in zip(boxes.classes.tolist(), _scores(boxes), boxes.corners.tolist(),
                                               strict=True):
        shares = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        lines.append(f"{number} {' '.join(f'{share:.6f}' for share in shares)} {score:.6f}\n")
    return "".join(lines)
