"""What files hold, as hashes, remembered in the user's cache so that a second run need not read every byte."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np

from lensmith.base.atomic_files import write_text
from lensmith.base.cache_folder import cache_folder
from lensmith.base.errors import UserError, count
from lensmith.base.pictures import BadPicture, read_file
from lensmith.base.progress import ProgressLine

LENGTH = 16       # bytes of a hash, BLAKE2b
_BOOKS = 100      # of roots, kept: those that were used last
_LARGE = 1_000    # files that are new, from which on it is said beforehand that they are read
_TOGETHER = 32    # files that a thread is given at a time: to hand over each costs as much as hashing a small one
_SETTLED = 2.0    # seconds: a file as young as the steps of the file system's clock may change without showing it


def content_hash(content: bytes) -> bytes:
    """The hash of a file's bytes."""
    return hashlib.blake2b(content, digest_size=LENGTH).digest()


def digest_of(contents: np.ndarray) -> str:
    """32 hex digits for the hashes (uint8 [n, 16]) of a list of files, in order."""
    return hashlib.blake2b(contents.tobytes(), digest_size=LENGTH).hexdigest()


@dataclass(frozen=True)
class Contents:
    """What some files hold."""

    hashes: np.ndarray                # uint8 [n, 16]
    marks: list[list[int] | None]     # as _mark tells them; None where a change might not show in them

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of several lists of files, one after the other."""
        return cls(np.concatenate([one.hashes for one in parts]), [mark for one in parts for mark in one.marks])

    def has(self, row: int, path: Path, content: bytes) -> bool:
        """Whether the file at `path`, from which `content` has just been read, is what it was when it was hashed: by
        the times of its change, which takes a hundredth of hashing it again, else by its hash."""
        mark = self.marks[row]
        return (mark is not None and mark == _mark(path)) or content_hash(content) == self.hashes[row].tobytes()


def contents_of(paths: Sequence[Path], *, root: Path, tell: Callable[[str], object] = lambda line: None) -> Contents:
    """The hash of each file's bytes; of a file that cannot be read that of no bytes.

    Files below `root` whose size, inode and times of change are as when they were last hashed are not read again.
    `tell` is told how many are read where these are many, and how far that is every few seconds.
    """
    book = cache_folder() / "contents" / f"{content_hash(os.fsencode(root.absolute())).hex()}.json"
    known = _read(book)
    began = time.time_ns()
    chunks = [slice(start, start + _TOGETHER) for start in range(0, len(paths), _TOGETHER)]

    def marks_of(rows: slice) -> list[list[int] | None]:
        return [_mark(path) for path in paths[rows]]

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        # Before the bytes are read: what changes meanwhile has another mark.
        marks = list(chain.from_iterable(pool.map(marks_of, chunks)))
        remembered = [_remembered(known, path, mark) for path, mark in zip(paths, marks, strict=True)]
        new_files = remembered.count(None)
        if new_files >= _LARGE:
            tell(f"reading {count(new_files, 'picture')} to know them again")

        def hashes_of(rows: slice) -> list[bytes | None]:
            return [content or _hash_of(path) for path, content in zip(paths[rows], remembered[rows], strict=True)]

        hashes: list[bytes | None] = []
        looked_at = ProgressLine("looked at", len(paths), tell)
        for content in chain.from_iterable(pool.map(hashes_of, chunks)):
            hashes.append(content)
            looked_at(len(hashes))
    settled = began - int(_SETTLED * 1e9)
    marks = [mark if content is not None and mark is not None and max(mark[1], mark[2]) < settled else None
             for content, mark in zip(hashes, marks, strict=True)]
    all_hashes = [content if content is not None else content_hash(b"") for content in hashes]
    _remember(book, known, {os.fspath(path): [mark, content.hex()] for path, content, mark
                            in zip(paths, all_hashes, marks, strict=True) if mark is not None})
    return Contents(np.frombuffer(b"".join(all_hashes), dtype=np.uint8).reshape(-1, LENGTH), marks)


def _remembered(known: Mapping[str, Any], path: Path, mark: list[int] | None) -> bytes | None:
    """The hash of a file that has not changed since it was last hashed."""
    entry = known.get(os.fspath(path))
    return bytes.fromhex(entry[1]) if mark is not None and entry is not None and entry[0] == mark else None


def _hash_of(path: Path) -> bytes | None:
    """The hash of a file's bytes; None where it cannot be read."""
    try:
        return content_hash(read_file(path))
    except BadPicture:
        return None


def _remember(book: Path, known: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Bring a book up to date, or note that it was used where nothing in it has changed."""
    if any(known.get(path) != entry for path, entry in new.items()):
        there = {path: entry for path, entry in known.items() if path in new or os.path.exists(path)}
        _write(book, there | dict(new))
    elif new:
        with suppress(OSError):
            os.utime(book)


def _mark(path: Path) -> list[int] | None:
    """What changes with a file: its size, the times of its last change (which can be set) and of that of its inode
    (which cannot), and the inode."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read(book: Path) -> dict[str, Any]:
    """The remembered {path: [mark, hash]}; none where the file is absent or damaged."""
    try:
        found = json.loads(book.read_text(encoding="utf-8"))
        whole = all(len(mark) == 4 and len(bytes.fromhex(content)) == LENGTH for mark, content in found.values())
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return found if whole else {}


def _write(book: Path, known: dict[str, Any]) -> None:
    """Write a book, and remove those beyond _BOOKS that were not used for longest."""
    try:
        book.parent.mkdir(parents=True, exist_ok=True)
        write_text(book, json.dumps(known, separators=(",", ":")))
        books = sorted(book.parent.glob("*.json"), key=lambda one: one.stat().st_mtime_ns)
        for old in books[:-_BOOKS]:
            old.unlink()
    except (OSError, UserError):
        return    # a cache that cannot be written is only slower
