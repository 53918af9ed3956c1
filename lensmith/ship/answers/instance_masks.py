"""The pixels of found objects in table rows and as COCO's run lengths; masks of the files' own sizes."""

from collections.abc import Sequence
from typing import Any

from lensmith.ship.answers import boxes as boxes_written
from lensmith.values.instance_masks import Masks, packed_text, pixel_counts, run_lengths


def as_json(masks: Masks, names: Sequence[str]) -> dict[str, Any]:
    """`objects`: each with label, score, corners [x0, y0, x1, y1] and the number of its pixels."""
    shown = boxes_written.as_json(masks, names)["boxes"]
    return {"objects": [one | {"pixels": pixels} for one, pixels in zip(shown, _pixels(masks), strict=True)]}


def as_rows(file: str, masks: Masks, names: Sequence[str]) -> list[dict[str, Any]]:
    """A line of a table for each object: as of boxes, and pixels; without any one with the file alone."""
    rows = boxes_written.as_rows(file, masks, names)
    return [row | {"pixels": pixels} for row, pixels in zip(rows, _pixels(masks) or [""], strict=True)]


def coco_results(files: Sequence[str], found: Sequence[Masks],
                 sizes: Sequence[tuple[int, int]], category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """What `loadRes` of pycocotools reads: as of boxes, with the pixels of each as `segmentation` in their place, in
    run lengths of the file's size, of `sizes` (height, width)."""
    runs = [{"size": list(size), "counts": packed_text(run_lengths(mask[:, : size[1]].numpy()))}
            for masks, size in zip(found, sizes, strict=True) for mask in map(masks.mask, range(len(masks.classes)))]
    rows = boxes_written.coco_results(files, found, category_ids)
    # With a box beside it pycocotools would take an object's area for that of the box.
    return [{name: part for name, part in row.items() if name != "bbox"} | {"segmentation": one}
            for row, one in zip(rows, runs, strict=True)]


def _pixels(masks: Masks) -> list[Any]:
    return pixel_counts(masks.bits).int().tolist()
