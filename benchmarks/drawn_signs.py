"""A hundred classes of drawn signs at 96 pixels: twenty outlines, each filled in five ways.

    python benchmarks/drawn_signs.py FOLDER    # one picture of each class, to look at

A class is its outline and its filling. Colours, place, size, slant, light, what lies behind the sign and what covers a
part of it are drawn anew for every picture, so that none of them tells the class.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

EDGE = 96
FINE = 3         # drawn so many times as large, then made small: smooth edges
OUTLINES, FILLINGS = 20, ("plain", "stripes", "dots", "rings", "checks")
CLASSES = tuple(f"{filling}-{outline:02d}" for outline in range(OUTLINES) for filling in FILLINGS)
_FIRST = 18      # the seed of the outlines, which are the same in every set
_ANGLES = np.linspace(0, 2 * np.pi, 180, endpoint=False)


def radii(outline: int) -> np.ndarray:
    """float [180]: how far an outline is from its centre in each direction, 1 on average: a circle and waves on it."""
    draw = np.random.default_rng((_FIRST, outline))
    waves = sum(draw.uniform(0.15, 0.5) * np.cos(count * _ANGLES + draw.uniform(0, 2 * np.pi)) / np.sqrt(count)
                for count in draw.choice(np.arange(1, 7), 3, replace=False))
    return 1 + waves


def picture(label: str, draw: np.random.Generator) -> Image.Image:
    """One sign of a class, EDGE x EDGE pixels in colour."""
    filling, _, outline = label.partition("-")
    edge = EDGE * FINE
    pixels = _behind(draw, edge)
    radius = edge * draw.uniform(0.24, 0.36)
    centre = edge / 2 + draw.uniform(-0.12, 0.12, 2) * edge
    angle, squeeze = draw.uniform(-0.3, 0.3), draw.uniform(0.8, 1)
    away = radius * radii(int(outline))
    points = np.stack((away * np.cos(_ANGLES), squeeze * away * np.sin(_ANGLES)), 1)
    turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + centre
    sign = Image.new("L", (edge, edge))
    ImageDraw.Draw(sign).polygon([tuple(point) for point in turned], fill=255)
    inside = np.asarray(sign) > 0
    pixels.paste(Image.fromarray(_filled(filling, draw, centre, radius)), mask=Image.fromarray(inside))
    _before(pixels, draw)
    small = pixels.resize((EDGE, EDGE), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(draw.uniform(0, 1.2)))
    light, noise = draw.uniform(0.6, 1.1), draw.normal(0, draw.uniform(1, 7), (EDGE, EDGE, 3))
    noisy = light * np.asarray(small, dtype=float) + noise
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _filled(filling: str, draw: np.random.Generator, centre: np.ndarray, radius: float) -> np.ndarray:
    """uint8 [edge, edge, 3]: two colours over the whole picture, in the pattern of a filling."""
    down, across = np.mgrid[0:EDGE * FINE, 0:EDGE * FINE] - centre[::-1, None, None]
    angle, step = draw.uniform(0, np.pi), radius * draw.uniform(0.3, 0.45)    # step: pixels from one mark to the next
    u = (across * np.cos(angle) + down * np.sin(angle)) / step
    v = (down * np.cos(angle) - across * np.sin(angle)) / step
    marked = {
        "plain": np.zeros_like(u, dtype=bool),
        "stripes": u % 1 < 0.5,
        "dots": np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.3,
        "rings": np.hypot(u, v) % 1 < 0.5,
        "checks": (u % 1 < 0.5) ^ (v % 1 < 0.5),
    }[filling]
    first = draw.integers(0, 256, 3)
    second = (first + draw.integers(80, 176, 3)) % 256    # far from the first in every channel, so that it is seen
    return np.where(marked[..., None], first, second).astype(np.uint8)


def _behind(draw: np.random.Generator, edge: int) -> Image.Image:
    """Coarse noise in muted colours made smooth, with some lines and discs."""
    coarse = draw.integers(90, 166, (5, 5, 3), dtype=np.uint8)
    pixels = Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(pixels)
    for _ in range(draw.integers(0, 3)):
        x0, y0, x1, y1 = draw.uniform(0, edge, 4)
        pen.line((x0, y0, x1, y1), fill=_colour(draw), width=int(draw.uniform(0.01, 0.05) * edge))
    for _ in range(draw.integers(0, 2)):
        (x, y), radius = draw.uniform(0, edge, 2), draw.uniform(0.03, 0.12) * edge
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(draw))
    return pixels


def _before(pixels: Image.Image, draw: np.random.Generator) -> None:
    """Lay up to two thin twigs over the picture."""
    edge, pen = pixels.width, ImageDraw.Draw(pixels)
    for _ in range(draw.integers(0, 3)):
        x0, y0, x1, y1 = draw.uniform(0, edge, 4)
        pen.line((x0, y0, x1, y1), fill=_colour(draw), width=int(draw.uniform(0.01, 0.03) * edge))


def _colour(draw: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = draw.integers(0, 256, 3).tolist()
    return red, green, blue


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(CLASSES):
        picture(name, np.random.default_rng(number)).save(folder / f"{name}.png")
