"""From picture files to predictions: what a network says of each, as values, JSON, CSV rows and captioned pictures."""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor, nn

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.base.files import write_atomic, write_text
from lensmith.base.masks import in_file
from lensmith.base.pictures import BadPicture, Form, Place, bring, decode
from lensmith.base.show import open_viewable
from lensmith.base.values import Boxes, Label, Mask, Numbers, Tags, Value
from lensmith.data.fitting import in_files, trimmed
from lensmith.data.sample import Batch
from lensmith.engine.evaluate import for_inference, predictions
from lensmith.engine.plan import Plan
from lensmith.ship import boxes_written, masks_written
from lensmith.tasks.task import Task

_LEAST, _MOST = 224, 1024    # pixels of a captioned picture's longer edge
_ELSEWHERE = "choose another folder with --out"
_LONGEST = 200               # bytes of a name that is kept; 255 are allowed, the temporary file's too
_SHOWN = 0.25                # the least score of an object that is shown
_SCORES = 1 << 25            # of pixels and classes that are held at a time, 128 MB
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

    @property
    def boxes(self) -> Boxes | None:
        """The objects found, the surest first, in the file's pixels; None where the network finds no objects."""
        value = self.values.get("boxes")
        return value if isinstance(value, Boxes) else None

    @property
    def mask(self) -> Mask | None:
        """The class of each pixel, uint8 at the file's own size, 255 where the network saw nothing; None where it
        gives no mask."""
        value = self.values.get("mask")
        return value if isinstance(value, Mask) else None

    @property
    def label(self) -> str | None:
        """The name of the likeliest class; None where the network gives no label."""
        value = self.values.get("label")
        return self.names["label"][int(value.index)] if isinstance(value, Label) else None

    @property
    def score(self) -> float | None:
        """The probability of that class."""
        top = self.top(1)
        return top[0][1] if top else None

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest class names with their probabilities, best first."""
        value = self.values.get("label")
        if not isinstance(value, Label):
            return []
        return [(self.names["label"][i], score) for i, score in value.top(k)]

    def as_json(self, top: int = 5) -> dict[str, Any]:
        """Plain data; of a label the `top` likeliest classes with their probabilities."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        shown: dict[str, Any] = {"file": self.file}
        for name, value in self.values.items():
            if isinstance(value, Label):
                shown |= {"label": self.label, "scores": {one: round(score, 6) for one, score in self.top(top)}}
            elif isinstance(value, Boxes):
                shown |= boxes_written.as_json(value, self.names[name])
            elif isinstance(value, Mask):
                shown |= masks_written.as_json(value, self.names[name])
            else:
                shown |= value.as_json(self.names[name])
        return shown

    def text(self, k: int = 3) -> str:
        """One line in words: `Ankle boot 97.1 %, Sneaker 2.5 %`."""
        if self.error is not None:
            return self.error
        parts = []
        for name, value in self.values.items():
            names = self.names[name]
            if isinstance(value, Label):
                parts.append(", ".join(f"{names[i]} {100 * score:.1f} %" for i, score in value.top(k)))
            elif isinstance(value, Tags):
                parts.append(", ".join(one for one, on in zip(names, value.present.tolist(), strict=True) if on)
                             or "no tag")
            elif isinstance(value, Numbers):
                pairs = zip(names, value.values.tolist(), strict=True)
                parts.append(", ".join(f"{one} {number:.5g}" for one, number in pairs))
            elif isinstance(value, Boxes):
                parts.append(boxes_written.in_words(value, names, k))
            elif isinstance(value, Mask):
                parts.append(masks_written.in_words(value, names, k))
        return "; ".join(parts)

    def rows(self, top: int = 1) -> list[dict[str, Any]]:
        """The lines of a CSV table: one a box where objects are looked for, one a class met of a mask, else `row`."""
        if self.mask is not None:
            return masks_written.as_rows(self.file, self.mask, self.names["mask"])
        if self.boxes is None:
            return [self.row(top)]
        return boxes_written.as_rows(self.file, self.boxes, self.names["boxes"])

    def row(self, top: int = 1) -> dict[str, Any]:
        """One line of a CSV table; the `top` likeliest classes as label, score, label2, score2, ..."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        row: dict[str, Any] = {"file": self.file}
        for name, value in self.values.items():
            if isinstance(value, Label):
                for i, (one, score) in enumerate(self.top(top), start=1):
                    number = "" if i == 1 else str(i)
                    row |= {f"label{number}": one, f"score{number}": round(score, 6)}
            elif isinstance(value, Tags):
                pairs = zip(self.names[name], value.present.tolist(), strict=True)
                row["tags"] = ";".join(one for one, on in pairs if on)
            elif isinstance(value, Numbers):
                row |= dict(zip(self.names[name], value.values.tolist(), strict=True))
            elif isinstance(value, Boxes):
                row["objects"] = len(value.classes)
        return row


def predict(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
            names: dict[str, tuple[str, ...]], batch: int = 64,
            only: Tensor | None = None) -> Iterator[Prediction]:
    """A prediction for each file, in order; one that cannot be read gives the reason, not another picture's answer.
    Boxes and masks are in the file's pixels, and where `only` (int64 [k]) names classes of those alone."""
    if getattr(task, "keeps_scores", False):
        batch = max(1, min(batch, _SCORES // (form.height * form.width * len(names["mask"]))))
    for start in range(0, len(files), batch):
        chosen = files[start : start + batch]
        answers: dict[int, Prediction] = {}
        images, places, rows = [], [], []
        for i, file in enumerate(chosen):
            name = f"picture {start + i}" if isinstance(file, Image.Image) else str(file)
            try:
                image, place = _read(file, form, name)
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
                if only is not None and isinstance(boxes := found["boxes"], Boxes):
                    found["boxes"] = boxes.chosen(torch.isin(boxes.classes, only))
                for number, i in enumerate(rows):
                    single = {key: _single(value, number, places[number]) for key, value in found.items()}
                    answers[i] = Prediction(places[number].file, single, names,
                                            from_memory=isinstance(chosen[i], Image.Image),
                                            size=places[number].size)
        yield from (answers[i] for i in range(len(chosen)))


def _single(value: Value, number: int, place: Place) -> Value:
    """The value of one picture; a mask only now in the file's size, since a stack has one size."""
    one = value[number]
    return in_file(one, place) if isinstance(one, Mask) else one


def deciding(task: Task, *, threshold: float | None, overlap: float | None) -> Task:
    """The task with other thresholds; by itself objects are shown from a score of 0.25 on."""
    if task.needs != ("boxes",):
        for name, value in (("threshold", threshold), ("iou", overlap)):
            if value is not None:
                raise UserError(f"--{name}={value:g} is for networks that find objects; this one gives "
                                f"{', '.join(task.needs)}")
        if not hasattr(task, "keeps_scores"):
            return task
        smooth: Any = copy(task)    # outlines at the size of the files come from the scores
        smooth.keeps_scores = True
        return cast(Task, smooth)
    for name, value in (("threshold", threshold), ("iou", overlap)):
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"--{name}={value:g} is not possible: accepted is 0 .. 1")
    decided: Any = copy(task)
    decided.threshold = _SHOWN if threshold is None else threshold
    if overlap is not None:
        decided.overlap = overlap
    shown: Task = decided
    return shown


def chosen_classes(names: dict[str, tuple[str, ...]], only: Sequence[str] | None) -> Tensor | None:
    """int64 [k]: the numbers of the classes that are to be shown; None where all are."""
    if only is None:
        return None
    if "boxes" not in names:
        raise UserError(f"--classes is for networks that find objects; this one gives {', '.join(names)}")
    known = names["boxes"]
    for name in only:
        if name not in known:
            raise UserError(f"the network knows no class {name!r}.{nearest(name, known)} It knows: "
                            f"{', '.join(known[:20])}{' ...' if len(known) > 20 else ''}")
    return torch.tensor([known.index(name) for name in only])


def _read(file: Path | Image.Image, form: Form, name: str) -> tuple[torch.Tensor, Place]:
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


def write_predictions(found: Sequence[Prediction], folder: Path, *, top: int = 3) -> None:
    """`predictions.json`, `predictions.csv` and a picture of each with what was said, numbered in order, into `folder`.

    That is a PNG with a caption; of boxes a JPEG at the file's own size, and `coco_results.json` and `labels/*.txt` in
    YOLO's form with them; of a mask a JPEG with it laid over, and `masks/*.png`, class numbers with a palette. A
    picture that came from memory is not drawn. Each file is whole or absent. Raises UserError
    where the folder cannot be written, DataError for a picture that has gone since.
    """
    rows = [row for one in found for row in one.rows(top)]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "predictions.json", json.dumps([one.as_json(top) for one in found], indent=1) + "\n")
        _write(folder / "predictions.csv", text.getvalue())
        _write_boxes(found, folder)
        _write_masks(found, folder)
        for number, one in enumerate(found):
            if one.error is None and not one.from_memory:
                path = folder / _numbered(number, one)
                if one.boxes is not None or one.mask is not None:
                    sheet = _overlaid(one)
                    save = partial(sheet.save, format="JPEG", quality=_QUALITY)
                    write_atomic(path.with_name(f"{path.name}.jpg"), save, advice=_ELSEWHERE)
                else:
                    sheet = caption(Path(one.file), one.text(top))
                    save = partial(sheet.save, format="PNG")
                    write_atomic(path.with_name(f"{path.name}.png"), save, advice=_ELSEWHERE)
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror or error}): {_ELSEWHERE}") from error


