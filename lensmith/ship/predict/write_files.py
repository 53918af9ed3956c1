"""Predictions written into a folder: pictures, JSON, CSV, and the files of each kind of answer."""

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

from lensmith.base.atomic_files import write_atomic
from lensmith.base.csv_cells import guarded
from lensmith.base.output_folder import output_folder
from lensmith.ship.answers import ANSWERS
from lensmith.ship.answers.answer import ELSEWHERE, PictureAnswer, write_lines
from lensmith.ship.answers.by_target import by_names
from lensmith.ship.predict.overlay import caption, is_drawn, overlaid
from lensmith.ship.predict.prediction import Prediction

_LONGEST = 200                  # bytes of a name that is kept; 255 are allowed, the temporary file's too
_UNSAFE = re.compile(r"[^\w-]")    # what is replaced in the part of a file name that a target gives
_QUALITY = 92                   # of a JPEG with boxes: thin lines and letters stay clean


def write_predictions(found: Sequence[Prediction], folder: Path, *, top: int = 3,
                      category_ids: Sequence[int] | None = None,
                      image_ids: Mapping[str, int | str] | None = None) -> None:
    """`predictions.json`, `predictions.csv` and a picture of each, numbered in order, into `folder`.

    A picture is a PNG with a caption. Where boxes, a mask or a map of scores can be drawn over it, it is a JPEG at the
    file's own size. Boxes are also written as `coco_results.json` (`category_ids`: of the classes, where they are not
    1, 2, ...; `image_ids`: of pictures, by their real paths) and as `labels/*.txt` in YOLO's form, a mask as
    `masks/*.png`, class numbers with a palette. A picture that came from memory is not drawn. Of several targets, the
    names of these files end in that of the target, boxes and masks have tables of their own, and all is drawn on one
    picture. Each file is whole or absent, and only files that were written so before are replaced
    (base/output_folder.py). Raises UserError where the folder cannot be
    written or is the user's own, DataError for a picture that has gone since.
    """
    named = any(by_names(prediction.values) for prediction in found)
    with output_folder(folder, advice=ELSEWHERE) as aside:
        write_lines(aside / "predictions.json",
                    json.dumps([prediction.as_json(top) for prediction in found], indent=1) + "\n")
        write_lines(aside / "predictions.csv", _table([row for prediction in found for row in prediction.rows(top)]))
        for target in dict.fromkeys(name for prediction in found for name in prediction.values):
            _write_target(found, target, aside, f"-{_UNSAFE.sub('_', target)}" if named else "", category_ids,
                          image_ids or {})
        for number, prediction in enumerate(found):
            if prediction.error is None and not prediction.from_memory:
                _write_picture(prediction, aside / _numbered(number, prediction), top)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.writer(text, lineterminator="\n")
    table.writerows([map(guarded, columns), *([guarded(row.get(name, "")) for name in columns] for row in rows)])
    return text.getvalue()


def _numbered(number: int, prediction: Prediction) -> str:
    """The name of a picture written, without suffix; it has at most 255 bytes, of which a letter takes up to four."""
    return f"{number:05d}-{Path(prediction.file).stem[:50]}"


def _write_picture(prediction: Prediction, path: Path, top: int) -> None:
    """The picture with what was predicted; `path` is without suffix."""
    if is_drawn(prediction):
        save = partial(overlaid(prediction).save, format="JPEG", quality=_QUALITY)
        write_atomic(path.with_name(f"{path.name}.jpg"), save, advice=ELSEWHERE)
    else:
        save = partial(caption(Path(prediction.file), prediction.text(top)).save, format="PNG")
        write_atomic(path.with_name(f"{path.name}.png"), save, advice=ELSEWHERE)


def _write_target(found: Sequence[Prediction], target: str, folder: Path, ending: str,
                  category_ids: Sequence[int] | None, image_ids: Mapping[str, int | str]) -> None:
    """The files of one target: a table of its own where it has an `ending`, and those of its kind."""
    numbered = [(number, prediction) for number, prediction in enumerate(found) if target in prediction.values]
    answer = ANSWERS[numbered[0][1].values[target].kind]
    if ending and answer.as_rows is not None:
        rows = [row for _, prediction in numbered for row in
                answer.as_rows(prediction.file, prediction.values[target], prediction.names[target])]
        write_lines(folder / f"predictions{ending}.csv", _table(rows))
    if answer.write_beside is not None:
        answers = [PictureAnswer(prediction.file, stem, prediction.size, prediction.values[target],
                                 image_ids.get(os.path.realpath(prediction.file)))
                   for stem, (_, prediction) in zip(_stems(numbered), numbered, strict=True)]
        answer.write_beside(answers, folder, ending, category_ids)


def _stems(numbered: Sequence[tuple[int, Prediction]]) -> Iterator[str]:
    """A file name without suffix for each: its picture's own where no other has it, else a numbered one."""
    counts = Counter(Path(prediction.file).stem.lower() for _, prediction in numbered)    # some disks know no capitals
    for number, prediction in numbered:
        stem = Path(prediction.file).stem
        unique = counts[stem.lower()] == 1 and len(os.fsencode(stem)) <= _LONGEST
        yield stem if unique else _numbered(number, prediction)
