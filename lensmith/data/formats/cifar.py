"""CIFAR-10 and CIFAR-100 in the binary form of their author, which holds no pickle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lensmith.base.errors import DataError
from lensmith.data.formats.format import Format, Public
from lensmith.data.formats.named_sets import find_folder, search_roots
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.sample import Splits
from lensmith.values.labels import Label

_EDGE = 32                        # pixels
# The folder that the author's archive unpacks to, and a file that lies in it.
_UNPACKED = {"cifar10": ("cifar-10-batches-bin", "data_batch_1.bin"), "cifar100": ("cifar-100-binary", "train.bin")}
_VALUES = 3 * _EDGE * _EDGE       # bytes of a picture: its red plane, then green, then blue


def cifar10(path: str | None = None) -> Splits:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour pictures of 32 x 32, ten classes.

    The five training files are read as one, and a picture's number runs on through them. `path`: a folder that holds
    the binary files, or a folder above it; by default they are looked for in LENSMITH_DATA, the cache and Debian's
    folder. Raises DataError where they are not found, with the folders searched, lie there as pickles, or are damaged.
    """
    train = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
    return _open("cifar10", path, pickled="cifar-10-batches-py", train=train, test=("test_batch.bin",),
                 names="batches.meta.txt", labels=1)


def cifar100(path: str | None = None) -> Splits:
    """CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour pictures of 32 x 32, one hundred (fine) classes.

    `path`: as of CIFAR-10. Raises DataError where the files are not found, with the folders searched, lie there as
    pickles, or are damaged.
    """
    return _open("cifar100", path, pickled="cifar-100-python", train=("train.bin",), test=("test.bin",),
                 names="fine_label_names.txt", labels=2)


def find_cifar(name: str, path: str | None = None, *, hint: str = "") -> Path:
    """The folder that holds "cifar10" or "cifar100", without reading its files; raises DataError as find_folder."""
    unpacked, first = _UNPACKED[name]
    return find_folder(name, path, inner=(name, unpacked, f"{name}/{unpacked}"),
                       holds=lambda folder: (folder / first).is_file(), hint=hint)


def _open(name: str, path: str | None, *, pickled: str, train: Sequence[str], test: Sequence[str], names: str,
          labels: int) -> Splits:
    hint = f"get it, in the binary form, with: lensmith data get {name}"
    for folder in (root / inner for root in search_roots(path) for inner in ("", pickled, f"{name}/{pickled}")):
        if any((folder / file).is_file() for file in ("data_batch_1", "batches.meta", "meta")):
            hint = (f"{folder} holds its python form, pickles, which can run code when they are read and are refused; "
                    f"{hint}")
            break
    folder = find_cifar(name, path, hint=hint)
    classes = _names(folder / names)
    splits = {split: _split(folder, files, f"{name}-{split}", labels=labels, classes=classes)
              for split, files in (("train", train), ("test", test))}
    account = {"folder": str(folder), "pictures": {split: len(source) for split, source in splits.items()}}
    return Splits(dict(splits), account)


def _names(file: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}, which names the classes, cannot be read: get the whole set again ({error})") \
            from error
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(f"{file} names {len(set(names))} classes in {len(names)} lines; one name a line, none twice, "
                        "is expected")
    return names


def _split(folder: Path, files: Sequence[str], shown: str, *, labels: int, classes: tuple[str, ...]) -> InMemory:
    """The pictures of some files, whose records are `labels` bytes, the last of them the class, and a picture.

    `shown` is what the pictures are called in accounts and errors, with a number behind.
    """
    records = np.concatenate([_records(folder / file, labels + _VALUES) for file in files])
    index = records[:, labels - 1].astype(np.int64)
    if index.max() >= len(classes):
        row = int(np.argmax(index >= len(classes)))
        raise DataError(f"{folder} ({', '.join(files)}) gives label {index[row]} to picture {row}; labels are 0 to "
                        f"{len(classes) - 1}")
    images = torch.from_numpy(np.ascontiguousarray(records[:, labels:])).view(-1, 3, _EDGE, _EDGE)
    places = Numbered(shown, (_EDGE, _EDGE), np.arange(len(index)))
    return InMemory(images, {"label": Label(torch.from_numpy(index))}, {"label": classes}, places=places)


def _records(file: Path, length: int) -> np.ndarray:
    """The records of a file, uint8 [n, length]; raises DataError."""
    try:
        values = np.fromfile(file, np.uint8)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): get the whole set again") from error
    if len(values) == 0 or len(values) % length:
        raise DataError(f"{file} has {len(values):,} bytes, which is no multiple of {length:,} (one picture with its "
                        "label): it is truncated or another file; get it again")
    return values.reshape(-1, length)


# The SHA-256 sums are those that other public loaders of the same files check; the author publishes MD5 sums.
_MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
CIFAR10 = Format(cifar10, find=find_cifar, public=Public(
    mirrors=_MIRRORS,
    files={"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
    unpacked=tuple(f"cifar-10-batches-bin/{file}" for file in
                   ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin",
                    "test_batch.bin", "batches.meta.txt"))))
CIFAR100 = Format(cifar100, find=find_cifar, public=Public(
    mirrors=_MIRRORS,
    files={"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
    unpacked=tuple(f"cifar-100-binary/{file}" for file in ("train.bin", "test.bin", "fine_label_names.txt"))))
