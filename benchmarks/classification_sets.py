"""The sets that defaults.py measures on, each as class folders train/<class>/* and test/<class>/*, made once.

    python benchmarks/classification_sets.py FOLDER [SET ...]    # makes them, to look at

Which picture is in which part follows from fixed seeds, and no file is in both. What the sets are made of lies in
LENSMITH_DATA, and Fashion-MNIST where Debian's package puts it.
"""

import csv
import io
import shutil
import sys
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import drawn_signs
import numpy as np
from pictures import needed
from PIL import Image

from lensmith.data.formats.idx import FASHION, find_idx, read_idx

SEED = 0
FOLDS = 3                     # of the pets, of which there are too few for one test of 500
TEST = 500                    # pictures of the other sets to measure on, at least
SIGNS = 20, TEST // 100       # of each of the hundred classes: to train, to test
LEAST = 28                    # pixels of the shorter edge of what is cut out of COCO's pictures
ROOM = 0.1                    # so much of a box's edge is left around what is in it
# COCO's groups of its eighty classes, by the numbers of their first and last; three with too few pictures are left out.
GROUPS = {"person": (0, 0), "vehicle": (1, 8), "animal": (14, 23), "accessory": (24, 28), "sports": (29, 38),
          "kitchen": (39, 45), "food": (46, 55), "furniture": (56, 61), "indoor": (73, 79)}
Item = tuple[str, str, str, bytes]    # part, class, file name, content


@dataclass(frozen=True)
class Set:
    """A set or one fold of it: `name` is that of the set."""

    name: str
    fold: int | None
    size: int                               # edge that a network from scratch sees: the pictures' own, at most 224
    items: Callable[[], Iterator[Item]]

    @property
    def folder_name(self) -> str:
        return self.name if self.fold is None else f"{self.name}-{self.fold}"


def pets(fold: int) -> Iterator[Item]:
    """Three breeds of 200 photos; one of FOLDS equal parts of each breed is the test."""
    table = needed("pets3/labels.csv")
    by_breed: dict[str, list[Path]] = defaultdict(list)
    with open(table, newline="") as lines:
        for row in csv.DictReader(lines):
            by_breed[row["breed"]].append(table.parent / "images" / f"{row['name']}.jpg")
    draw = np.random.default_rng(SEED)
    for breed, files in sorted(by_breed.items()):
        for position, number in enumerate(draw.permutation(len(files))):
            yield ("test" if position % FOLDS == fold else "train", breed, files[number].name,
                   files[number].read_bytes())


