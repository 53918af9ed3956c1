"""Decoded pictures in the user's cache: a folder for each set, mapped into memory, each picture with its checksum."""

import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from lensmith.base.cache_folder import cache_folder
from lensmith.base.pictures import Form, Place
from lensmith.data.store.file_hashes import LENGTH, digest_of

try:
    import fcntl
except ImportError:    # Windows, which by itself refuses to remove a file that is in use
    fcntl = None       # type: ignore[assignment]

VERSION = 2    # to be raised with any change in base/pictures.py: decode that changes a pixel
_ROW = np.dtype([("contents", "u1", LENGTH), ("check", "<u4"), ("size", "<i4", 2), ("fit", "<f8", 4)])
_NEW, _OLD = ".new-", ".old-"    # prefixes of folders that are being filled, and removed
_YOUNG = 60.0    # seconds: a folder without a lock that is younger may be about to be locked
_ABOUT, _ROWS, _PICTURES = "about.json", "rows.npy", "pictures.npy"


class Damaged(Exception):
    """A cache that cannot be used, with the reason."""


def pictures_folder() -> Path:
    """Where decoded pictures are kept: the folder `pictures` of the user's cache."""
    return cache_folder() / "pictures"


def folder_for(contents: np.ndarray, form: Form) -> Path:
    """The folder of a set. Its name is made of the form and of what the files hold: `contents` are their hashes, uint8
    [n, 16], in order."""
    return pictures_folder() / f"{_form_name(form)}-{digest_of(contents)}"


def _form_name(form: Form) -> str:
    interpolation = "" if form.interpolation == "bilinear" else f"-{form.interpolation}"
    values = "" if form.values is None else f"-{form.values[0]}to{form.values[1]}"
    return f"{form.channels}x{form.height}x{form.width}-{form.fit}-{form.bits}{interpolation}{values}"


@dataclass
class Cached:
    """The pictures of one folder, which no process removes as long as this object exists or until it is closed."""

    folder: Path
    images: np.ndarray    # uint8 or uint16 [n, channels, height, width], mapped, and written for this process alone
    rows: np.ndarray      # _ROW [n]; `contents` is 0 where the picture was bad
    lock: int | None
    used: bool = False    # `use` has been called: it notes the time once

    @classmethod
    def open(cls, folder: Path, form: Form) -> Self:
        """Raises FileNotFoundError where there is none, BlockingIOError where a process is removing it, PermissionError
        where it may not be read, and Damaged where it is not whole or of another version."""
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        lock = None
        try:
            lock = _locked(folder / _ABOUT)
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            if about["version"] != VERSION:
                raise Damaged("was written by another version of Lensmith")
            rows = np.load(folder / _ROWS, allow_pickle=False)
            images = np.load(folder / _PICTURES, mmap_mode="c", allow_pickle=False)
            wanted = (len(rows), form.channels, *form.size)
            if rows.dtype != _ROW or images.shape != wanted or images.dtype != _dtype(form):
                raise Damaged("is damaged")
        except (Damaged, BlockingIOError, PermissionError):
            _unlock(lock)
            raise
        except Exception as error:    # json and numpy have half a dozen ways to say so
            _unlock(lock)
            raise Damaged("is damaged") from error
        return cls(folder, images, rows, lock)

    def use(self) -> None:
        """Note that the set is used now: where room is needed those least recently used are removed first."""
        if not self.used:
            self.used = True
            with suppress(OSError):    # the file of another user
                os.utime(self.folder / _ABOUT)

    def place(self, row: int, file: str) -> Place:
        size, fit = self.rows["size"][row].tolist(), self.rows["fit"][row].tolist()
        return Place(file, (size[0], size[1]), (fit[0], fit[1], fit[2], fit[3]))

    def is_sound(self, row: int) -> bool:
        """Whether a picture and its place are as they were written."""
        return bool(_check(self.images[row], self.rows[row]) == self.rows["check"][row])

    def mend(self, row: int, image: np.ndarray, place: Place, contents: np.ndarray) -> None:
        """Write a picture again, for this process and, where the file may be written, for those to come."""
        record = _record(image, place, contents)
        self.images[row], self.rows[row] = image, record
        try:
            for name, value in ((_PICTURES, image), (_ROWS, record)):
                np.load(self.folder / name, mmap_mode="r+", allow_pickle=False)[row] = value
        except OSError:
            return

    def close(self) -> None:
        lock, self.lock = self.lock, None
        _unlock(lock)


