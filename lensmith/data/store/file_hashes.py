"""Hashes of what files hold, remembered in the user's cache so that a second run need not read every byte."""

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
from lensmith.base.picture_headers import BadPicture, read_file
from lensmith.base.progress import ProgressLine

LENGTH = 16       # bytes of a hash, BLAKE2b
_BOOKS = 100      # of roots are kept: those that were used last
_LARGE = 1_000    # new files: where there are so many it is said beforehand that they are read
_TOGETHER = 32    # files that a thread gets at a time: handing one over costs as much as hashing a small one
_SETTLED = 2.0    # seconds: a younger file may change within one step of the file system's clock, which shows nothing


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
    marks: list[list[int] | None]     # from _mark; None where a change might not show in them

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        """Those of several lists of files, one after the other."""
        hashes = np.concatenate([contents.hashes for contents in several])
        return cls(hashes, [mark for contents in several for mark in contents.marks])

    def has(self, row: int, path: Path, content: bytes) -> bool:
        """Whether the file at `path`, of which `content` has just been read, is what it was when it was hashed.

        The times of its change say so, which takes a hundredth of the time of hashing it again, else its hash.
        """
        mark = self.marks[row]
        return (mark is not None and mark == _mark(path)) or content_hash(content) == self.hashes[row].tobytes()


def contents_of(paths: Sequence[Path], *, root: Path, tell: Callable[[str], object] = lambda line: None) -> Contents:
    """The hash of each file's bytes; of a file that cannot be read it is the hash of no bytes.

    Files whose size, inode and times of change are as when they were last hashed are not read again.

    root: the folder of the set, for which the hashes are remembered.
    tell: called with a line that says how many files are read, where they are many, and how far it is.
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
        existing = {path: entry for path, entry in known.items() if path in new or os.path.exists(path)}
        _write(book, existing | dict(new))
    elif new:
        with suppress(OSError):
            os.utime(book)


def _mark(path: Path) -> list[int] | None:
    """What changes with a file: its size, the time of its last change, which can be set, that of the last change of its
    inode, which cannot, and the number of the inode."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read(book: Path) -> dict[str, Any]:
    """The remembered {path: [mark, hash]}; empty where the file is absent or damaged."""
    try:
        entries = json.loads(book.read_text(encoding="utf-8"))
        whole = all(len(mark) == 4 and len(bytes.fromhex(content)) == LENGTH for mark, content in entries.values())
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return entries if whole else {}


def _write(book: Path, known: dict[str, Any]) -> None:
    """Write a book, and remove those least recently used where there are more than _BOOKS."""
    try:
        book.parent.mkdir(parents=True, exist_ok=True)
        write_text(book, json.dumps(known, separators=(",", ":")))
        books = sorted(book.parent.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for old in books[:-_BOOKS]:
            old.unlink()
    except (OSError, UserError):
        return    # a cache that cannot be written is only slower
