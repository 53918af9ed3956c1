"""The sets that segmentation_defaults.py measures on: pictures and masks of one size, in FOLDER/train and FOLDER/test.

    python benchmarks/segmentation_sets.py FOLDER [SET ...]    # makes them, to look at

Masks hold the numbers of the classes, and 255 where a pixel neither counts nor costs.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import drawn_scenes
import numpy as np
from pictures import needed
from PIL import Image

EDGE = 128
VOID = 255
COMMONEST = 20
WRONG = "Abyssinian_34"    # its trimap is all background
Item = tuple[str, str, Image.Image, Image.Image]    # part, stem, picture, mask


@dataclass(frozen=True)
class Set:
    name: str
    classes: Callable[[], tuple[str, ...]]
    items: Callable[[], Iterator[Item]]


def outlines() -> Iterator[Item]:
    """The three breeds: a fifth of each to test; the border of a trimap is void."""
    root = needed("pets3/labels.csv").parent
    table = np.full(256, VOID, np.uint8)
    table[1], table[2] = 1, 0
    files = sorted(file for file in (root / "images").glob("*.jpg") if file.stem != WRONG)
    order = np.random.default_rng(0).permutation(len(files))
    for place, number in enumerate(order):
        stem = files[number].stem
        with Image.open(files[number]) as picture, Image.open(root / "trimaps" / f"{stem}.png") as mask:
            yield "test" if place % 5 == 0 else "train", stem, *_brought(picture, np.asarray(mask), table)


def commonest() -> tuple[str, ...]:
    """The names of the twenty classes of coco128 with the most pixels to train, in that order."""
    return tuple(name for name, _ in _commonest())


def objects_and_grounds() -> Iterator[Item]:
    """coco128 with its twenty commonest classes; all others are void."""
    root = needed("coco128")
    table = np.full(256, VOID, np.uint8)
    for place, (_, number) in enumerate(_commonest()):
        table[number] = place
    for part, split in (("train", "train2017"), ("test", "val2017")):
        for file in sorted((root / "images" / split).glob("*.jpg")):
            path = root / "semantic_segmentation" / "masks" / split / f"{file.stem}.png"
            if path.is_file():
                with Image.open(file) as picture, Image.open(path) as mask:
                    yield part, file.stem, *_brought(picture, np.asarray(mask), table)


def scenes() -> Iterator[Item]:
    """The drawn scenes: 240 to train, 120 to test."""
    for number in range(360):
        yield ("train" if number < 240 else "test", f"{number:03d}",
               *drawn_scenes.scene(np.random.default_rng((0, number)), EDGE))


SETS = (Set("outlines", lambda: ("rest", "pet"), outlines), Set("coco-20", commonest, objects_and_grounds),
        Set("scenes", lambda: drawn_scenes.CLASSES, scenes))
NAMES = tuple(one.name for one in SETS)


def written(wanted: Set, folder: Path) -> Path:
    """The folder of the set, which is made where it is not there and appears when it is whole."""
    if folder.is_dir():
        return folder
    begun = folder.with_name(f"{folder.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    for part, stem, picture, mask in wanted.items():
        for kind, image in (("images", picture), ("masks", mask)):
            place = begun / part / kind / f"{stem}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            image.save(place)
    begun.rename(folder)
    return folder


def _commonest() -> list[tuple[str, int]]:
    root = needed("coco128") / "semantic_segmentation"
    lines = (root / "config.yaml").read_text().split("classes:", 1)[1].splitlines()
    named = {int(number): name.strip() for number, _, name in (line.partition(":") for line in lines if ":" in line)}
    counts = np.zeros(256, np.int64)
    for file in sorted((root / "masks" / "train2017").glob("*.png")):
        with Image.open(file) as mask:
            counts += np.bincount(np.asarray(mask).ravel(), minlength=256)
    order = [number for number in np.argsort(-counts).tolist() if number in named and number]    # 0 is unlabelled
    return [(named[number], number) for number in order[:COMMONEST]]


def _brought(picture: Image.Image, ids: np.ndarray, table: np.ndarray) -> tuple[Image.Image, Image.Image]:
    return (picture.convert("RGB").resize((EDGE, EDGE), Image.Resampling.BILINEAR, reducing_gap=3),
            Image.fromarray(table[ids]).resize((EDGE, EDGE), Image.Resampling.NEAREST))


if __name__ == "__main__":
    for one in SETS:
        if one.name in (sys.argv[2:] or NAMES):
            print(written(one, Path(sys.argv[1]) / one.name), json.dumps(one.classes()))
