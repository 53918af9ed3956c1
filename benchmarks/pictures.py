"""The pictures that the benchmarks train on: real ones where they are at hand, else drawn ones of the same sizes."""

import gzip
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.data.formats.idx import fashion_mnist

CLASSES = 10
_EDGES = {"cifar": (32, 32), "photos": (375, 500)}    # height, width of the drawn ones: the real ones' usual size


def class_folders(kind: str, count: int, folder: Path) -> str:
    """Write `count` JPEG files as <folder>/train/<class>/*.jpg, and one of each class as val/; -> what they are.

    `kind` is cifar (32 x 32) or photos (500 x 375 mostly), taken from LENSMITH_DATA, which holds cifar10-jpeg.tar and
    photos/; photos are repeated until there are enough. What is not there is drawn.
    """
    data = Path(os.environ.get("LENSMITH_DATA", "absent"))
    if kind == "cifar" and (data / "cifar10-jpeg.tar").is_file():
        _write(_from_archive(data / "cifar10-jpeg.tar", count), folder)
        return "CIFAR-10 as JPEG"
    if kind == "photos" and (data / "photos").is_dir():
        files = sorted((data / "photos").glob("*.JPEG"))
        _write([(f"class{i % CLASSES}", files[i % len(files)].read_bytes()) for i in range(count)], folder)
        return f"{len(files)} photos, repeated" if count > len(files) else "photos"
    _draw(_EDGES[kind], count, folder)
    return "drawn JPEG"


def cifar_archive(benchmark: str) -> Path | None:
    """CIFAR-10 as an archive of JPEG files in class folders, train/ and test/; None, with a line that says so, where it
    is not there for that benchmark."""
    archive = Path(os.environ.get("LENSMITH_DATA", "")) / "cifar10-jpeg.tar"
    if archive.is_file():
        return archive
    print(f"{benchmark} was not measured: {archive} is not there; set LENSMITH_DATA to the folder that holds it")
    return None


def unpacked(archive: Path, folder: Path, members: Callable[[tarfile.TarFile], Iterable[tarfile.TarInfo]] = iter
             ) -> Path:
    """The folder, with the `members` of an archive in it: all by themselves."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, members(opened), filter="data")
    return folder


def fashion(folder: Path) -> Path:
    """Fashion-MNIST where torchvision looks for it under `folder`, unpacked as it leaves it after a download; -> where
    it lies on this machine. Raises DataError where it is not there."""
    source = Path(fashion_mnist().account["folder"])
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in source.glob("*ubyte*"):
        content = file.read_bytes()
        (raw / file.name.removesuffix(".gz")).write_bytes(
            gzip.decompress(content) if file.suffix == ".gz" else content)
    return source


def shared(name: str) -> Path | None:
    """A file or folder of LENSMITH_DATA; None where it is not there."""
    path = Path(os.environ.get("LENSMITH_DATA", "absent")).absolute() / name
    return path if path.exists() else None


def needed(name: str) -> Path:
    """A file or folder of LENSMITH_DATA; raises DataError where it is not there."""
    path = shared(name)
    if path is None:
        raise DataError(f"{name} is not there; set LENSMITH_DATA to the folder that holds it")
    return path


def _from_archive(archive: Path, count: int) -> list[tuple[str, bytes]]:
    """(class, content) of the first files of each class in the training part."""
    found: list[tuple[str, bytes]] = []
    taken: Counter[str] = Counter()
    with tarfile.open(archive) as files:
        for file in files:
            parts = Path(file.name).parts
            if not file.isfile() or "train" not in parts or taken[parts[-2]] >= -(-count // CLASSES):
                continue
            content = files.extractfile(file)
            assert content is not None
            taken[parts[-2]] += 1
            found.append((parts[-2], content.read()))
            if len(found) == count:
                break
    return found


def _write(files: list[tuple[str, bytes]], folder: Path) -> None:
    seen: set[str] = set()
    for number, (label, content) in enumerate(files):
        for part in ("train",) if label in seen else ("train", "val"):
            place = folder / part / label
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:05d}.jpg").write_bytes(content)
        seen.add(label)


def _draw(edges: tuple[int, int], count: int, folder: Path) -> None:
    """Coarse noise made large: it compresses about as photos do."""
    draw = np.random.default_rng(0)
    seen: set[int] = set()
    for number in range(count):
        coarse = draw.integers(0, 256, (max(2, edges[0] // 8), max(2, edges[1] // 8), 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(edges[::-1], Image.Resampling.BICUBIC)
        label = number % CLASSES
        for part in ("train",) if label in seen else ("train", "val"):
            place = folder / part / f"class{label}"
            place.mkdir(parents=True, exist_ok=True)
            picture.save(place / f"{number:05d}.jpg", quality=75)
        seen.add(label)
