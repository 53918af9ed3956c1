"""Download a public data set, which is done only where the user asks for it: `lensmith data get NAME`."""

import hashlib
import http.client
import os
import ssl
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lensmith.base.cache_folder import cache_folder
from lensmith.base.errors import DataError, choose
from lensmith.data.formats import FORMATS
from lensmith.data.formats.format import Public

_TIMEOUT = 30        # seconds without a byte after which a server counts as gone
_BLOCK = 1 << 20     # bytes read at a time


def get(name: str, folder: Path | None = None, *,
        progress: Callable[[str, int, int], object] = lambda file, done, total: None) -> Path:
    """Download a public data set into `folder`, by default the cache; -> the folder that now holds it.

    Files that are there and whole are not downloaded again. Each file is checked by its SHA-256, and all are put in
    place when the last one is whole. `progress(file, bytes so far, bytes in all)` is called after each block; the last
    is 0 where the server does not say it. Raises DataError for an unknown name, for servers that cannot be reached, a
    wrong hash, or a folder that cannot be written.
    """
    public_sets = {key: record.public for key, record in FORMATS.items() if record.public is not None}
    public = choose(public_sets, name, "public data set", error=DataError)
    target = (cache_folder() if folder is None else folder) / name
    needed = public.unpacked or tuple(public.files)
    if all((target / file).is_file() and _is_right(target / file, public.files.get(file)) for file in needed):
        return target
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".") as aside:
            for file, digest in public.files.items():
                _fetch(public, file, digest, Path(aside) / file, folder=target, progress=progress)
                if public.unpacked:
                    with tarfile.open(Path(aside) / file) as archive:
                        archive.extractall(aside, filter="data")
            for file in needed:
                (target / file).parent.mkdir(exist_ok=True)
                os.replace(Path(aside) / file, target / file)
    except FileNotFoundError as error:
        raise DataError(f"the archive of {name} lacks {Path(error.filename).name}: its publisher has changed it") \
            from error
    except tarfile.TarError as error:
        raise DataError(f"the archive of {name} cannot be unpacked ({error})") from error
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error}): name another folder with the "
                        "variable LENSMITH_CACHE") from error
    return target


def _is_right(file: Path, digest: str | None) -> bool:
    """Whether a file has its hash; members of an archive have none, since they are put in place whole."""
    if digest is None:
        return True
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == digest


def _fetch(public: Public, file: str, digest: str, target: Path, *, folder: Path,
           progress: Callable[[str, int, int], object]) -> None:
    """Download a file from the first mirror that gives it whole; raises DataError with what each mirror answered."""
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
    raise DataError(f"cannot get {', '.join(failures)}: try again later, put {file} into {folder} yourself"
                    f"{public.otherwise}")


def _copy(url: str, target: Path, *, progress: Callable[[str, int, int], object]) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "lensmith"})    # some servers refuse Python's own
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, open(target, "wb") as opened:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while block := answer.read(_BLOCK):
            opened.write(block)
            done += len(block)
            progress(target.name, done, total)
        if done < total:
            raise http.client.IncompleteRead(b"", total - done)
