"""Pictures of worlds that are made of cells, for people."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lensmith.rl.worlds.game import Array

BACKGROUND, FREE, WALL = (22, 24, 29), (40, 44, 54), (112, 118, 132)
GREEN, RED, BLUE, YELLOW, WHITE = (88, 190, 110), (226, 86, 78), (86, 156, 230), (246, 205, 84), (240, 240, 244)
_WIDTH = 240    # pixels that a picture has at least, so that even a terminal shows discs as discs


def cell_picture(colours: Array, discs: Array | None = None) -> Array:
    """uint8 [3, height, width], both even: each cell a square, with discs upon some.

    colours: uint8 [rows, columns, 3], of the squares
    discs: uint8 [rows, columns, 3], of the discs; black where there is none
    """
    rows, columns = colours.shape[:2]
    edge = max(4, 2 * math.ceil(_WIDTH / columns / 2))
    square, disc = _shapes(edge)
    picture = _blended(np.full((rows, columns, edge, edge, 3), BACKGROUND, np.float32), colours, square)
    if discs is not None:
        shown = discs.any(-1)
        picture[shown] = _blended(picture[shown], discs[shown], disc)
    whole = picture.transpose(0, 2, 1, 3, 4).reshape(rows * edge, columns * edge, 3)
    return np.ascontiguousarray(whole.round().astype(np.uint8).transpose(2, 0, 1))


def coloured(cells: Array, palette: Mapping[Any, tuple[int, int, int]]) -> Array:
    """uint8 [rows, columns, 3]: the colour of each cell's number or letter, black where the palette has none."""
    picture = np.zeros((*cells.shape, 3), np.uint8)
    for mark, colour in palette.items():
        picture[cells == mark] = colour
    return picture


def enlarged_frame(picture: Array) -> Array:
    """A picture uint8 [3, height, width] with each pixel a square, so that it is at least 160 wide, both edges even."""
    factor = max(1, math.ceil(160 / picture.shape[2]))
    large = picture.repeat(factor, 1).repeat(factor, 2)
    return np.pad(large, ((0, 0), (0, large.shape[1] % 2), (0, large.shape[2] % 2)), mode="edge")


def _shapes(edge: int) -> tuple[Array, Array]:
    """How much of each pixel of a cell a square with a gap around it, and a disc, cover: float [edge, edge]."""
    points = (np.arange(edge * 4) + 0.5) / (edge * 4) - 0.5
    across, down = np.abs(points)[None, :], np.abs(points)[:, None]
    gap = 0.5 / edge if edge < 12 else 1 / edge
    covers = (np.maximum(across, down) <= 0.5 - gap, np.hypot(across, down) <= 0.4)
    square, disc = (cover.reshape(edge, 4, edge, 4).mean((1, 3), dtype=np.float32) for cover in covers)
    return square, disc


def _blended(below: Array, colours: Array, cover: Array) -> Array:
    return below + (colours[..., None, None, :].astype(np.float32) - below) * cover[..., None]
