"""MNIST and Fashion-MNIST in the IDX files of their authors, gzipped or plain."""

import math
import sys
import zlib
from pathlib import Path

import numpy as np
import torch

from lensmith.base.errors import DataError
from lensmith.data.formats.format import Format, Public
from lensmith.data.formats.named_sets import find_folder
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.sample import Splits
from lensmith.values.labels import Label

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DIGITS = tuple("0123456789")
# Both sets use the same file names; their first eight training labels tell which one it is.
_FIRST_LABELS = {"mnist": (5, 0, 4, 1, 9, 2, 1, 3), "fashion-mnist": (9, 0, 0, 3, 0, 2, 7, 2)}
_TORCHVISION_FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}    # as torchvision calls them
_UNSIGNED_BYTES = 8


def fashion_mnist(path: str | None = None) -> Splits:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 60,000 + 10,000 pictures of clothes, 28 x 28 gray, ten classes.

    `path`: a folder that holds the four IDX files, or a folder above it; by default they are looked for in
    LENSMITH_DATA, the cache and Debian's folder. Raises DataError where they are not found, with the folders searched,
    or are damaged.
    """
    hint = "get it with: lensmith data get fashion-mnist (or Debian's package: apt install dataset-fashion-mnist)"
    return _open("fashion-mnist", path, classes=FASHION, hint=hint)


def mnist(path: str | None = None) -> Splits:
    """MNIST (LeCun, Cortes, Burges 1998): 60,000 + 10,000 handwritten digits, 28 x 28 gray.

    `path`: as of Fashion-MNIST. Raises DataError where the files are not found, with the folders searched, or are
    damaged.
    """
    return _open("mnist", path, classes=DIGITS, hint="get it with: lensmith data get mnist")


def find_idx(name: str, path: str | None = None, *, hint: str = "") -> Path:
    """The folder that holds "mnist" or "fashion-mnist", without reading its files; raises DataError as find_folder."""
    inner = (name, f"{_TORCHVISION_FOLDERS[name]}/raw", f"{name}/{_TORCHVISION_FOLDERS[name]}/raw")
    return find_folder(name, path, inner=inner, holds=lambda folder: _file(folder, "train-images", 3) is not None,
                       hint=hint)


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes, gzipped or plain, as the uint8 array that it declares.

    The format (LeCun, "The MNIST database", file formats): two zero bytes, a byte for the type, a byte for the number
    of dimensions, each dimension as a big-endian uint32, then the values. Raises DataError where the values are fewer
    or more than the header declares.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    unpack = zlib.decompressobj(wbits=31) if raw[:2] == b"\x1f\x8b" else None
    try:
        head = unpack.decompress(raw, 4) if unpack else raw[:4]
        if len(head) < 4 or head[:2] != b"\0\0":
            raise DataError(f"{path} is not an IDX file: it begins with {head.hex(' ') or 'nothing'}, not with 00 00")
        if head[2] != _UNSIGNED_BYTES or not 1 <= head[3] <= 4:
            raise DataError(f"{path} is an IDX file of type 0x{head[2]:02x} with {head[3]} dimensions; "
                            "accepted are unsigned bytes (0x08) with 1 to 4")
        header = 4 * head[3]    # bytes of the dimensions
        sizes = unpack.decompress(unpack.unconsumed_tail, header) if unpack else raw[4 : 4 + header]
        shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4")) if len(sizes) == header else (-1,)
        declared = math.prod(shape)
        # Not more is unpacked than the header declares: a small file can unpack to more than the memory holds.
        body = raw[4 + header :]
        if unpack and len(sizes) == header:
            body = unpack.decompress(unpack.unconsumed_tail, min(declared + 1, sys.maxsize))
        if unpack and len(body) == declared and not unpack.eof:
            body += unpack.decompress(unpack.unconsumed_tail, 1)    # reads on to the end, and so checks the checksum
    except zlib.error as error:
        raise DataError(f"{path} is a damaged gzip file ({error}): get it again") from error
    if len(sizes) < header or len(body) < declared or (unpack and len(body) == declared and not unpack.eof):
        raise DataError(f"{path} is truncated: {' x '.join(map(str, shape)) if len(sizes) == header else 'no'} values "
                        f"declared, {len(body):,} bytes follow: get it again")
    if len(body) > declared:
        raise DataError(f"{path} holds more than the {declared:,} bytes that its header declares "
                        f"({' x '.join(map(str, shape))})")
    return np.frombuffer(body, np.uint8).reshape(shape).copy()    # a copy, since torch warns of read-only memory


def _open(name: str, path: str | None, *, classes: tuple[str, ...], hint: str) -> Splits:
    folder = find_idx(name, path, hint=hint)
    splits = {split: _split(folder, stem, classes=classes) for split, stem in (("train", "train"), ("test", "t10k"))}
    labels = splits["train"].targets["label"]
    assert isinstance(labels, Label)
    first = tuple(labels.index[:8].tolist())
    other = next((key for key, labels_of in _FIRST_LABELS.items() if labels_of == first and key != name), None)
    if other:
        raise DataError(f"{folder} holds {other}, not {name}: use data.name={other}, or give another folder "
                        "with data.path")
    account = {"folder": str(folder), "pictures": {split: len(source) for split, source in splits.items()}}
    return Splits(dict(splits), account)


def _file(folder: Path, stem: str, dimensions: int) -> Path | None:
    """`train-images-idx3-ubyte`, as the authors name it, or `train-images.idx3-ubyte`, as some programs unpack it."""
    names = [f"{stem}{separator}idx{dimensions}-ubyte{suffix}" for suffix in ("", ".gz") for separator in "-."]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _split(folder: Path, stem: str, *, classes: tuple[str, ...]) -> InMemory:
    files = [_file(folder, f"{stem}-{what}", dimensions) for what, dimensions in (("images", 3), ("labels", 1))]
    if files[0] is None or files[1] is None:
        missing = f"{stem}-{'images-idx3' if files[0] is None else 'labels-idx1'}-ubyte.gz"
        raise DataError(f"{folder} lacks {missing}: get the whole set again, or give another folder with data.path")
    pictures, labels = read_idx(files[0]), read_idx(files[1])
    if pictures.ndim != 3 or labels.ndim != 1 or len(pictures) != len(labels) or not len(labels):
        raise DataError(f"{files[0]} declares {' x '.join(map(str, pictures.shape))} and {files[1].name} "
                        f"{' x '.join(map(str, labels.shape))}; pictures x height x width, and one label a picture, "
                        "are expected")
    if labels.max() >= len(classes):
        row = int(np.argmax(labels >= len(classes)))
        raise DataError(f"{files[1]} gives label {labels[row]} to picture {row}; labels are 0 to {len(classes) - 1}")
    places = Numbered(files[0].name.removesuffix(".gz"), pictures.shape[1:], np.arange(len(labels)))
    return InMemory(torch.from_numpy(pictures)[:, None], {"label": Label(torch.from_numpy(labels).long())},
                    {"label": classes}, places=places)


# The mirrors are those that torchvision.datasets lists, the authors' own pages, and the one of TensorFlow's tutorials.
# The authors publish MD5 sums; the SHA-256 sums are those that other public loaders of the same files check.
FASHION_MNIST = Format(fashion_mnist, find=find_idx, public=Public(
    mirrors=("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
             "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
    files={"train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
           "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
           "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
           "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"},
    otherwise=", or install Debian's package: apt install dataset-fashion-mnist"))
MNIST = Format(mnist, find=find_idx, public=Public(
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    files={"train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
           "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
           "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
           "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}))
