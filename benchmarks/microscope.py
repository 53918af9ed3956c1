"""Two hundred drawn pictures of the kind that people bring from a microscope, with three kinds of cells, as a YOLO set.

    python benchmarks/microscope.py FOLDER [seed]

640 x 480 pixels, 140 to train, 30 to validate, 30 to test: many round red cells, few large white ones with dark nuclei,
tiny platelets; uneven light, noise, dirt, cells that touch and are cut by the edge, and one in twenty red cells without
a box, as in sets that people label. Made by numbers of one seed, so that they are the same on every machine.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 640, 480
PARTS = {"train": 140, "valid": 30, "test": 30}
NAMES = ("red", "white", "platelet")
Box = tuple[int, float, float, float, float]    # class, x0, y0, x1, y1


class Slide:
    """One picture while it is drawn."""

    def __init__(self, draw: np.random.Generator):
        self.draw = draw
        self.ground = np.array([draw.uniform(185, 225), draw.uniform(175, 205), draw.uniform(185, 210)])
        self.pixels = np.ones((HEIGHT, WIDTH, 3)) * self.ground
        self.y, self.x = np.mgrid[0:HEIGHT, 0:WIDTH]
        self.taken: list[tuple[float, float, float]] = []
        self.boxes: list[Box] = []

    def room(self, radius: float, gap: float = 0.75) -> tuple[float, float] | None:
        """A place for a cell that overlaps no other by much; None where none was found."""
        for _ in range(30):
            x, y = (self.draw.uniform(-0.3 * radius, edge + 0.3 * radius) for edge in (WIDTH, HEIGHT))
            if all((x - u) ** 2 + (y - v) ** 2 > (gap * (radius + other)) ** 2 for u, v, other in self.taken):
                self.taken.append((x, y, radius))
                return x, y
        return None

    def outline(self, x: float, y: float, wide: float, high: float, *, wobble: float) -> np.ndarray:
        """float [60, 2]: an ellipse that is turned and not quite round."""
        turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        radius = 1 + sum(wobble * self.draw.normal() / k * np.cos(k * turn + self.draw.uniform(0, 2 * np.pi))
                         for k in range(2, 6))
        across, down = wide * radius * np.cos(turn), high * radius * np.sin(turn)
        angle = self.draw.uniform(0, np.pi)
        return np.stack((x + across * np.cos(angle) - down * np.sin(angle),
                         y + across * np.sin(angle) + down * np.cos(angle)), 1)

    def fill(self, points: np.ndarray, colour: np.ndarray | Callable[[np.ndarray, np.ndarray], np.ndarray],
             density: float) -> None:
        """Lay a colour, or one that depends on the place (x, y), over what the points surround."""
        (left, top), (right, bottom) = (points.min(0) - 6).astype(int), (points.max(0) + 7).astype(int)
        (x0, y0), (x1, y1) = (max(left, 0), max(top, 0)), (min(right, WIDTH), min(bottom, HEIGHT))
        if x1 <= x0 or y1 <= y0:
            return
        image = Image.new("L", (x1 - x0, y1 - y0))
        ImageDraw.Draw(image).polygon([tuple(point) for point in points - (x0, y0)], fill=255)
        soft = image.filter(ImageFilter.GaussianBlur(self.draw.uniform(0.8, 1.8)))
        mask = density * np.asarray(soft, dtype=float)[..., None] / 255
        part = np.s_[y0:y1, x0:x1]
        shade = colour(self.x[part], self.y[part]) if callable(colour) else colour
        self.pixels[part] = self.pixels[part] * (1 - mask) + shade * mask

    def mark(self, kind: int, points: np.ndarray) -> None:
        (x0, y0), (x1, y1) = points.min(0).clip(0), np.minimum(points.max(0), (WIDTH, HEIGHT))
        if x1 - x0 > 3 and y1 - y0 > 3:
            self.boxes.append((kind, x0, y0, x1, y1))

    def red(self, size: float, colour: np.ndarray) -> None:
        radius = size * self.draw.uniform(0.8, 1.15)
        if (at := self.room(radius)) is None:
            return
        points = self.outline(*at, radius, radius * self.draw.uniform(0.8, 1), wobble=0.05)
        thin, own = self.draw.uniform(0.1, 0.7), colour * self.draw.uniform(0.93, 1.05)

        def shade(x: np.ndarray, y: np.ndarray) -> np.ndarray:    # pale in its middle
            away = np.hypot((x - at[0]) / radius, (y - at[1]) / radius)[..., None]
            pale = np.clip(1 - away * 1.6, 0, 1) * thin
            return own * (1 - pale) + self.ground * pale

        self.fill(points, shade, 0.85)
        if self.draw.uniform() < 0.95:
            self.mark(0, points)

    def white(self, x: float, y: float, radius: float) -> None:
        points = self.outline(x, y, radius, radius * self.draw.uniform(0.85, 1), wobble=0.06)
        self.fill(points, self._colour((170, 200), (150, 180), (190, 215)), 0.8)
        for _ in range(self.draw.integers(1, 4)):
            part = radius * self.draw.uniform(0.3, 0.55)
            nucleus = self.outline(x + self.draw.uniform(-0.35, 0.35) * radius,
                                   y + self.draw.uniform(-0.35, 0.35) * radius, part,
                                   part * self.draw.uniform(0.6, 1), wobble=0.08)
            self.fill(nucleus, self._colour((90, 120), (50, 80), (120, 160)), 0.9)
        self.mark(1, points)

    def platelet(self) -> None:
        radius = self.draw.uniform(9, 19)
        if (at := self.room(radius, gap=0.9)) is not None:
            points = self.outline(*at, radius, radius * self.draw.uniform(0.7, 1), wobble=0.12)
            self.fill(points, self._colour((130, 160), (80, 115), (140, 175)), 0.7)
            self.mark(2, points)

    def dirt(self) -> None:
        radius = self.draw.uniform(2, 7)
        points = self.outline(self.draw.uniform(0, WIDTH), self.draw.uniform(0, HEIGHT), radius, radius, wobble=0.2)
        self.fill(points, np.full(3, self.draw.uniform(80, 160)), 0.5)

    def finished(self) -> Image.Image:
        """Under uneven light, a little out of focus, with a sensor's noise."""
        x, y = self.x / WIDTH - 0.5, self.y / HEIGHT - 0.5
        light = 1 + self.draw.uniform(-0.12, 0.12) * x + self.draw.uniform(-0.12, 0.12) * y \
            - self.draw.uniform(0, 0.2) * (x**2 + y**2)
        lit = Image.fromarray(np.clip(self.pixels * light[..., None], 0, 255).astype(np.uint8))
        soft = np.asarray(lit.filter(ImageFilter.GaussianBlur(self.draw.uniform(0.3, 1.5))), dtype=float)
        noisy = soft + self.draw.normal(0, self.draw.uniform(2, 6), soft.shape)
        return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))

    def _colour(self, *ranges: tuple[float, float]) -> np.ndarray:
        return np.array([self.draw.uniform(*one) for one in ranges])


