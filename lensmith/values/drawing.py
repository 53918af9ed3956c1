"""Boxes, masks and words drawn on a picture, each class in a colour of its own, with its name where it fits."""

import colorsys
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.semantic_mask import IGNORED, Mask

# Okabe and Ito 2008, less those that are hard to see on a photograph: told apart by colour-blind people too.
_FIRST = ((230, 159, 0), (0, 114, 178), (0, 158, 115), (213, 94, 0), (204, 121, 167), (86, 180, 233), (240, 228, 66))
_TURN = 0.618033988749895    # of the circle of hues, the golden ratio: no two of the following ones come close
_LETTERS = 11                # pixels, the least height of letters that can be read
_FRAMES = 250                # a frame is one pixel thick for so many of the picture's longer edge
_ROWS = 30                   # and so many lines of text fit into its height
_COVER = 0.5                 # of a mask's colour in what is seen; its edges cover all
Found = TypeVar("Found", bound=Boxes)
_PLATE = (32, 32, 32)        # red, green and blue behind words that are of no class


def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of a class, red, green and blue up to 255: always the same, and unlike that of its neighbours."""
    if number < len(_FIRST):
        return _FIRST[number]
    step = number - len(_FIRST)
    red, green, blue = colorsys.hsv_to_rgb(step * _TURN % 1, (0.9, 0.6, 0.75)[step % 3], (0.95, 0.75, 0.85)[step % 3])
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_boxes(picture: Image.Image, boxes: Boxes, names: Sequence[str], *, scale: tuple[float, float] = (1, 1),
               ) -> Image.Image:
    """A copy of the picture as RGB with the boxes of a single picture on it, the surest on top.

    `scale` (x, y) takes the boxes' pixels to those of `picture`. Where the boxes have scores they stand behind the
    names. A crowd is framed thinly. Text never leaves the picture: what is too wide is cut short, and a picture too
    small for letters has the frames alone.
    """
    drawn = picture.convert("RGB")
    brush = ImageDraw.Draw(drawn)
    thick = max(1, round(max(drawn.size) / _FRAMES))
    font = ImageFont.load_default(size=max(_LETTERS, round(min(drawn.size) / _ROWS)))
    order: Tensor = boxes.corners.new_zeros(len(boxes.classes)) if boxes.scores is None else boxes.scores
    frames = []
    for row in order.argsort(stable=True).tolist():
        corners = [float(edge) * scale[i % 2] for i, edge in enumerate(boxes.corners[row])]
        left, top = (min(max(0.0, edge), most - 1.0) for edge, most in zip(corners[:2], drawn.size, strict=True))
        right, bottom = (max(least, min(edge, most) - 1) for edge, most, least in
                         zip(corners[2:], drawn.size, (left, top), strict=True))
        number = int(boxes.classes[row])
        in_crowd = boxes.crowd is not None and bool(boxes.crowd[row])
        brush.rectangle((left, top, right, bottom), outline=colour_of(number), width=1 if in_crowd else thick)
        words = printable(names[number])
        if boxes.scores is not None:
            words += f" {float(boxes.scores[row]):.2f}"
        frames.append((left, top, number, words))
    for left, top, number, words in frames:    # after all frames, so that none crosses a name
        _write(brush, drawn.size, font, (left, top), words, colour_of(number))
    return drawn


def draw_masks(picture: Image.Image, masks: Masks, names: Sequence[str], *, width: int,
               scale: tuple[float, float] = (1, 1)) -> Image.Image:
    """As `draw_boxes`, and under the boxes the pixels of each object in its class's colour, strongest at its edge.
    `width` is that of the masks, without what their rows are padded with."""
    wide, high = picture.size
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    order: Tensor = masks.corners.new_zeros(len(masks.classes)) if masks.scores is None else masks.scores
    for row in order.argsort(stable=True).tolist():
        own = Image.fromarray(masks.mask(row)[:, :width].numpy())
        inside = np.asarray(own.resize((wide, high), Image.Resampling.NEAREST))
        around = np.pad(inside, 1)
        edge = inside & ~(around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:])
        cover = np.where(edge, 1.0, _COVER).astype(np.float32) * inside
        pixels = pixels + (np.array(colour_of(int(masks.classes[row])), dtype=np.float32) - pixels) * cover[..., None]
    return draw_boxes(Image.fromarray(np.rint(pixels).astype(np.uint8)), masks, names, scale=scale)


def draw_mask(picture: Image.Image, mask: Mask, names: Sequence[str]) -> Image.Image:
    """A copy of the picture as RGB with a single mask over it, brought to its size: each class in its colour, strongest
    where it meets another, void left as it is, and the names of the classes met in the upper left corner, as many as
    fit."""
    wide, high = picture.size
    own = Image.fromarray(mask.classes.numpy().astype(np.uint8)).resize((wide, high), Image.Resampling.NEAREST)
    classes = np.asarray(own)
    colours = np.array([colour_of(number) for number in range(IGNORED)] + [(0, 0, 0)], dtype=np.float32)[classes]
    edge = np.zeros(classes.shape, dtype=bool)
    edge[:, 1:] |= classes[:, 1:] != classes[:, :-1]
    edge[1:] |= classes[1:] != classes[:-1]
    cover = np.where(edge, 1.0, _COVER).astype(np.float32) * (classes != IGNORED)
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    drawn = Image.fromarray(np.rint(pixels + (colours - pixels) * cover[..., None]).astype(np.uint8))
    brush = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(size=max(_LETTERS, round(min(drawn.size) / _ROWS)))
    height = sum(font.getmetrics()) if isinstance(font, ImageFont.FreeTypeFont) else _LETTERS
    met = [number for number in np.unique(classes).tolist() if number != IGNORED]
    for row, number in enumerate(met[: high // height // 2]):
        _write(brush, drawn.size, font, (0.0, (row + 1.0) * height), printable(names[number]), colour_of(number))
    return drawn


def printable(words: str) -> str:
    """The words with a sign in place of what no font can show."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in words)
    return shown.encode("utf-8", "replace").decode("utf-8")


