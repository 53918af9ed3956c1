"""Drawn street scenes with a mask each: eleven classes of very unequal area, some thin and some rare.

    python benchmarks/drawn_scenes.py FOLDER    # some of them, to look at
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("sky", "building", "road", "pavement", "tree", "car", "fence", "pole", "sign", "person", "line")
FINE = 2            # drawn so many times as large, then made small: smooth edges
RARE = {"sign": 0.3, "person": 0.3}    # the share of the scenes in which they can be

Box = tuple[float, float, float, float]


def scene(draw: np.random.Generator, edge: int) -> tuple[Image.Image, Image.Image]:
    """A scene of `edge` x `edge` pixels in colour, and its mask, whose pixels are numbers of CLASSES."""
    size = edge * FINE
    picture, mask = Image.new("RGB", (size, size)), Image.new("L", (size, size))
    on_picture, on_mask = ImageDraw.Draw(picture), ImageDraw.Draw(mask)

    def put(name: str, form: str, box: Box | list[tuple[float, float]], colour: tuple[float, float, float]) -> None:
        drawn = tuple(int(np.clip(one + draw.normal(0, 22), 0, 255)) for one in colour)
        scaled = [tuple(one * size for one in point) for point in box] if isinstance(box, list) else \
            [one * size for one in box]
        getattr(on_picture, form)(scaled, fill=drawn)
        getattr(on_mask, form)(scaled, fill=CLASSES.index(name))

    horizon, middle = draw.uniform(0.4, 0.55), draw.uniform(0.35, 0.65)
    put("sky", "rectangle", (0, 0, 1, 1), (150, 180, 215))
    left = 0.0
    while left < 1:
        width = draw.uniform(0.12, 0.3)
        if draw.random() < 0.8:
            put("building", "rectangle", (left, draw.uniform(0.08, horizon - 0.08), left + width, horizon + 0.02),
                (140, 110, 95))
        left += width
    put("pavement", "rectangle", (0, horizon, 1, 1), (135, 130, 130))
    near = draw.uniform(0.3, 0.45)
    put("road", "polygon", [(middle - 0.06, horizon), (middle + 0.06, horizon), (middle + near, 1),
                            (middle - near, 1)], (95, 95, 100))
    for part in np.linspace(0.1, 0.95, 6):    # the dashes of the line, wider the nearer they are
        down, half = horizon + (1 - horizon) * part, 0.004 + 0.008 * part
        put("line", "polygon", [(middle - half, down), (middle + half, down), (middle + half, down + 0.05),
                                (middle - half, down + 0.05)], (215, 215, 210))
    for _ in range(draw.integers(1, 4)):
        across, foot = draw.choice([draw.uniform(0, 0.25), draw.uniform(0.75, 1)]), horizon + draw.uniform(0.02, 0.2)
        crown = draw.uniform(0.07, 0.13)
        put("tree", "rectangle", (across - 0.01, foot - 0.2, across + 0.01, foot), (80, 60, 45))
        put("tree", "ellipse", (across - crown, foot - 0.2 - crown, across + crown, foot - 0.2 + crown), (60, 105, 60))
    if draw.random() < 0.6:
        side, level = draw.choice([0.0, 0.72]), horizon + draw.uniform(0.04, 0.1)
        for bar in np.arange(side, side + 0.27, 0.025):
            put("fence", "rectangle", (bar, level - 0.07, bar + 0.008, level), (120, 95, 80))
        put("fence", "rectangle", (side, level - 0.05, side + 0.27, level - 0.04), (120, 95, 80))
    for _ in range(draw.integers(0, 4)):
        part = draw.uniform(0.1, 0.8)
        across, down = middle + draw.uniform(-0.8, 0.8) * near * part, horizon + (1 - horizon) * part
        wide, colour = 0.05 + 0.13 * part, tuple(draw.uniform(30, 220, 3))
        put("car", "rectangle", (across - wide / 2, down - wide * 0.4, across + wide / 2, down), colour)
        put("car", "rectangle", (across - wide / 3, down - wide * 0.65, across + wide / 3, down - wide * 0.4),
            (60, 70, 85))
    for _ in range(draw.integers(1, 4)):
        across = draw.choice([draw.uniform(0.02, 0.3), draw.uniform(0.7, 0.98)])
        foot = horizon + draw.uniform(0.05, 0.3)
        top = foot - draw.uniform(0.3, 0.45)
        put("pole", "rectangle", (across - 0.005, top, across + 0.005, foot), (125, 125, 120))
        if draw.random() < RARE["sign"]:
            put("sign", "ellipse", (across - 0.025, top - 0.03, across + 0.025, top + 0.03), (195, 60, 50))
    if draw.random() < RARE["person"]:
        across = draw.choice([draw.uniform(0.05, 0.3), draw.uniform(0.7, 0.95)])
        foot, colour = horizon + draw.uniform(0.1, 0.35), tuple(draw.uniform(30, 200, 3))
        put("person", "rectangle", (across - 0.014, foot - 0.09, across + 0.014, foot), colour)
        put("person", "ellipse", (across - 0.012, foot - 0.12, across + 0.012, foot - 0.088), (200, 160, 140))
    light, blur = draw.uniform(0.55, 1.1), ImageFilter.GaussianBlur(draw.uniform(0.2, 0.9))
    small = picture.resize((edge, edge), Image.Resampling.LANCZOS).filter(blur)
    noisy = light * np.asarray(small, dtype=float) + draw.normal(0, draw.uniform(3, 12), (edge, edge, 3))
    return (Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)),
            mask.resize((edge, edge), Image.Resampling.NEAREST))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(8):
        one, truth = scene(np.random.default_rng((0, number)), 192)
        one.save(folder / f"{number}.jpg")
        truth.point(lambda value: value * 23).save(folder / f"{number}.png")
