"""From picture files to predictions: what a network says of each, as values, JSON, CSV rows and captioned pictures."""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor, nn

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import BadPicture, Form, Place, bring, decode
from lensmith.base.viewing import open_viewable, open_whole
from lensmith.data.sources.fitting import in_files, trimmed
from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import for_inference, predictions
from lensmith.engine.plan.plan import Plan
from lensmith.ship.answers import boxes as boxes_written
from lensmith.ship.answers import by_kind as values_written
from lensmith.ship.answers import instance_masks as instances_written
from lensmith.ship.answers import semantic_mask as masks_written
from lensmith.ship.predict.score_map import ScoreMap
from lensmith.ship.predict.thresholds import held_scores
from lensmith.tasks.task import Task
from lensmith.values.drawing import draw_boxes, draw_mask, draw_masks
from lensmith.values.instance_masks import Masks, object_in_file
from lensmith.values.semantic_mask import in_file
from lensmith.values.value import Boxes, Label, Mask, Value, of_kind

_LEAST, _MOST = 224, 1024    # pixels of a captioned picture's longer edge
_ELSEWHERE = "choose another folder with --out"
_LONGEST = 200               # bytes of a name that is kept; 255 are allowed, the temporary file's too
_SCORES = 1 << 25            # of pixels and classes that are held at a time, 128 MB
_FREE = re.compile(r"[^\w-]")   # what no part of a file name should hold
_QUALITY = 92                # of a JPEG with boxes: thin lines and letters stay clean


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture; `error` instead where the picture could not be read."""

    file: str
    values: dict[str, Value] = field(default_factory=dict)              # target name -> a single value
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)     # target name -> class names
    error: str | None = None
    from_memory: bool = False                                           # `file` then only counts the pictures
    size: tuple[int, int] | None = None                                 # height, width of the file, upright
    map: ScoreMap | None = None    # of a fully convolutional classifier, where the picture is larger than it needs

    def _first(self, kind: type[Value]) -> str:
        """The name of the first value of a type; empty where there is none."""
        return next(iter(of_kind(self.values, kind)), "")

    @property
    def boxes(self) -> Boxes | None:
        """The objects found, the surest first, in the file's pixels; None where the network finds no objects. This, a
        mask and a label are the first of their kind; `values` has all."""
        value = self.values.get(self._first(Boxes))
        return value if isinstance(value, Boxes) else None

    @property
    def masks(self) -> Masks | None:
        """The objects with their pixels (`Masks.mask`) at the file's own size; None where the network gives none."""
        value = self.values.get(self._first(Masks))
        return value if isinstance(value, Masks) else None

    @property
    def mask(self) -> Mask | None:
        """The class of each pixel, uint8 at the file's own size, 255 where the network saw nothing; None where it
        gives no mask."""
        value = self.values.get(self._first(Mask))
        return value if isinstance(value, Mask) else None

    @property
    def label(self) -> str | None:
        """The name of the likeliest class; None where the network gives no label."""
        top = self.top(1)
        return top[0][0] if top else None

    @property
    def score(self) -> float | None:
        """The probability of that class."""
        top = self.top(1)
        return top[0][1] if top else None

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest class names with their probabilities, best first."""
        name = self._first(Label)
        value = self.values.get(name)
        return [(self.names[name][i], score) for i, score in value.top(k)] if isinstance(value, Label) else []

    def as_json(self, top: int = 5) -> dict[str, Any]:
        """Plain data; of a label the `top` likeliest classes with their probabilities; several values by name."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        places = {} if self.map is None else {"map": self.map.as_json(self.names[self._first(Label)])}
        return {"file": self.file, **values_written.as_json(self.values, self.names, top), **places}

    def text(self, k: int = 3) -> str:
        """One line in words: `Ankle boot 97.1 %, Sneaker 2.5 %`."""
        if self.error is not None:
            return self.error
        places = "" if self.map is None else f"; {self.map.in_words(self.names[self._first(Label)], k)}"
        return values_written.in_words(self.values, self.names, k) + places

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """The lines of a CSV table: one a box where objects alone are looked for, one a class met of a mask alone, else
        `row`."""
        placed = of_kind(self.values, Boxes, Mask)
        if not placed or values_written.several(self.values):
            return [self.row(top)]
        return values_written.as_rows(self.file, self.values[placed[0]], self.names[placed[0]])

    def row(self, top: int = 1) -> dict[str, Any]:
        """One line of a CSV table; the `top` likeliest classes as label, score, label2, score2, ..."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        return {"file": self.file, **values_written.as_row(self.values, self.names, top)}


def predict(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
            names: dict[str, tuple[str, ...]], batch: int = 64,
            only: Mapping[str, Tensor] | None = None) -> Iterator[Prediction]:
    """A prediction for each file, in order; one that cannot be read gives the reason, not another picture's answer.
    Boxes and masks are in the file's pixels; of a target in `only` boxes of those classes alone (int64 [k])."""
    if held := held_scores(task, names):
        batch = max(1, min(batch, _SCORES // (form.height * form.width * held)))
    for start in range(0, len(files), batch):
        chosen = files[start : start + batch]
        answers: dict[int, Prediction] = {}
        images, places, rows = [], [], []
        for i, file in enumerate(chosen):
            name = f"picture {start + i}" if isinstance(file, Image.Image) else str(file)
            try:
                image, place = read(file, form, name)
            except BadPicture as error:
                answers[i] = Prediction(name, error=str(error), from_memory=isinstance(file, Image.Image))
                continue
            images.append(image)
            places.append(place)
            rows.append(i)
        if images:
            whole = Batch(torch.stack(images), {}, places)
            if form.fit == "pad" and task.needs == ("boxes",):
                whole = trimmed(whole)
            network, plan = for_inference(network, plan, whole.images[:2].to(plan.device))
            for _, said, _ in predictions(network, task, [whole], plan=plan):
                found = in_files(said, whole.places)
                for key, classes in (only or {}).items():
                    boxes = found[key]
                    assert isinstance(boxes, Boxes)
                    found[key] = boxes.chosen(torch.isin(boxes.classes, classes))
                for number, i in enumerate(rows):
                    single = {key: _single(value, number, places[number], form.size) for key, value in found.items()}
                    answers[i] = Prediction(places[number].file, single, names,
                                            from_memory=isinstance(chosen[i], Image.Image),
                                            size=places[number].size)
        yield from (answers[i] for i in range(len(chosen)))


def _single(value: Value, number: int, place: Place, size: tuple[int, int]) -> Value:
    """The value of one picture; masks only now in the file's size, since a stack has one, `size`."""
    one = value[number]
    if isinstance(one, Masks):
        return object_in_file(one, place, size)
    return in_file(one, place) if isinstance(one, Mask) else one


def read(file: Path | Image.Image, form: Form, name: str) -> tuple[torch.Tensor, Place]:
    """A file or a Pillow picture in `form`, and its place; raises BadPicture."""
    if not isinstance(file, Image.Image):
        return decode(file, form, name=name)
    try:
        if 0 in file.size:
            raise BadPicture("has no pixels")
        return bring(ImageOps.exif_transpose(file), form, name=name)
    except BadPicture:
        raise
    except Exception as error:    # it may be opened and not yet decoded, closed again, or of a mode without colours
        raise BadPicture(f"cannot be decoded ({type(error).__name__}: {error})") from error


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


def overlaid(one: Prediction) -> Image.Image:
    """The picture at its own size with the masks and over them the boxes; of several targets the others below it."""
    try:
        if one.map is not None:
            return captioned(one.map.drawn(Path(one.file), one.names[one._first(Label)]), one.text(1))
        sheet = open_whole(Path(one.file))
    except BadPicture as error:
        raise DataError(f"{one.file} {error}") from error
    sheet, text = drawn_over(sheet, one), undrawn(one, 1)
    return captioned(sheet, text) if text else sheet


def drawn_over(sheet: Image.Image, one: Prediction) -> Image.Image:
    """The picture with the masks on it and over them the boxes."""
    for value, names in [(one.values[name], one.names[name]) for kind in (Mask, Boxes)
                         for name in of_kind(one.values, kind)]:
        if isinstance(value, Mask):
            sheet = draw_mask(sheet, value, names)
        elif isinstance(value, Masks):
            sheet = draw_masks(sheet, value, names, width=sheet.width)
        elif isinstance(value, Boxes):
            sheet = draw_boxes(sheet, value, names)
    return sheet


def undrawn(one: Prediction, k: int) -> str:
    """In words what was said and cannot be drawn over the picture."""
    others = {name: value for name, value in one.values.items() if not isinstance(value, Mask | Boxes)}
    return values_written.in_words(others, one.names, k)


def caption(source: Path, text: str) -> Image.Image:
    """The picture, upright and large enough to be looked at, with a line of text under it. Raises DataError."""
    try:
        image = open_viewable(source, least=_LEAST, most=_MOST)
    except BadPicture as error:
        raise DataError(f"{source} {error}") from error
    return captioned(image, text)


def captioned(image: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text under it."""
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    height = max(13, image.width // 32)
    font = ImageFont.load_default(size=height)
    width = max(image.width, round(font.getlength(text)) + 12)
    sheet = Image.new("RGB", (width, image.height + round(height * 1.8)), "white")
    sheet.paste(image, ((width - image.width) // 2, 0))
    ImageDraw.Draw(sheet).text((6, image.height + height * 0.3), text, fill="black", font=font)
    return sheet
