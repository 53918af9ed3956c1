"""Boxes, masks and words drawn on a picture: each class has a colour of its own, and its name where there is room."""

import colorsys
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.semantic_mask import IGNORED, Mask

# Okabe and Ito 2008, which colour-blind people can tell apart, without those that are hard to see on a photograph.
_FIRST = ((230, 159, 0), (0, 114, 178), (0, 158, 115), (213, 94, 0), (204, 121, 167), (86, 180, 233), (240, 228, 66))
_TURN = 0.618033988749895    # of the circle of hues, from one class to the next: by the golden ratio no two are near
_LETTERS = 11                # pixels, the least height of letters that can be read
_FRAMES = 250                # a frame is as many pixels thick as this goes into the picture's longer edge
_ROWS = 30                   # lines of text that fit into the picture's height
_COVER = 0.5                 # opacity of a mask; its edges are opaque
_PLATE = (32, 32, 32)        # red, green and blue behind words that are of no class
Objects = TypeVar("Objects", bound=Boxes)


def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of a class, red, green and blue up to 255: always the same, and unlike that of its neighbours."""
    if number < len(_FIRST):
        return _FIRST[number]
    step = number - len(_FIRST)
    red, green, blue = colorsys.hsv_to_rgb(step * _TURN % 1, (0.9, 0.6, 0.75)[step % 3], (0.95, 0.75, 0.85)[step % 3])
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_boxes(picture: Image.Image, boxes: Boxes, names: Sequence[str], *, scale: tuple[float, float] = (1, 1),
               ) -> Image.Image:
    """A copy of the picture as RGB with the boxes of a single picture on it, the highest score on top.

    `scale` (x, y) takes the boxes' pixels to those of `picture`. Scores, where there are any, stand behind the names. A
    crowd is framed thinly. Text never leaves the picture: a name that is too wide is cut short, and a picture that is
    too small for letters has the frames alone.
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

    `width` is that of the masks, without the padding of their rows.
    """
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    order: Tensor = masks.corners.new_zeros(len(masks.classes)) if masks.scores is None else masks.scores
    for row in order.argsort(stable=True).tolist():
        mask = Image.fromarray(masks.mask(row)[:, :width].numpy())
        inside = np.asarray(mask.resize(picture.size, Image.Resampling.NEAREST))
        around = np.pad(inside, 1)
        edge = inside & ~(around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:])
        cover = np.where(edge, 1.0, _COVER).astype(np.float32) * inside
        pixels = pixels + (np.array(colour_of(int(masks.classes[row])), dtype=np.float32) - pixels) * cover[..., None]
    return draw_boxes(Image.fromarray(np.rint(pixels).astype(np.uint8)), masks, names, scale=scale)


def draw_mask(picture: Image.Image, mask: Mask, names: Sequence[str]) -> Image.Image:
    """A copy of the picture as RGB with a single mask, brought to the picture's size, over it.

    Each class has its colour, strongest where it meets another; void is left as it is. The names of the classes stand
    in the upper left corner, as many as fit.
    """
    resized = Image.fromarray(mask.classes.numpy().astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    classes = np.asarray(resized)
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
    shown = [number for number in np.unique(classes).tolist() if number != IGNORED]
    for row, number in enumerate(shown[: picture.height // height // 2]):
        _write(brush, drawn.size, font, (0.0, (row + 1.0) * height), printable(names[number]), colour_of(number))
    return drawn


def printable(words: str) -> str:
    """The words with a replacement sign for each letter that no font can show."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in words)
    return shown.encode("utf-8", "replace").decode("utf-8")


def draw_words(picture: Image.Image, words: str) -> Image.Image:
    """A copy of the picture as RGB with a line of words in its upper left corner, cut short to what fits."""
    drawn = picture.convert("RGB")
    font = ImageFont.load_default(size=max(_LETTERS, round(min(drawn.size) / _ROWS)))
    _write(ImageDraw.Draw(drawn), drawn.size, font, (0.0, 0.0), words.encode("utf-8", "replace").decode("utf-8"),
           _PLATE)
    return drawn


def _write(brush: ImageDraw.ImageDraw, size: tuple[int, int], font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
           corner: tuple[float, float], words: str, colour: tuple[int, int, int]) -> None:
    """The words on a plate of the colour, above the corner, or below it where there is no room above."""
    height = sum(font.getmetrics()) if isinstance(font, ImageFont.FreeTypeFont) else _LETTERS
    shown = _shortened(words, font, size[0] - 4)
    if not shown or height > size[1] / 3:
        return
    width = font.getlength(shown) + 4
    left = max(0.0, min(corner[0], size[0] - width))
    top = corner[1] - height if corner[1] >= height else min(corner[1], size[1] - height)
    brush.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    # Black letters on a light plate, by the luminance of ITU-R BT.601.
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 130
    brush.text((left + 2, top), shown, fill="black" if light else "white", font=font)


def _shortened(words: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, most: float) -> str:
    """The words, cut short with an ellipsis to at most `most` pixels; empty where not three letters fit."""
    if font.getlength(words) <= most:
        return words
    for length in range(len(words) - 1, 2, -1):
        if font.getlength(words[:length] + "…") <= most:
            return words[:length] + "…"
    return ""


def surest(boxes: Objects, least: float) -> Objects:
    """The objects of a single picture whose score is at least `least`; all where they have no scores."""
    if boxes.scores is None:
        return boxes
    return boxes.chosen(boxes.scores >= least)
