"""Found masks in words, table rows and JSON, and as PNG files of class numbers."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from lensmith.values.drawing import colour_of
from lensmith.values.semantic_mask import IGNORED, Mask


def shares(mask: Mask, classes: int) -> list[tuple[int, int, float]]:
    """Of each class met, most frequent first: (number, pixels, share of those of the picture that are not void)."""
    counts = torch.bincount(mask.classes.flatten().long(), minlength=IGNORED + 1)[:classes]
    total = max(1, int(counts.sum()))
    order = counts.argsort(descending=True, stable=True).tolist()
    return [(number, int(counts[number]), int(counts[number]) / total) for number in order if counts[number]]


def in_words(mask: Mask, names: Sequence[str], k: int) -> str:
    """The k most frequent in one line: `ground 81.3 %, disc 18.7 %`."""
    found = shares(mask, len(names))
    more = len(found) - k
    text = ", ".join(f"{names[number]} {100 * share:.1f} %" for number, _, share in found[:k])
    return text + (f" and {more} more" if more > 0 else "")


def as_json(mask: Mask, names: Sequence[str]) -> dict[str, Any]:
    """`mask`: the share of each class met in the pixels of the picture, most frequent first; and its `size`."""
    height, width = mask.classes.shape
    return {"mask": {names[number]: round(share, 6) for number, _, share in shares(mask, len(names))},
            "size": [height, width]}


def as_rows(file: str, mask: Mask, names: Sequence[str]) -> list[dict[str, Any]]:
    """A line of a table for each class met: file, label, share, pixels."""
    return [{"file": file, "label": names[number], "share": round(share, 6), "pixels": pixels}
            for number, pixels, share in shares(mask, len(names))]


def as_png(mask: Mask) -> Image.Image:
    """A picture of class numbers with a palette in the classes' colours; 255, which is void, is black."""
    picture = Image.fromarray(mask.classes.to(torch.uint8).numpy())
    palette = [part for number in range(IGNORED) for part in colour_of(number)]
    picture.putpalette([*palette, 0, 0, 0])    # makes it one of mode P
    return picture