def draw_words(picture: Image.Image, words: str) -> Image.Image:
    """A copy of the picture as RGB with a line of words in its upper left corner, as much of it as fits."""
    drawn = picture.convert("RGB")
    font = ImageFont.load_default(size=max(_LETTERS, round(min(drawn.size) / _ROWS)))
    _write(ImageDraw.Draw(drawn), drawn.size, font, (0.0, 0.0), words.encode("utf-8", "replace").decode("utf-8"),
           _PLATE)
    return drawn


def _write(brush: ImageDraw.ImageDraw, size: tuple[int, int], font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
           corner: tuple[float, float], words: str, colour: tuple[int, int, int]) -> None:
    """The words on a plate of the colour, above the corner where there is room, else within the box."""
    height = sum(font.getmetrics()) if isinstance(font, ImageFont.FreeTypeFont) else _LETTERS
    shown = _shortened(words, font, size[0] - 4)
    if not shown or height > size[1] / 3:
        return
    wide = font.getlength(shown) + 4
    left = max(0.0, min(corner[0], size[0] - wide))
    top = corner[1] - height if corner[1] >= height else min(corner[1], size[1] - height)
    brush.rectangle((left, top, left + wide - 1, top + height - 1), fill=colour)
    # Black where the plate is light, by the luminance of ITU-R BT.601.
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 130
    brush.text((left + 2, top), shown, fill="black" if light else "white", font=font)


def _shortened(words: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, most: float) -> str:
    """As much of the words as is no wider than `most` pixels, with an ellipsis; empty where not three letters fit."""
    if font.getlength(words) <= most:
        return words
    for length in range(len(words) - 1, 2, -1):
        if font.getlength(words[:length] + "…") <= most:
            return words[:length] + "…"
    return ""


def surest(boxes: Found, least: float) -> Found:
    """Of the boxes found in a single picture those whose score is at least `least`."""
    if boxes.scores is None:
        return boxes
    return boxes.chosen(boxes.scores >= least)
