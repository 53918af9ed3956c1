"""Predictions written into a folder: pictures, JSON, CSV, masks and COCO results."""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.errors import UserError
from lensmith.ship.answers import boxes as boxes_written
from lensmith.ship.answers import by_kind as values_written
from lensmith.ship.answers import instance_masks as instances_written
from lensmith.ship.answers import semantic_mask as masks_written
from lensmith.ship.predict.overlay import caption, overlaid
from lensmith.ship.predict.prediction import Prediction
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value, of_kind

_ELSEWHERE = "choose another folder with predict.out"
_LONGEST = 200               # bytes of a name that is kept; 255 are allowed, the temporary file's too
_FREE = re.compile(r"[^\w-]")   # what no part of a file name should hold
_QUALITY = 92                # of a JPEG with boxes: thin lines and letters stay clean


def write_predictions(found: Sequence[Prediction], folder: Path, *, top: int = 3,
                      category_ids: Sequence[int] | None = None) -> None:
    """`predictions.json`, `predictions.csv` and a picture of each with what was said, numbered in order, into `folder`.

    That is a PNG with a caption; of boxes a JPEG at the file's own size, and `coco_results.json` and `labels/*.txt` in
    YOLO's form with them (`category_ids`: of the classes, where they are not 1, 2, ...); of a mask a JPEG with it laid
    over, as of a map of scores, and `masks/*.png`, class numbers with a palette. A picture that came from memory is not
    drawn. Of several targets the names of these files end in that of the target, boxes and masks have tables of their
    own, and all is drawn on one picture. Each file is whole or absent. Raises UserError where the folder cannot be
    written, DataError for a picture that has gone since.
    """
    placed = list(dict.fromkeys(name for one in found for name in of_kind(one.values, Boxes, Mask)))
    several = any(values_written.several(one.values) for one in found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "predictions.json", json.dumps([one.as_json(top) for one in found], indent=1) + "\n")
        _write(folder / "predictions.csv", _table([row for one in found for row in one.rows(top)]))
        for name in placed:
            beside = f"-{_FREE.sub('_', name)}" if several else ""
            own = [(number, one, one.values[name]) for number, one in enumerate(found) if name in one.values]
            if several:
                lines = [values_written.as_rows(one.file, value, one.names[name]) for _, one, value in own]
                _write(folder / f"predictions{beside}.csv", _table([row for rows in lines for row in rows]))
            _write_boxes(own, folder, beside, category_ids)
            _write_masks(own, folder, beside)
        for number, one in enumerate(found):
            if one.error is None and not one.from_memory:
                path = folder / _numbered(number, one)
                if one.boxes is not None or one.mask is not None or one.map is not None:
                    sheet = overlaid(one)
                    save = partial(sheet.save, format="JPEG", quality=_QUALITY)
                    write_atomic(path.with_name(f"{path.name}.jpg"), save, advice=_ELSEWHERE)
                else:
                    sheet = caption(Path(one.file), one.text(top))
                    save = partial(sheet.save, format="PNG")
                    write_atomic(path.with_name(f"{path.name}.png"), save, advice=_ELSEWHERE)
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror or error}): {_ELSEWHERE}") from error


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    # A file name that is no UTF-8 came in as lone surrogates, which no file can hold.
    write_text(path, text.encode("utf-8", "replace").decode("utf-8"), advice=_ELSEWHERE)


def _numbered(number: int, one: Prediction) -> str:
    """The name of a picture written, without suffix; it has at most 255 bytes, of which a letter takes up to four."""
    return f"{number:05d}-{Path(one.file).stem[:50]}"


def _write_boxes(found: Sequence[tuple[int, Prediction, Value]], folder: Path, beside: str,
                 ids: Sequence[int] | None) -> None:
    """COCO results and a YOLO text for each picture in which objects were looked for, under its own name where no other
    has it."""
    looked = [(number, one, boxes) for number, one, boxes in found if isinstance(boxes, Boxes)]
    if not looked:
        return
    files, masked = [one.file for _, one, _ in looked], [boxes for _, _, boxes in looked if isinstance(boxes, Masks)]
    results = instances_written.coco_results(files, masked, [one.size or (0, 0) for _, one, _ in looked], ids) \
        if masked else boxes_written.coco_results(files, [boxes for _, _, boxes in looked], ids)
    _write(folder / f"coco_results{beside}.json", json.dumps(results) + "\n")
    texts = folder / f"labels{beside}"
    texts.mkdir(exist_ok=True)
    for name, (_, one, boxes) in zip(_own_stems(looked), looked, strict=True):
        assert one.size is not None
        _write(texts / f"{name}.txt", boxes_written.yolo_text(boxes, one.size))


def _own_stems(found: Sequence[tuple[int, Prediction, Value]]) -> Iterator[str]:
    """A file name without suffix for each: its picture's own where no other has it, else a numbered one."""
    stems = Counter(Path(one.file).stem.lower() for _, one, _ in found)    # some disks know no capitals
    for number, one, _ in found:
        stem = Path(one.file).stem
        short = stems[stem.lower()] == 1 and len(os.fsencode(stem)) <= _LONGEST
        yield stem if short else _numbered(number, one)


def _write_masks(found: Sequence[tuple[int, Prediction, Value]], folder: Path, beside: str) -> None:
    """A PNG of class numbers for each mask, under its picture's own name where no other has it."""
    made = [(number, one, mask) for number, one, mask in found if isinstance(mask, Mask)]
    if made:
        (folder / f"masks{beside}").mkdir(exist_ok=True)
    for stem, (_, _, mask) in zip(_own_stems(made), made, strict=True):
        save = partial(masks_written.as_png(mask).save, format="PNG")
        write_atomic(folder / f"masks{beside}" / f"{stem}.png", save, advice=_ELSEWHERE)