def cifar(count: int) -> Iterator[Item]:
    """CIFAR-10 in JPEG files: `count` pictures to train and TEST of its test part, drawn evenly from the classes."""
    with tarfile.open(needed("cifar10-jpeg.tar")) as archive:
        by_place: dict[tuple[str, str], list[tarfile.TarInfo]] = defaultdict(list)
        for member in archive.getmembers():
            if member.isfile():
                part, label, _ = Path(member.name).parts[-3:]
                by_place[part, label].append(member)
        draw = np.random.default_rng(SEED)
        for (part, label), members in sorted(by_place.items()):
            members.sort(key=lambda member: member.name)
            for number in _drawn(draw, len(members), (count if part == "train" else TEST) // 10):
                content = archive.extractfile(members[number])
                assert content is not None
                yield part, label, Path(members[number].name).name, content.read()


def fashion(count: int) -> Iterator[Item]:
    """Fashion-MNIST as PNG files: `count` pictures to train, TEST of its test part, drawn evenly from the classes."""
    folder = find_idx("fashion-mnist", hint="install Debian's package dataset-fashion-mnist")
    draw = np.random.default_rng(SEED)
    for part, stem in (("test", "t10k"), ("train", "train")):
        pictures, labels = (read_idx(next(folder.glob(f"{stem}-{what}-idx?-ubyte*"))) for what in ("images", "labels"))
        for label, name in enumerate(FASHION):
            rows = np.flatnonzero(labels == label)
            for number in _drawn(draw, len(rows), (count if part == "train" else TEST) // len(FASHION)):
                yield part, name.replace("/", " or "), f"{rows[number]:05d}.png", _as_file(
                    Image.fromarray(pictures[rows[number]]), "PNG")


def signs(train: int, test: int) -> Iterator[Item]:
    """The hundred classes of drawn_signs.py, so many pictures of each."""
    for label, name in enumerate(drawn_signs.CLASSES):
        for number in range(train + test):
            picture = drawn_signs.picture(name, np.random.default_rng((SEED, label, number)))
            yield "train" if number < train else "test", name, f"{number:03d}.jpg", _as_file(picture, "JPEG")


def objects() -> Iterator[Item]:
    """What the boxes of coco128 hold, cut out, by the group of its class: its train2017 to train, its val2017 to test,
    so that no picture is in both parts."""
    root = needed("coco128")
    for part, split in (("train", "train2017"), ("test", "val2017")):
        for file in sorted((root / "images" / split).glob("*.jpg")):
            table = root / "object_detection" / "labels" / split / f"{file.stem}.txt"
            with Image.open(file) as opened:
                picture = opened.convert("RGB")
            for number, line in enumerate(table.read_text().splitlines() if table.is_file() else []):
                kind, *box = (float(word) for word in line.split()[:5])
                x, y, width, height = np.array(box) * (picture.size * 2)
                group = next((name for name, (first, last) in GROUPS.items() if first <= kind <= last), None)
                if group is not None and min(width, height) >= LEAST:
                    half_width, half_height = width * (0.5 + ROOM), height * (0.5 + ROOM)
                    cut = picture.crop((round(max(0, x - half_width)), round(max(0, y - half_height)),
                                        round(min(picture.width, x + half_width)),
                                        round(min(picture.height, y + half_height))))
                    yield part, group, f"{file.stem}-{number:02d}.jpg", _as_file(cut, "JPEG")


# The order of the sets is that of the tables; a set of several folds is measured on all its pictures, a fold at a time.
SETS = (
    *(Set("pets", fold, 224, partial(pets, fold)) for fold in range(FOLDS)),
    Set("cifar-500", None, 32, partial(cifar, 500)),
    Set("cifar-5000", None, 32, partial(cifar, 5000)),
    Set("fashion-500", None, 28, partial(fashion, 500)),
    Set("fashion-5000", None, 28, partial(fashion, 5000)),
    Set("signs", None, drawn_signs.EDGE, partial(signs, *SIGNS)),
    Set("objects", None, 224, objects),
)
NAMES = tuple(dict.fromkeys(one.name for one in SETS))


def written(items: Iterator[Item], folder: Path) -> Path:
    """The folder with every item as a file in it; one that is there already stays as it is.

    It appears under its name when it is whole. Raises DataError where what it is made of is not on this machine.
    """
    if folder.is_dir():
        return folder
    begun = folder.with_name(f"{folder.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    for part, label, name, content in items:
        place = begun / part / label / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    begun.rename(folder)
    return folder


def pictures_of(folder: Path, part: str) -> tuple[list[str], list[str]]:
    """The files of a part in the order of their paths, and the class of each."""
    files = sorted(folder.glob(f"{part}/*/*"))
    return [str(file) for file in files], [file.parent.name for file in files]


def _drawn(draw: np.random.Generator, count: int, wanted: int) -> Sequence[int]:
    """The numbers of `wanted` of `count` pictures; the first of a longer draw are a shorter one."""
    numbers: list[int] = draw.permutation(count)[:wanted].tolist()
    return numbers


def _as_file(picture: Image.Image, form: str) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **({"quality": 90} if form == "JPEG" else {}))
    return content.getvalue()


if __name__ == "__main__":
    target, asked = Path(sys.argv[1]), sys.argv[2:] or NAMES
    for one in SETS:
        if one.name in asked:
            print(written(one.items(), target / one.folder_name))
