"""Drawn squares, discs and triangles with a label, a box and a mask each: a set for tests, demos and several tasks."""

import numpy as np
import torch

from lensmith.base.device import check_memory
from lensmith.base.errors import UserError
from lensmith.base.hashed_random import hashed, uniform
from lensmith.data.formats.format import Format
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.sample import Splits
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.labels import Label
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

KINDS = ("square", "disc", "triangle")
_BYTES, _BYTES_OF_CHANNEL = 30, 7    # of a pixel while it is drawn: mask, distances; values of 16 bits, noise
_NOISE = 24    # the noise changes a value by up to so many of 255 levels


def shapes(count: int = 1200, size: int = 32, seed: int = 0, channels: int = 3, outlines: bool | None = None) -> Splits:
    """Drawn pictures of one shape each, the last sixth of them for testing; the same for the same arguments.

    Position, size and colours vary; a bright shape lies on a dark background or a dark one on a bright background.
    The targets are `label`, the shape, `boxes`, its smallest rectangle, and `mask`, its pixels (0 the background, 1 the
    square, ...).

    - `count`: pictures in all, at least 12.
    - `size`: the edge of a picture in pixels, at least 12.
    - `seed`: another one draws other pictures.
    - `channels`: 1 for gray, 3 for colour.
    - `outlines`: whether there is `masks` too, the pixels of each object; by default where the task learns them.
    """
    for name, value, accepted in (("count", count, count >= 12), ("size", size, size >= 12),
                                  ("channels", channels, channels in (1, 3))):
        if not accepted:
            raise UserError(f"data.{name}={value} cannot be drawn: accepted are count >= 12, size >= 12 pixels, "
                            "channels 1 or 3")
    check_memory(count * size**2 * (_BYTES + _BYTES_OF_CHANNEL * channels), f"drawing data.count={count:,} pictures of "
                 f"data.size={size:,}", "take smaller ones or fewer")
    keys = hashed(seed, np.arange(count))
    kind = np.arange(count) % len(KINDS)
    inside = _inside(keys, kind, size)
    images = _coloured(keys, inside, channels=channels)
    rows, columns = np.any(inside, axis=2), np.any(inside, axis=1)
    corners = [columns.argmax(1), rows.argmax(1), size - columns[:, ::-1].argmax(1), size - rows[:, ::-1].argmax(1)]
    index = torch.from_numpy(kind).long()
    boxes = Boxes(torch.from_numpy(np.stack(corners, 1)).float(), index, image=torch.arange(count))
    targets: dict[str, Value] = {"label": Label(index), "boxes": boxes,
                                 "mask": Mask(torch.from_numpy(inside * (kind + 1)[:, None, None]).long())}
    classes: dict[str, tuple[str, ...]] = {"label": KINDS, "boxes": KINDS, "mask": ("ground", *KINDS)}
    if outlines:
        bits = torch.from_numpy(np.packbits(inside, axis=2))
        targets["masks"] = Masks(boxes.corners, index, image=boxes.image, bits=bits)
        classes["masks"] = KINDS
    whole = InMemory(
        torch.from_numpy(images), targets, classes,
        places=Numbered("shapes", (size, size), np.arange(count)))
    kept = count - count // 6
    return Splits({"train": whole.subset(range(kept)), "test": whole.subset(range(kept, count))},
                 {"drawn": {"count": count, "size": size, "seed": seed, "channels": channels}})


def _inside(keys: np.ndarray, kind: np.ndarray, size: int) -> np.ndarray:
    """bool [count, size, size]: the pixels of each shape, which lies wholly in its picture."""
    draw = [uniform(keys, stream).numpy() for stream in range(4)]
    edge = np.rint(size * (0.3 + 0.45 * draw[0]))
    left, top = (np.rint(fraction * (size - edge))[:, None, None] for fraction in draw[1:3])
    edge = edge[:, None, None]
    x, y = np.arange(size) + 0.5 - left, np.arange(size)[:, None] + 0.5 - top    # pixels from the shape's own corner
    square = (x > 0) & (x < edge) & (y > 0) & (y < edge)
    disc = (x - edge / 2) ** 2 + (y - edge / 2) ** 2 < (edge / 2) ** 2
    depth = np.where(draw[3][:, None, None] < 0.5, y, edge - y)    # the tip is above or below
    triangle = square & (np.abs(x - edge / 2) < depth / 2)
    return np.choose(kind[:, None, None], (square, disc, triangle))


def _coloured(keys: np.ndarray, inside: np.ndarray, *, channels: int) -> np.ndarray:
    """The pictures, uint8 [count, channels, height, width]; shape and background differ by at least 60 of 255 levels in
    every channel."""
    dark, light = (np.stack([uniform(keys, first + channel).numpy() for channel in range(channels)], 1) * 60
                   for first in (10, 20))
    bright_background = uniform(keys, 4).numpy()[:, None] < 0.5
    dark, light = dark + _NOISE, 255 - _NOISE - light
    background, shape = (np.where(bright, light, dark).astype(np.int16)[:, :, None, None]
                         for bright in (bright_background, ~bright_background))
    pictures = np.where(inside[:, None], shape, background)
    # Each 64-bit hash gives eight bytes of noise.
    words = hashed(int(keys[0].view(np.int64)), np.arange(-(-pictures.size // 8)))
    noise = words.view(np.uint8)[: pictures.size].reshape(pictures.shape)
    return np.clip(pictures + (noise % (2 * _NOISE + 1)).astype(np.int16) - _NOISE, 0, 255).astype(np.uint8)


SHAPES = Format(shapes)
