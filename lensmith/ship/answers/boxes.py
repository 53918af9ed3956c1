"""Objects as boxes in words, table rows, COCO results and YOLO text, in the file's pixels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.ship.answers.answer import PictureAnswer, prefix_of, write_lines
from lensmith.values.boxes import Boxes
from lensmith.values.drawing import draw_boxes

_COLUMNS = ("file", "label", "score", "x0", "y0", "x1", "y1")


def _scores(boxes: Boxes) -> list[float]:
    return [1.0] * len(boxes.classes) if boxes.scores is None else boxes.scores.tolist()


def _corners(boxes: Boxes) -> list[list[float]]:
    """To a thousandth of a pixel, which no picture can show and COCO's own files do not exceed."""
    return [[round(edge, 3) for edge in corners] for corners in boxes.corners.tolist()]


def in_words(boxes: Boxes, names: Sequence[str], k: int) -> str:
    """The k objects with the highest scores: `dog 93.1 %, cat 80.2 % and 2 more`; without any `no object`."""
    objects = [f"{names[number]} {100 * score:.1f} %"
               for number, score in zip(boxes.classes.tolist(), _scores(boxes), strict=True)]
    if not objects:
        return "no object"
    more = len(objects) - k
    return ", ".join(objects[:k]) + (f" and {more} more" if more > 0 else "")


def as_json(boxes: Boxes, names: Sequence[str], top: int = 5) -> dict[str, Any]:
    """`boxes`: an entry for each object with label, score and corners [x0, y0, x1, y1]."""
    rows = zip(boxes.classes.tolist(), _scores(boxes), _corners(boxes), strict=True)
    return {"boxes": [{"label": names[number], "score": round(score, 6), "corners": corners}
                      for number, score, corners in rows]}


def as_columns(boxes: Boxes, names: Sequence[str], top: int, target: str) -> dict[str, Any]:
    """The number of objects."""
    return {f"{prefix_of(target)}objects": len(boxes.classes)}


def as_rows(file: str, boxes: Boxes, names: Sequence[str]) -> list[dict[str, Any]]:
    """A line of a table for each object: file, label, score, x0, y0, x1, y1; without any one with the file alone."""
    lines = [[file, entry["label"], entry["score"], *entry["corners"]] for entry in as_json(boxes, names)["boxes"]]
    return [dict(zip(_COLUMNS, line, strict=True)) for line in lines or [[file] + [""] * (len(_COLUMNS) - 1)]]


def draw(picture: Image.Image, boxes: Boxes, names: Sequence[str]) -> Image.Image:
    return draw_boxes(picture, boxes, names)


def write_beside(answers: Sequence[PictureAnswer], folder: Path, ending: str,
                 category_ids: Sequence[int] | None) -> None:
    """`coco_results.json`, and `labels/` with a text for each picture in YOLO's form."""
    results = coco_results([answer.file for answer in answers], [answer.value for answer in answers], category_ids,
                           [answer.image_id for answer in answers])
    write_lines(folder / f"coco_results{ending}.json", json.dumps(results) + "\n")
    write_yolo_texts(answers, folder / f"labels{ending}")


def coco_results(files: Sequence[str], found: Sequence[Boxes],
                 category_ids: Sequence[int] | None = None,
                 image_ids: Sequence[int | str | None] | None = None) -> list[dict[str, Any]]:
    """What `loadRes` of pycocotools reads: an entry for each object with its left, top, width and height.

    COCO names a file by the id of its image: `image_ids`, one a file, None where it is not known. Where none is, and
    all file names are such numbers and no two are the same, they give the ids; else an id is the file's position in the
    list, from 1, or the next number that no other has. Category ids are the classes' positions in the list of names,
    from 1, where no others are given.
    """
    ids = _image_ids(files, image_ids or [None] * len(files))
    return [{"image_id": image_id, "file_name": Path(file).name,
             "category_id": number + 1 if category_ids is None else category_ids[number],
             "bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)], "score": round(score, 6)}
            for image_id, file, boxes in zip(ids, files, found, strict=True)
            for number, score, (x0, y0, x1, y1) in zip(boxes.classes.tolist(), _scores(boxes), _corners(boxes),
                                                       strict=True)]


def _image_ids(files: Sequence[str], known: Sequence[int | str | None]) -> list[int | str]:
    """The id of each file in COCO results."""
    stems = [Path(file).stem for file in files]
    named = all(stem.isascii() and stem.isdecimal() for stem in stems) and len(set(map(int, stems))) == len(stems)
    used = {image_id for image_id in known if image_id is not None}
    ids: list[int | str] = []
    for position, (stem, image_id) in enumerate(zip(stems, known, strict=True), start=1):
        if image_id is not None:
            ids.append(image_id)
            continue
        number = int(stem) if named and not any(known) else position
        while number in used:
            number += 1
        used.add(number)
        ids.append(number)
    return ids


def write_yolo_texts(answers: Sequence[PictureAnswer], folder: Path) -> None:
    """A text for each picture in which objects were looked for."""
    folder.mkdir(exist_ok=True)
    for answer in answers:
        assert answer.size is not None
        write_lines(folder / f"{answer.stem}.txt", yolo_text(answer.value, answer.size))


def yolo_text(boxes: Boxes, size: tuple[int, int]) -> str:
    """A line for each object: class number, centre x and y, width, height and score.

    The lengths are fractions of the file's `size` (height, width). Without the score it is the form that YOLO trains
    on.
    """
    height, width = size
    lines = []
    for number, score, (x0, y0, x1, y1) in zip(boxes.classes.tolist(), _scores(boxes), boxes.corners.tolist(),
                                               strict=True):
        fractions = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        lines.append(f"{number} {' '.join(f'{fraction:.6f}' for fraction in fractions)} {score:.6f}\n")
    return "".join(lines)
