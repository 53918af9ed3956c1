"""From picture files to predictions: what a network says of each, as values, JSON, CSV rows and captioned pictures."""

import csv
import glob
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import nn

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.base.files import write_atomic, write_text
from lensmith.base.pictures import SUFFIXES, BadPicture, Form, Place, bring, decode
from lensmith.base.show import open_viewable
from lensmith.base.values import Label, Numbers, Tags, Value
from lensmith.data.sample import Batch
from lensmith.engine.evaluate import for_inference, predictions
from lensmith.engine.plan import Plan
from lensmith.tasks.task import Task

_LEAST, _MOST = 224, 1024    # pixels of a captioned picture's longer edge
_ELSEWHERE = "choose another folder with --out"


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture; `error` instead where the picture could not be read."""

    file: str
    values: dict[str, Value] = field(default_factory=dict)              # target name -> a single value
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)     # target name -> class names
    error: str | None = None
    from_memory: bool = False                                           # `file` then only counts the pictures

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
        return "; ".join(parts)

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
        return row


def find_pictures(sources: Iterable[str | Path]) -> list[Path]:
    """Files, folders (searched through) and glob patterns -> picture files, in order, each once.

    In folders hidden names and files without a picture's suffix are passed over, as in training; links are followed,
    each folder once. Raises DataError for a source that is not there, cannot be searched or holds no picture.
    """
    found: dict[str, Path] = {}
    for source in map(str, sources):
        if os.path.isdir(source):
            inside = [one for one in sorted(_below(source)) if one.suffix.lower() in SUFFIXES]
            if not inside:
                raise DataError(f"the folder {source} holds no picture; accepted are {', '.join(SUFFIXES)}")
        elif os.path.lexists(source):
            inside = [Path(source)]
        elif glob.has_magic(source):
            inside = sorted(one for one in _matches(source) if one.is_file())
            if not inside:
                raise DataError(f"no file matches {source!r}")
        else:
            folder, name = os.path.split(source)
            near = nearest(name, os.listdir(folder or ".")) if os.access(folder or ".", os.R_OK | os.X_OK) else ""
            raise DataError(f"there is no file or folder {source!r}.{near}")
        for one in inside:
            found.setdefault(os.path.abspath(one), one)
    if not found:
        raise DataError("nothing to predict: name files, folders or patterns such as 'photos/*.jpg'")
    return list(found.values())


def _folders(top: str) -> Iterator[tuple[str, list[str]]]:
    """`top` and the folders below it, each once whatever links there are, with the names of its files; nothing
    hidden."""
    def refuse(error: OSError) -> None:
        raise DataError(f"folder {error.filename} cannot be read ({error.strerror}): change its permissions or name "
                        "other folders") from error

    seen = set()
    for here, folders, files in os.walk(top, followlinks=True, onerror=refuse):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # Links come last, so that what can be reached in two ways is named by its own folder.
        folders[:] = sorted((name for name in folders if not name.startswith(".") and name != "__MACOSX"),
                            key=lambda name: (os.path.islink(os.path.join(here, name)), name))
        yield here, [name for name in files if not name.startswith(".")]


def _below(folder: str) -> Iterator[Path]:
    return (Path(here, name) for here, files in _folders(folder) for name in files)


def _matches(pattern: str) -> Iterator[Path]:
    """What a pattern names; `**` is any folder below, each once (glob's own would go round in a loop of links)."""
    steps = Path(pattern).parts
    if "**" not in steps:
        yield from map(Path, glob.glob(pattern))
        return
    cut = steps.index("**")
    for top in glob.glob(str(Path(*steps[:cut]))):
        for here, _ in _folders(top):
            yield from _matches(os.path.join(glob.escape(here), *(steps[cut + 1 :] or "*")))


def predict(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
            names: dict[str, tuple[str, ...]], batch: int = 64) -> Iterator[Prediction]:
    """A prediction for each file, in order; one that cannot be read gives the reason, not another picture's answer."""
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
            network, plan = for_inference(network, plan, whole.images[:2].to(plan.device))
            for _, found, _ in predictions(network, task, [whole], plan=plan):
                for number, i in enumerate(rows):
                    single = {key: value[number] for key, value in found.items()}
                    answers[i] = Prediction(places[number].file, single, names,
                                            from_memory=isinstance(chosen[i], Image.Image))
        yield from (answers[i] for i in range(len(chosen)))


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
    """`predictions.json`, `predictions.csv` and a captioned PNG for each picture, numbered in order, into `folder`.

    A picture that came from memory has no PNG. Each file is whole or absent. Raises UserError where the folder cannot
    be written, DataError for a picture that has gone since.
    """
    rows = [one.row(top) for one in found]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    # A file name that is no UTF-8 came in as lone surrogates, which no file can hold.
    lines = text.getvalue().encode("utf-8", "replace").decode("utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "predictions.json", json.dumps([one.as_json(top) for one in found], indent=1) + "\n",
                   advice=_ELSEWHERE)
        write_text(folder / "predictions.csv", lines, advice=_ELSEWHERE)
        for number, one in enumerate(found):
            if one.error is None and not one.from_memory:
                sheet = caption(Path(one.file), one.text(top))
                # A name has at most 255 bytes, of which a letter takes up to four.
                path = folder / f"{number:05d}-{Path(one.file).stem[:50]}.png"
                write_atomic(path, partial(sheet.save, format="PNG"), advice=_ELSEWHERE)
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror or error}): {_ELSEWHERE}") from error


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