def _write(path: Path, text: str) -> None:
    # A file name that is no UTF-8 came in as lone surrogates, which no file can hold.
    write_text(path, text.encode("utf-8", "replace").decode("utf-8"), advice=_ELSEWHERE)


def _numbered(number: int, one: Prediction) -> str:
    """The name of a picture written, without suffix; it has at most 255 bytes, of which a letter takes up to four."""
    return f"{number:05d}-{Path(one.file).stem[:50]}"


def _write_boxes(found: Sequence[Prediction], folder: Path) -> None:
    """COCO results and a YOLO text for each picture in which objects were looked for, under its own name where no other
    has it."""
    looked = [(number, one, one.boxes) for number, one in enumerate(found) if one.boxes is not None]
    if not looked:
        return
    results = boxes_written.coco_results([one.file for _, one, _ in looked], [boxes for _, _, boxes in looked])
    _write(folder / "coco_results.json", json.dumps(results) + "\n")
    (folder / "labels").mkdir(exist_ok=True)
    for name, (_, one, boxes) in zip(_own_stems([(number, one) for number, one, _ in looked]), looked, strict=True):
        assert one.size is not None
        _write(folder / "labels" / f"{name}.txt", boxes_written.yolo_text(boxes, one.size))


def _own_stems(found: Sequence[tuple[int, Prediction]]) -> Iterator[str]:
    """A file name without suffix for each: its picture's own where no other has it, else a numbered one."""
    stems = Counter(Path(one.file).stem.lower() for _, one in found)    # some disks know no capitals
    for number, one in found:
        stem = Path(one.file).stem
        short = stems[stem.lower()] == 1 and len(os.fsencode(stem)) <= _LONGEST
        yield stem if short else _numbered(number, one)


