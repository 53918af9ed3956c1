"""Getting the public data sets, which is done only when asked for: `lensmith data get NAME`."""

import hashlib
import http.client
import os
import ssl
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lensmith.base.cache_folder import cache_folder
from lensmith.base.errors import DataError, choose

_WAIT = 30           # seconds without a byte after which a server counts as gone
_BLOCK = 1 << 20     # bytes
_IDX = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
         "t10k-labels-idx1-ubyte.gz")


@dataclass(frozen=True)
class Public:
    """Where a data set can be got, and what is got."""

    mirrors: tuple[str, ...]              # tried in this order; a file's name is put behind
    files: dict[str, str]                 # name -> SHA-256
    unpacked: tuple[str, ...] = ()        # for an archive: its members that the set needs
    otherwise: str = ""                   # another way to get it


# The mirrors are those that torchvision.datasets lists, the authors' own pages, and the one of TensorFlow's tutorials.
# The authors publish MD5 sums; the SHA-256 sums are those that other public loaders of the same files check.
PUBLIC = {
    "fashion-mnist": Public(
        ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
         "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        dict(zip(_IDX, ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                         "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                         "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                         "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"), strict=True)),
        otherwise=", or install Debian's package: apt install dataset-fashion-mnist"),
    "mnist": Public(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        dict(zip(_IDX, ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                         "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                         "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                         "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"), strict=True))),
    "cifar10": Public(
        ("https://www.cs.toronto.edu/~kriz/",),
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        tuple(f"cifar-10-batches-bin/{file}" for file in
              ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin",
               "test_batch.bin", "batches.meta.txt"))),
    "cifar100": Public(
        ("https://www.cs.toronto.edu/~kriz/",),
        {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
        ("cifar-100-binary/train.bin", "cifar-100-binary/test.bin", "cifar-100-binary/fine_label_names.txt")),
}


def get(name: str, folder: Path | None = None, *,
        progress: Callable[[str, int, int], object] = lambda file, done, total: None) -> Path:
    """Download a public data set into `folder`, or the cache, and give the folder that now holds it.

    What is there and whole is not got again. Files are checked by their SHA-256 and put in place when all are whole.
    `progress` is told the file, the bytes got, and the bytes to get (0 where the server does not say). Raises DataError
    for an unknown name, for a server that cannot be reached, a wrong hash, or a folder that cannot be written.
    """
    public = choose(PUBLIC, name, "public data set", error=DataError)
    place = (cache_folder() if folder is None else folder) / name
    wanted = public.unpacked or tuple(public.files)
    if all((place / file).is_file() and _is_right(place / file, public.files.get(file)) for file in wanted):
        return place
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix=".") as aside:
            for file, digest in public.files.items():
                _fetch(public, file, digest, Path(aside) / file, place=place, progress=progress)
                if public.unpacked:
                    with tarfile.open(Path(aside) / file) as archive:
                        archive.extractall(aside, filter="data")
            for file in wanted:
                (place / file).parent.mkdir(exist_ok=True)
                os.replace(Path(aside) / file, place / file)
    except FileNotFoundError as error:
        raise DataError(f"the archive of {name} lacks {Path(error.filename).name}: its publisher has changed it") \
            from error
    except tarfile.TarError as error:
        raise DataError(f"the archive of {name} cannot be unpacked ({error})") from error
    except OSError as error:
        raise DataError(f"{place} cannot be written ({error.strerror or error}): name another folder with the variable "
                        "LENSMITH_CACHE") from error
    return place


def _is_right(file: Path, digest: str | None) -> bool:
    """Whether a file has its hash; members of an archive are put in place whole and have none."""
    if digest is None:
        return True
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == digest


def _fetch(public: Public, file: str, digest: str, target: Path, *, place: Path,
           progress: Callable[[str, int, int], object]) -> None:
    """The file from the first mirror that gives it whole."""
    failures = []
    for mirror in public.mirrors:
        try:
            _copy(mirror + file, target, progress=progress)
        except urllib.error.HTTPError as error:
            failures.append(f"{mirror + file} (HTTP {error.code} {error.reason})")
        except urllib.error.URLError as error:
            failures.append(f"{mirror + file} ({error.reason})")
        except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
            failures.append(f"{mirror + file} ({error or type(error).__name__})")
        else:
            if _is_right(target, digest):
                return
            failures.append(f"{mirror + file} (its SHA-256 is not {digest[:16]}..., so it is damaged or was changed)")
    raise DataError(f"cannot get {', '.join(failures)}: try again later, put {file} into {place} yourself"
                    f"{public.otherwise}")


def _copy(url: str, target: Path, *, progress: Callable[[str, int, int], object]) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "lensmith"})    # some servers refuse Python's own
    with urllib.request.urlopen(request, timeout=_WAIT) as answer, open(target, "wb") as opened:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while block := answer.read(_BLOCK):
            opened.write(block)
            done += len(block)
            progress(target.name, done, total)
        if done < total:
            raise http.client.IncompleteRead(b"", total - done)