def slide(draw: np.random.Generator) -> tuple[Image.Image, list[Box]]:
    """One picture and its boxes in pixels."""
    made = Slide(draw)
    colour, size = made._colour((170, 215), (110, 150), (120, 155)), draw.uniform(38, 54)
    whites = []
    for _ in range(draw.choice([0, 1, 1, 1, 2])):
        radius = draw.uniform(65, 100)
        if (at := made.room(radius)) is not None:
            whites.append((*at, radius))
    for _ in range(draw.integers(6, 22)):
        made.red(size, colour)
    for one in whites:
        made.white(*one)
    for _ in range(draw.integers(0, 5)):
        made.platelet()
    for _ in range(draw.integers(0, 6)):
        made.dirt()
    return made.finished(), made.boxes


def write(folder: Path, seed: int = 0) -> Path:
    """The whole set; -> its data.yaml."""
    draw = np.random.default_rng(seed)
    for part, count in PARTS.items():
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image, boxes = slide(draw)
            image.save(folder / "images" / part / f"{number:04d}.jpg", quality=88)
            lines = [f"{kind} {(x0 + x1) / 2 / WIDTH:.6f} {(y0 + y1) / 2 / HEIGHT:.6f} {(x1 - x0) / WIDTH:.6f} "
                     f"{(y1 - y0) / HEIGHT:.6f}\n" for kind, x0, y0, x1, y1 in boxes]
            (folder / "labels" / part / f"{number:04d}.txt").write_text("".join(lines))
    described = folder / "data.yaml"
    described.write_text(f"path: .\ntrain: images/train\nval: images/valid\ntest: images/test\nnames: {list(NAMES)}\n")
    return described


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), *map(int, sys.argv[2:3])))