class Building:
    """A folder that is being filled. It gets its name when it is whole."""

    def __init__(self, folder: Path, form: Form, count: int):
        """Takes all its room on the disk at once: a mapped file that the disk has no room for would end the process.
        Raises OSError."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, count
        self.aside = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder.parent))
        self.lock: int | None = None
        self.named = False
        try:
            (self.aside / _ABOUT).write_text(json.dumps({"version": VERSION, "pictures": count}), encoding="utf-8")
            self.lock = _locked(self.aside / _ABOUT)
            self.images: np.memmap[Any, Any] = np.lib.format.open_memmap(
                self.aside / _PICTURES, mode="w+", dtype=_dtype(form),
                shape=(count, form.channels, *form.size))
            _allocate(self.aside / _PICTURES, self.images.offset, self.images.nbytes)
            self.rows = np.zeros(count, dtype=_ROW)
        except BaseException:
            self.close()
            raise

    def note(self, row: int, place: Place, contents: np.ndarray) -> None:
        """Note that the picture of a row has been written to `images`."""
        self.rows[row] = _record(self.images[row], place, contents)

    def finish(self) -> None:
        """Give the folder its name. Where another process was first its folder stays; where the disk is in the way
        nothing is kept for another time."""
        try:
            np.save(self.aside / _ROWS, self.rows, allow_pickle=False)
            for name in (_PICTURES, _ROWS, _ABOUT):
                with open(self.aside / name, "rb+") as file:
                    os.fsync(file.fileno())
            os.rename(self.aside, self.folder)
            self.named = True
        except OSError:
            self.close()

    def close(self) -> None:
        """Remove what is not whole, and let others remove what is. What is mapped can be read on."""
        lock, self.lock = self.lock, None
        _unlock(lock)
        if not self.named:
            shutil.rmtree(self.aside, ignore_errors=True)


def make_room(needed: int, *, fraction: float) -> bool:
    """Whether `needed` bytes more may be kept: cache + needed <= fraction * (cache + free disk).

    The sets least recently used are removed for that, but none that a process uses.
    """
    folder = pictures_folder()
    if fraction <= 0:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sets = sorted((_last_used(path), path) for path in folder.iterdir() if path.is_dir())
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for _, path in sets}
        total = sum(sizes.values())
        bound = fraction * (shutil.disk_usage(folder).free + total)
    except OSError:
        return False    # no folder to write to, or another process is removing the same
    if needed > bound:
        return False
    for _, path in sets:
        # What a killed process was filling is of no use to anyone.
        if (total + needed > bound or path.name.startswith((_NEW, _OLD))) and remove(path):
            total -= sizes[path]
    return total + needed <= bound


def related(form: Form) -> Iterator[Cached]:
    """The sets in this form that the cache has, whatever they are of."""
    for folder in sorted(pictures_folder().glob(f"{_form_name(form)}-*")):
        try:
            yield Cached.open(folder, form)
        except (Damaged, OSError):
            continue


def remove(folder: Path) -> bool:
    """Remove a set's folder; -> False where a process uses it. It is renamed first, so that nobody finds half of it."""
    lock = None
    try:
        if (folder / _ABOUT).exists():
            lock = _locked(folder / _ABOUT, alone=True)
        elif time.time() - folder.stat().st_mtime < _YOUNG:
            return False    # just made, and about to be locked
        gone = folder if folder.name.startswith(_OLD) else folder.with_name(f"{_OLD}{os.getpid()}-{folder.name}")
        os.rename(folder, gone)
    except OSError:    # BlockingIOError: in use
        return False
    finally:
        _unlock(lock)
    shutil.rmtree(gone, ignore_errors=True)
    return True


def _last_used(folder: Path) -> float:
    """When a set was last used, in seconds since 1970."""
    about = folder / _ABOUT
    return about.stat().st_mtime if about.exists() else 0.0


def _dtype(form: Form) -> np.dtype[Any]:
    return np.dtype(np.uint8 if form.bits == 8 else np.uint16)


def _record(image: np.ndarray, place: Place, contents: np.ndarray) -> np.ndarray:
    row = np.zeros((), dtype=_ROW)
    row["contents"], row["size"], row["fit"] = contents, place.size, place.fit
    row["check"] = _check(image, row)
    return row


def _check(image: np.ndarray, row: np.ndarray) -> int:
    record = row["contents"].tobytes() + row["size"].tobytes() + row["fit"].tobytes()
    return zlib.crc32(np.ascontiguousarray(image).data, zlib.crc32(record))


def _allocate(path: Path, first: int, count: int) -> None:
    """Take the room of `count` bytes from byte `first` on. Raises OSError where the disk has none."""
    with open(path, "rb+") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), first, count)
            return
        file.seek(first)    # macOS has no such call; there zeros are written
        zeros = bytes(1 << 20)
        for done in range(0, count, len(zeros)):
            file.write(zeros[: count - done])


def _locked(path: Path, *, alone: bool = False) -> int | None:
    """A handle that keeps others from removing a folder while it is open; with `alone`, BlockingIOError where another
    has one. None where the system has no such locks."""
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)
