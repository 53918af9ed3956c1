"""Sheets: small pictures in rows and columns with labels, axes and the key of their colours, as one picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lensmith.values.drawing import printable

_SIGNED = np.array([(33, 72, 160), (86, 180, 233), (255, 255, 255), (237, 105, 37), (120, 28, 60)], dtype=np.float32)
_GRAY = np.array([(0, 0, 0), (255, 255, 255)], dtype=np.float32)
INK, PAPER = (29, 39, 51), (255, 255, 255)
LETTERS = 16    # pixels: on a telephone a sheet is shown at half its size
_EDGE = (205, 211, 217)
_GAP = 4        # pixels between tiles
_MARGIN = 8
_SQUARES = 4    # times that a picture has to be enlarged for its pixels to be seen as squares
_KEY = (180, 12)    # width and height of the key in pixels
_STEPS = np.linspace(0, 1, 256)


@dataclass(frozen=True)
class Key:
    """Which colour a number has: from black, `low`, to white, `high`; or, where it is signed, blue below 0, white at 0,
    and orange to red above."""

    low: float
    high: float
    words: str = ""

    @property
    def signed(self) -> bool:
        return self.low < 0

    def colours(self, values: np.ndarray) -> np.ndarray:
        """uint8 [..., 3] for float [...]; numbers beyond the ends have their colour."""
        spread = (self.high - self.low) or 1.0
        places = np.nan_to_num((values - self.low) / spread).clip(0, 1)
        ramp = _SIGNED if self.signed else _GRAY
        ends = np.linspace(0, 1, len(ramp))
        mixed = np.stack([np.interp(places, ends, ramp[:, channel]) for channel in range(3)], -1)
        return mixed.round().astype(np.uint8)


def key_for(values: Tensor, words: str = "") -> Key:
    """The key that holds all numbers of a tensor: around 0 where any is clearly below it, else from 0 or the least."""
    low, high = float(values.min()), float(values.max())
    if low < -1e-3 * max(abs(low), abs(high)):
        most = max(-low, high)
        return Key(-most, most, words)
    return Key(max(low, 0.0), high, words)


def tile(values: Tensor, key: Key, edge: int) -> Image.Image:
    """Numbers [rows, columns] as squares of one colour, the longer side about `edge` pixels."""
    image = Image.fromarray(key.colours(values.detach().cpu().float().numpy()))
    return resized_to(image, edge)


def resized_to(image: Image.Image, edge: int) -> Image.Image:
    """A picture whose longer side has about `edge` pixels. The pixels of a tiny one become squares of one size."""
    longest = max(image.size)
    if longest * _SQUARES <= edge:
        factor = edge // longest
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    size = (max(1, round(image.width * edge / longest)), max(1, round(image.height * edge / longest)))
    return image.resize(size, Image.Resampling.LANCZOS)


def sheet(tiles: Sequence[Sequence[Image.Image]], *, under: Sequence[Sequence[str]] | None = None,
          rows: Sequence[str] = (), across: str = "", down: str = "", columns: Sequence[str] = (),
          key: Key | None = None) -> Image.Image:
    """The tiles in rows, as RGB on white.

    under: a label for each tile, of one or more lines beneath it; each is cut short to the tile's width.
    rows, columns: a label for each row and column, at its end.
    across, down: what the columns and the rows are, as the titles of the axes.
    key: of the colours; drawn at the bottom with its ends.
    """
    font = ImageFont.load_default(size=LETTERS)
    line = LETTERS + 5
    width, height = (max(one.size[axis] for row in tiles for one in row) for axis in (0, 1))
    below = max((word.count("\n") + 1 for row in under or () for word in row), default=0) * line
    step_x, step_y = width + _GAP, height + _GAP + below
    left = _MARGIN + (max(font.getlength(word) for word in rows) + 6 if rows else 0) + (line if down else 0)
    top = _MARGIN + (line if across else 0) + (line if columns else 0)
    most = max(map(len, tiles))
    right = left + most * step_x
    needed = max(right, _MARGIN + font.getlength(across), _key_width(key, font))
    bottom = top + len(tiles) * step_y
    size = math.ceil(needed + _MARGIN), math.ceil(bottom + (2.6 * line if key else 0) + _MARGIN)
    drawn = Image.new("RGB", size, PAPER)
    brush = ImageDraw.Draw(drawn)
    if across:
        brush.text((left, _MARGIN), across, fill=INK, font=font)
    for number, word in enumerate(columns):
        brush.text((left + number * step_x + width / 2, top - 4), word, fill=INK, font=font, anchor="mb")
    if down:
        _write_upwards(drawn, down, font, (top + bottom) / 2)
    for i, row in enumerate(tiles):
        if rows:
            brush.text((left - 6, top + i * step_y + height / 2), rows[i], fill=INK, font=font, anchor="rm")
        for j, one in enumerate(row):
            corner = round(left + j * step_x + (width - one.width) / 2), round(top + i * step_y)
            drawn.paste(one.convert("RGB"), corner)
            edge = corner[0] - 1, corner[1] - 1, corner[0] + one.width, corner[1] + one.height
            brush.rectangle(edge, outline=_EDGE)    # a tile may be white where its numbers are 0
            if under:
                for number, word in enumerate(under[i][j].split("\n")):
                    brush.text((left + j * step_x + width / 2, top + i * step_y + height + 1 + number * line),
                               _cut(word, font, width), fill=INK, font=font, anchor="ma")
    if key:
        _draw_key(drawn, key, font, (_MARGIN, math.ceil(bottom) + 4))
    return drawn


def in_rows(entries: Sequence[Image.Image], *, columns: int) -> list[list[Image.Image]]:
    """A row after another of so many."""
    return [list(entries[start : start + columns]) for start in range(0, len(entries), columns)]


def wrapped_words(words: Sequence[str], *, columns: int) -> list[list[str]]:
    """As `in_rows`, of labels."""
    return [list(words[start : start + columns]) for start in range(0, len(words), columns)]


def number_in_words(value: float) -> str:
    """`0.042`, `-13`, `1.2e-05`"""
    return f"{value:.3g}"


def _cut(word: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float) -> str:
    shown = printable(word)
    while shown and font.getlength(shown) > width:
        shown = shown[:-2] + "…" if len(shown) > 2 else ""
    return shown


def _write_upwards(drawn: Image.Image, words: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
                   middle: float) -> None:
    plate = Image.new("RGB", (math.ceil(font.getlength(words)) + 2, LETTERS + 5), PAPER)
    ImageDraw.Draw(plate).text((1, 1), words, fill=INK, font=font)
    turned = plate.rotate(90, expand=True)
    drawn.paste(turned, (2, max(0, round(middle - turned.height / 2))))


def _key_width(key: Key | None, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> float:
    return 0 if key is None else _MARGIN + max(_KEY[0] + 24, font.getlength(key.words))


def _draw_key(drawn: Image.Image, key: Key, font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
              corner: tuple[int, int]) -> None:
    """A bar of the colours with its ends beneath it, and in the middle 0 where it is signed."""
    left, top = corner
    brush = ImageDraw.Draw(drawn)
    bar = key.colours(key.low + (key.high - key.low) * np.linspace(0, 1, _KEY[0]))[None].repeat(_KEY[1], 0)
    brush.text((left, top), key.words, fill=INK, font=font)
    top += LETTERS + 5 if key.words else 0
    drawn.paste(Image.fromarray(bar), (left, top))
    brush.rectangle((left, top, left + _KEY[0], top + _KEY[1]), outline=INK)
    marks = [(0.0, key.low), (0.5, 0.0), (1.0, key.high)] if key.signed else [(0.0, key.low), (1.0, key.high)]
    for place, value in marks:
        brush.text((left + place * _KEY[0], top + _KEY[1] + 3), number_in_words(value), fill=INK, font=font,
                   anchor="la" if place == 0 else "ma" if place == 0.5 else "ra")
