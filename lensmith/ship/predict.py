"""From picture files to predictions: what a network says of each, as values, JSON, CSV rows and captioned pictures."""

import csv
import glob
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import nn

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.base.files import write_text
from lensmith.base.pictures import SUFFIXES, BadPicture, Form, Place, decode
from lensmith.base.values import Label, Numbers, Tags, Value
from lensmith.data.sample import Batch
from lensmith.engine.evaluate import predictions
from lensmith.engine.plan import Plan
from lensmith.tasks.task import Task

_LEAST_EDGE = 224    # pixels; smaller pictures are enlarged before the caption is written under them


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture; `error` instead where the picture could not be read."""

    file: str
    values: dict[str, Value] = field(default_factory=dict)              # target name -> a single value
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)     # target name -> class names
    error: str | None = None

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

    def as_json(self) -> dict[str, Any]:
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        shown: dict[str, Any] = {"file": self.file}
        for name, value in self.values.items():
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

    def row(self) -> dict[str, Any]:
        """One line of a CSV table."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        row: dict[str, Any] = {"file": self.file}
        for name, value in self.values.items():
            if isinstance(value, Label):
                row |= {"label": self.label, "score": self.score}
            elif isinstance(value, Tags):
                pairs = zip(self.names[name], value.present.tolist(), strict=True)
                row["tags"] = ";".join(one for one, on in pairs if on)
            elif isinstance(value, Numbers):
                row |= dict(zip(self.names[name], value.values.tolist(), strict=True))
        return row


def find_pictures(sources: Iterable[str | Path]) -> list[Path]:
    """Files, folders (searched through) and glob patterns -> picture files, in order, each once.

    Raises DataError for a source that is not there or holds no picture.
    """
    found: dict[Path, None] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = [one for one in sorted(path.rglob("*")) if one.suffix.lower() in SUFFIXES and one.is_file()]
            if not inside:
                raise DataError(f"the folder {path} holds no picture; accepted are {', '.join(SUFFIXES)}")
        elif path.exists():
            inside = [path]
        elif glob.has_magic(str(source)):
            inside = sorted(Path(one) for one in glob.glob(str(source), recursive=True) if Path(one).is_file())
            if not inside:
                raise DataError(f"no file matches {str(source)!r}")
        else:
            near = nearest(path.name, [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else [])
            raise DataError(f"there is no file or folder {path}.{near}")
        found |= dict.fromkeys(inside)
    if not found:
        raise DataError("nothing to predict: name files, folders or patterns such as 'photos/*.jpg'")
    return list(found)


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
                answers[i] = Prediction(name, error=str(error))
                continue
            images.append(image)
            places.append(place)
            rows.append(i)
        if images:
            whole = Batch(torch.stack(images), {}, places)
            for _, found, _ in predictions(network, task, [whole], plan=plan):
                for number, i in enumerate(rows):
                    answers[i] = Prediction(places[number].file, {key: value[number] for key, value in found.items()},
                                            names)
        yield from (answers[i] for i in range(len(chosen)))


def _read(file: Path | Image.Image, form: Form, name: str) -> tuple[torch.Tensor, Place]:
    if not isinstance(file, Image.Image):
        return decode(file, form, name=name)
    stream = io.BytesIO()    # a picture in memory takes the way of a file: one decode for all
    file.save(stream, format="PNG")
    return decode(stream.getvalue(), form, name=name)


def write_predictions(found: Sequence[Prediction], folder: Path, *, top: int = 3) -> None:
    """`predictions.json`, `predictions.csv` and a captioned PNG for each picture, numbered in order, into `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, PermissionError) as error:
        raise UserError(f"cannot write into {folder}: choose another folder with --out") from error
    write_text(folder / "predictions.json", json.dumps([one.as_json() for one in found], indent=1) + "\n")
    rows = [one.row() for one in found]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(folder / "predictions.csv", text.getvalue())
    for number, one in enumerate(found):
        if one.error is None:
            caption(Path(one.file), one.text(top)).save(folder / f"{number:05d}-{Path(one.file).stem}.png")


def caption(source: Path, text: str) -> Image.Image:
    """The picture, upright and large enough to be looked at, with a line of text under it."""
    with Image.open(source) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    scale = _LEAST_EDGE / max(image.size)
    if scale > 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.NEAREST)
    elif max(image.size) > 1024:
        image.thumbnail((1024, 1024))
    height = max(13, image.width // 32)
    font = ImageFont.load_default(size=height)
    width = max(image.width, round(font.getlength(text)) + 12)
    sheet = Image.new("RGB", (width, image.height + round(height * 1.8)), "white")
    sheet.paste(image, ((width - image.width) // 2, 0))
    ImageDraw.Draw(sheet).text((6, image.height + height * 0.3), text, fill="black", font=font)
    return sheet
