"""Objects with their pixels in table rows, JSON and COCO results; the masks are of the files' own sizes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.ship.answers import boxes
from lensmith.ship.answers.answer import PictureAnswer, write_lines
from lensmith.values.drawing import draw_masks
from lensmith.values.instance_masks import Masks, pixel_counts, rle_counts, rle_text


def as_json(masks: Masks, names: Sequence[str], top: int = 5) -> dict[str, Any]:
    """`objects`: each with label, score, corners [x0, y0, x1, y1] and the number of its pixels."""
    entries = boxes.as_json(masks, names)["boxes"]
    return {"objects": [entry | {"pixels": pixels} for entry, pixels in zip(entries, _pixels(masks), strict=True)]}


def as_rows(file: str, masks: Masks, names: Sequence[str]) -> list[dict[str, Any]]:
    """A line of a table for each object: as of boxes, and pixels; without any one with the file alone."""
    rows = boxes.as_rows(file, masks, names)
    return [row | {"pixels": pixels} for row, pixels in zip(rows, _pixels(masks) or [""], strict=True)]


def draw(picture: Image.Image, masks: Masks, names: Sequence[str]) -> Image.Image:
    return draw_masks(picture, masks, names, width=picture.width)


def write_beside(answers: Sequence[PictureAnswer], folder: Path, ending: str,
                 category_ids: Sequence[int] | None) -> None:
    """As of boxes, with the pixels of each object in `coco_results.json`."""
    results = coco_segmentations([answer.file for answer in answers], [answer.value for answer in answers],
                                 [answer.size or (0, 0) for answer in answers], category_ids,
                                 [answer.image_id for answer in answers])
    write_lines(folder / f"coco_results{ending}.json", json.dumps(results) + "\n")
    boxes.write_yolo_texts(answers, folder / f"labels{ending}")


def coco_segmentations(files: Sequence[str], found: Sequence[Masks], sizes: Sequence[tuple[int, int]],
                       category_ids: Sequence[int] | None = None,
                       image_ids: Sequence[int | str | None] | None = None) -> list[dict[str, Any]]:
    """What `loadRes` of pycocotools reads: as of boxes, with `segmentation`, the RLE of the pixels, instead of `bbox`.

    `sizes` (height, width) are those of the files.
    """
    segmentations = [{"size": list(size), "counts": rle_text(rle_counts(mask[:, : size[1]].numpy()))}
                     for masks, size in zip(found, sizes, strict=True)
                     for mask in map(masks.mask, range(len(masks.classes)))]
    rows = boxes.coco_results(files, found, category_ids, image_ids)
    # With a box beside it pycocotools would take an object's area for that of the box.
    return [{name: entry for name, entry in row.items() if name != "bbox"} | {"segmentation": segmentation}
            for row, segmentation in zip(rows, segmentations, strict=True)]


def _pixels(masks: Masks) -> list[Any]:
    return pixel_counts(masks.bits).int().tolist()
