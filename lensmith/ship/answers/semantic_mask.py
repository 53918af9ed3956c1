"""Masks in words, table rows and JSON, and as PNG files of class numbers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from lensmith.base.atomic_files import write_atomic
from lensmith.ship.answers.answer import ELSEWHERE, PictureAnswer, prefix_of
from lensmith.values.drawing import colour_of, draw_mask
from lensmith.values.semantic_mask import IGNORED, Mask


def class_fractions(mask: Mask, classes: int) -> list[tuple[int, int, float]]:
    """Of each class in the mask, most frequent first: (number, pixels, fraction of the pixels that are not void)."""
    counts = torch.bincount(mask.classes.flatten().long(), minlength=IGNORED + 1)[:classes]
    total = max(1, int(counts.sum()))
    order = counts.argsort(descending=True, stable=True).tolist()
    return [(number, int(counts[number]), int(counts[number]) / total) for number in order if counts[number]]


def in_words(mask: Mask, names: Sequence[str], k: int) -> str:
    """The k most frequent classes: `ground 81.3 %, disc 18.7 %`."""
    fractions = class_fractions(mask, len(names))
    more = len(fractions) - k
    text = ", ".join(f"{names[number]} {100 * fraction:.1f} %" for number, _, fraction in fractions[:k])
    return text + (f" and {more} more" if more > 0 else "")


def as_json(mask: Mask, names: Sequence[str], top: int = 5) -> dict[str, Any]:
    """`mask`: the fraction of the pixels that each class has, most frequent first; and the mask's `size`."""
    height, width = mask.classes.shape
    fractions = class_fractions(mask, len(names))
    return {"mask": {names[number]: round(fraction, 6) for number, _, fraction in fractions}, "size": [height, width]}


def as_columns(mask: Mask, names: Sequence[str], top: int, target: str) -> dict[str, Any]:
    """A column for each class in the mask: the fraction of the pixels that it has."""
    return {f"{prefix_of(target)}{names[number]}": round(fraction, 6)
            for number, _, fraction in class_fractions(mask, len(names))}


def as_rows(file: str, mask: Mask, names: Sequence[str]) -> list[dict[str, Any]]:
    """A line of a table for each class in the mask: file, label, share (the fraction of the pixels), pixels."""
    return [{"file": file, "label": names[number], "share": round(fraction, 6), "pixels": pixels}
            for number, pixels, fraction in class_fractions(mask, len(names))]


def draw(picture: Image.Image, mask: Mask, names: Sequence[str]) -> Image.Image:
    return draw_mask(picture, mask, names)


def write_beside(answers: Sequence[PictureAnswer], folder: Path, ending: str,
                 category_ids: Sequence[int] | None) -> None:
    """`masks/` with a PNG of class numbers for each picture."""
    (folder / f"masks{ending}").mkdir(exist_ok=True)
    for answer in answers:
        save = partial(as_png(answer.value).save, format="PNG")
        write_atomic(folder / f"masks{ending}" / f"{answer.stem}.png", save, advice=ELSEWHERE)


def as_png(mask: Mask) -> Image.Image:
    """A picture of class numbers with a palette in the classes' colours; 255, which is void, is black."""
    picture = Image.fromarray(mask.classes.to(torch.uint8).numpy())
    palette = [channel for number in range(IGNORED) for channel in colour_of(number)]
    picture.putpalette([*palette, 0, 0, 0])    # makes it one of mode P
    return picture
