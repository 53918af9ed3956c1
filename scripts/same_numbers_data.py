"""The data that same_numbers.py trains on: small drawn pictures in many formats, the same every time."""

import os
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("square", "disc", "triangle")
VOID = 255
_CIFAR = 12    # pictures of each class that are taken from the archive

NETWORK = '''"""A network of the user's own."""

from torch import Tensor, nn


class Net(nn.Module):
    """Pictures to a vector."""

    def __init__(self, inputs: int, outputs: int, width: int = 8):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inputs, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU())
        self.scores = nn.Linear(width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.scores(self.body(images).mean((2, 3)))
'''

_CONVOLUTION = "[convolutional]\nfilters={}\nsize={}\nstride={}\npad=1\nbatch_normalize=1\nactivation=leaky\n"
_SCORES = "[convolutional]\nfilters=24\nsize=1\nstride=1\npad=1\nactivation=linear\n"
_YOLO = ("[yolo]\nmask={}\nanchors=6,6, 10,12, 14,14, 20,18, 26,28, 40,40\nclasses=3\nnum=6\njitter=.3\n"
         "ignore_thresh=.7\ntruth_thresh=1\n")
DARKNET = "\n".join([
    "[net]\nwidth=64\nheight=64\nchannels=3\n", _CONVOLUTION.format(8, 3, 2), _CONVOLUTION.format(12, 3, 2),
    _CONVOLUTION.format(16, 3, 2), _CONVOLUTION.format(24, 3, 2), _SCORES, _YOLO.format("3,4,5"),
    "[route]\nlayers=-3\n", _CONVOLUTION.format(8, 1, 1), "[upsample]\nstride=2\n", "[route]\nlayers=-1,2\n", _SCORES,
    _YOLO.format("0,1,2")])

SEVERAL = """[data]
name = "several"
[data.sets]
species = {{name = "table", path = "{data}/tables/species.csv"}}
head = {{name = "voc", path = "{data}/voc"}}
outline = {{name = "masks", path = "{data}/masks", ids = {{0 = "ground", 1 = "square", 2 = "disc", 3 = "triangle"}}}}

[pictures]
size = 32
"""


class Drawn(NamedTuple):
    """A picture and what it shows: kinds by number, corners in pixels and outlines of its objects."""

    picture: Image.Image
    mask: Image.Image
    kinds: list[int]
    corners: list[tuple[int, int, int, int]]
    outlines: list[list[tuple[float, float]]]