def _write_masks(found: Sequence[Prediction], folder: Path) -> None:
    """A PNG of class numbers for each mask, under its picture's own name where no other has it."""
    made = [(number, one) for number, one in enumerate(found) if one.mask is not None]
    if made:
        (folder / "masks").mkdir(exist_ok=True)
    for stem, (_, one) in zip(_own_stems(made), made, strict=True):
        assert one.mask is not None
        save = partial(masks_written.as_png(one.mask).save, format="PNG")
        write_atomic(folder / "masks" / f"{stem}.png", save, advice=_ELSEWHERE)


def _overlaid(one: Prediction) -> Image.Image:
    """The picture at its own size with the boxes or the mask on it."""
    try:
        if one.boxes is not None:
            return boxes_written.drawn(Path(one.file), one.boxes, one.names["boxes"])
        assert one.mask is not None
        return masks_written.drawn(Path(one.file), one.mask, one.names["mask"])
    except BadPicture as error:
        raise DataError(f"{one.file} {error}") from error


def caption(source: Path, text: str) -> Image.Image:
    """The picture, upright and large enough to be looked at, with a line of text under it. Raises DataError."""
    try:
        image = open_viewable(source, least=_LEAST, most=_MOST)
    except BadPicture as error:
        raise DataError(f"{source} {error}") from error
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    height = max(13, image.width // 32)
    font = ImageFont.load_default(size=height)
    width = max(image.width, round(font.getlength(text)) + 12)
    sheet = Image.new("RGB", (width, image.height + round(height * 1.8)), "white")
    sheet.paste(image, ((width - image.width) // 2, 0))
    ImageDraw.Draw(sheet).text((6, image.height + height * 0.3), text, fill="black", font=font)
    return sheet