def drawn(random: np.random.Generator, size: tuple[int, int], objects: int, first: int) -> Drawn:
    """So many objects, the first of the kind `first`, on noise."""
    noise = random.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8) + random.integers(0, 40, 3, dtype=np.uint8)
    found = Drawn(Image.fromarray(noise), Image.new("L", size, 0), [], [], [])
    for number in range(objects):
        kind, edge = (first + number) % len(NAMES), int(random.integers(8, min(size) // 2))
        left, top = (int(random.integers(0, one - edge)) for one in size)
        right, bottom = left + edge, top + edge
        outline = [[(left, top), (right, top), (right, bottom), (left, bottom)],
                   [(left + edge / 2 * (1 + np.cos(turn)), top + edge / 2 * (1 + np.sin(turn)))
                    for turn in np.linspace(0, 2 * np.pi, 12, endpoint=False)],
                   [(left + edge / 2, top), (right, bottom), (left, bottom)]][kind]
        colour = tuple(int(one) for one in random.integers(120, 256, 3))
        ImageDraw.Draw(found.picture).polygon(outline, fill=colour)
        ImageDraw.Draw(found.mask).polygon(outline, fill=kind + 1, outline=VOID if number else None)
        found.kinds.append(kind)
        found.corners.append((left, top, right, bottom))
        found.outlines.append(outline)
    return found


def draw(folder: Path) -> None:
    """All sets, each in a folder of its own under `folder`."""
    for name in ("pictures", "photos", "gray16", "yolo/images", "yolo/labels", "outlines/images", "outlines/labels",
                 "masks/images", "masks/masks", "tables/images", "tables/masks", "voc"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(7)
    _photos(folder, random)
    _objects(folder, random)
    _tables(folder, random)
    (folder / "net.py").write_text(NETWORK)
    (folder / "small.cfg").write_text(DARKNET)
    (folder / "small.names").write_text("".join(f"{name}\n" for name in NAMES))
    (folder / "several.toml").write_text(SEVERAL.format(data=folder))
    archive = Path(os.environ.get("LENSMITH_DATA", "")) / "cifar10-jpeg.tar"
    if archive.is_file():
        _unpack(archive, folder / "cifar10")


def _photos(folder: Path, random: np.random.Generator) -> None:
    """Class folders of several forms with one damaged file, the same as 16 bits of gray, and pictures to predict on."""
    for number in range(42):
        kind, name = number % len(NAMES), f"{NAMES[number % len(NAMES)]}/{number:02d}"
        size = (int(random.integers(28, 44)), int(random.integers(28, 44)))
        picture = drawn(random, size, 1, kind).picture
        form = ("RGB", "RGB", "L", "RGBA", "P")[number % 5]
        for inner in ("photos", "gray16"):
            (folder / inner / NAMES[kind]).mkdir(exist_ok=True)
        if number % 2 and form in ("RGB", "L"):
            picture.convert(form).save(folder / "photos" / f"{name}.jpg", quality=90)
        else:
            picture.convert(form).save(folder / "photos" / f"{name}.png")
        gray = np.asarray(picture.convert("L")).astype(np.uint16) * 200
        Image.fromarray(gray).save(folder / "gray16" / f"{name}.png")
    bad = folder / "photos" / NAMES[0] / "bad.png"
    bad.write_bytes((folder / "photos" / NAMES[0] / "00.png").read_bytes()[:200])
    for number in range(6):
        size = (int(random.integers(30, 50)), int(random.integers(30, 50)))
        drawn(random, size, 1 + number % 2, number).picture.save(folder / "pictures" / f"{number}.png")
    drawn(random, (120, 90), 5, 0).picture.save(folder / "large.png")


def _objects(folder: Path, random: np.random.Generator) -> None:
    """A YOLO set with boxes, one with outlines, and a folder of masks; pictures without objects and of other shapes are
    among them."""
    for number in range(36):
        name, size = f"{number:02d}", (32 + 8 * (number % 3), 32 + 8 * (number % 2))
        one = drawn(random, size, number % 4 if number % 9 == 0 else 1 + number % 3, number)
        for inner in ("yolo", "outlines", "masks"):
            one.picture.save(folder / inner / "images" / f"{name}.png")
        one.mask.save(folder / "masks" / "masks" / f"{name}.png")
        boxes, outlines = [], []
        for kind, (left, top, right, bottom), outline in zip(one.kinds, one.corners, one.outlines, strict=True):
            centre = ((left + right) / 2 / size[0], (top + bottom) / 2 / size[1])
            extent = ((right - left) / size[0], (bottom - top) / size[1])
            boxes.append(f"{kind} " + " ".join(f"{value:.6f}" for value in (*centre, *extent)))
            points = [(min(max(x / size[0], 0), 1), min(max(y / size[1], 0), 1)) for x, y in outline]
            outlines.append(f"{kind} " + " ".join(f"{x:.6f} {y:.6f}" for x, y in points))
        (folder / "yolo" / "labels" / f"{name}.txt").write_text("".join(f"{line}\n" for line in boxes))
        (folder / "outlines" / "labels" / f"{name}.txt").write_text("".join(f"{line}\n" for line in outlines))
        (folder / "voc" / f"{name}.png").symlink_to(folder / "masks" / "images" / f"{name}.png")
        (folder / "voc" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename><size><width>{size[0]}</width><height>{size[1]}</height>"
            "<depth>3</depth></size>" + "".join(
                f"<object><name>{NAMES[kind]}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
                f"<ymax>{y1}</ymax></bndbox></object>"
                for kind, (x0, y0, x1, y1) in zip(one.kinds, one.corners, strict=True)) + "</annotation>")
    for inner in ("yolo", "outlines"):
        listed = "".join(f"  {number}: {name}\n" for number, name in enumerate(NAMES))
        (folder / inner / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames:\n{listed}")


def _tables(folder: Path, random: np.random.Generator) -> None:
    """Tables of tags, numbers, groups and splits, and one of a label, tags, a number, a box and a mask, cells empty."""
    tags, numbers, several, species = ["path,tags"], ["path,edge,left,group,split"], [
        "name,kind,looks,edge,head_xmin,head_ymin,head_xmax,head_ymax"], ["path,label"]
    for number in range(40):
        one = drawn(random, (32, 32), 1, number)
        name, kind, (left, top, right, bottom) = f"{number:02d}", NAMES[one.kinds[0]], one.corners[0]
        one.picture.save(folder / "tables" / "images" / f"{name}.png")
        words = {"large": right - left > 11, "low": top > 8, kind: True}
        looks = ";".join(word for word, holds in words.items() if holds)
        tags.append(f"images/{name}.png,{looks}")
        part = "train" if number < 26 else "valid" if number < 33 else "test"
        numbers.append(f"images/{name}.png,{right - left}.0,{left}.5,g{number // 4},{part}")
        box = f"{left},{top},{right},{bottom}" if number % 4 else ",,,"
        several.append(f"{name},{kind if number % 5 else ''},{looks if number % 3 else ''},{right - left}.0,{box}")
        if number % 3:
            one.mask.save(folder / "tables" / "masks" / f"{name}.png")
        if number < 36:
            species.append(f"../masks/images/{name}.png,{kind}")
    for file, lines in (("tags", tags), ("numbers", numbers), ("several", several), ("species", species)):
        (folder / "tables" / f"{file}.csv").write_text("\n".join(lines) + "\n")


def _unpack(archive: Path, folder: Path) -> None:
    """The first pictures of each class folder of the archive."""
    taken: dict[str, int] = {}
    with tarfile.open(archive) as files:
        for member in files:
            parts = Path(member.name).parts
            if not member.isfile() or len(parts) < 3:
                continue
            place = "/".join(parts[-3:-1])
            taken[place] = taken.get(place, 0) + 1
            if taken[place] <= _CIFAR:
                target = folder / place / parts[-1]
                target.parent.mkdir(parents=True, exist_ok=True)
                read = files.extractfile(member)
                assert read is not None
                target.write_bytes(read.read())
