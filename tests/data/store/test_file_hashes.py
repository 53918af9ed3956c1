"""Hashes of files: of the bytes, remembered, and never believed where the file may have changed."""

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from lensmith.base import progress
from lensmith.data.store import file_hashes as contents
from lensmith.data.store.file_hashes import content_hash, contents_of, digest_of


@pytest.fixture
def files(tmp_path: Path, monkeypatch) -> list[Path]:
    """Five files that were written long ago, and a cache of their own."""
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(contents, "_SETTLED", -1.0)    # the time of the last change of an inode cannot be set
    monkeypatch.setattr(contents, "_TOGETHER", 2)
    paths = [tmp_path / "set" / f"{i}.png" for i in range(5)]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * 100)
    return paths


def reads(monkeypatch) -> list[Path]:
    """The files that are read from now on."""
    found: list[Path] = []
    read = contents.read_file
    monkeypatch.setattr(contents, "read_file", lambda path: (found.append(path), read(path))[1])
    return found


def wanted(paths: list[Path]) -> np.ndarray:
    return np.array([list(hashlib.blake2b(path.read_bytes(), digest_size=16).digest()) for path in paths], np.uint8)


def test_hashes_are_of_the_bytes_and_remembered(files, monkeypatch):
    found = reads(monkeypatch)
    first = contents_of(files, root=files[0].parent).hashes
    assert np.array_equal(first, wanted(files)) and sorted(found) == files
    found.clear()
    assert np.array_equal(contents_of(files[::-1], root=files[0].parent).hashes, first[::-1]) and not found


def test_a_file_that_changed_is_read_again_whatever_its_time_says(files, monkeypatch):
    contents_of(files, root=files[0].parent)
    before = files[2].stat()
    files[2].write_bytes(b"\x09" * 100)    # of the same length
    os.utime(files[2], ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(files[3])
    found = reads(monkeypatch)
    assert np.array_equal(contents_of(files, root=files[0].parent).hashes, wanted(files))
    assert sorted(found) == files[2:4]


def test_what_changed_a_moment_ago_is_not_remembered(files, monkeypatch):
    monkeypatch.setattr(contents, "_SETTLED", 2.0)
    last = max(path.stat().st_ctime_ns for path in files)
    monkeypatch.setattr(time, "time_ns", lambda: last + int(1e9))
    contents_of(files, root=files[0].parent)
    found = reads(monkeypatch)
    contents_of(files, root=files[0].parent)
    assert sorted(found) == files
    monkeypatch.setattr(time, "time_ns", lambda: last + int(3e9))
    contents_of(files, root=files[0].parent)
    found.clear()
    contents_of(files, root=files[0].parent)
    assert not found


def test_a_file_that_is_gone_has_the_hash_of_no_bytes_and_is_forgotten(files, tmp_path):
    contents_of(files, root=files[0].parent)
    files[1].unlink()
    found = contents_of(files, root=files[0].parent).hashes
    assert found[1].tobytes() == content_hash(b"")
    files[0].write_bytes(b"new")
    contents_of(files, root=files[0].parent)
    book = json.loads(next((tmp_path / "cache" / "contents").iterdir()).read_text())
    assert sorted(book) == [os.fspath(path) for path in files if path != files[1]]


def test_a_file_is_known_by_its_times_and_where_these_are_too_young_or_new_by_its_bytes(files, monkeypatch):
    hashes = []
    monkeypatch.setattr(contents, "content_hash", lambda content: (hashes.append(content), content_hash(content))[1])
    old = [path.read_bytes() for path in files]
    found = contents_of(files, root=files[0].parent)
    hashes.clear()
    assert found.has(0, files[0], old[0]) and not hashes
    os.utime(files[1])    # touched, but the same
    assert found.has(1, files[1], old[1]) and hashes == [old[1]]
    files[2].write_bytes(b"\x09" * 100)
    assert not found.has(2, files[2], files[2].read_bytes())
    monkeypatch.setattr(contents, "_SETTLED", 1e6)
    young = contents_of(files, root=files[0].parent)
    hashes.clear()
    assert young.marks == [None] * 5 and young.has(0, files[0], old[0]) and not young.has(0, files[0], b"other")
    assert hashes == [old[0], b"other"]


@pytest.mark.parametrize("damage", ["", "{", "[]", "7", '{"a": 3}', '{"a": [[1, 2], "00"]}', "\udc00"])
def test_a_damaged_memory_is_none(files, tmp_path, damage, monkeypatch):
    contents_of(files, root=files[0].parent)
    book = next((tmp_path / "cache" / "contents").iterdir())
    book.write_bytes(damage.encode("utf-8", "surrogatepass"))
    found = reads(monkeypatch)
    assert np.array_equal(contents_of(files, root=files[0].parent).hashes, wanted(files)) and len(found) == 5
    assert len(json.loads(book.read_text())) == 5


def test_a_cache_that_cannot_be_written_is_only_slower(files, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    found = reads(monkeypatch)
    for _ in range(2):
        assert np.array_equal(contents_of(files, root=files[0].parent).hashes, wanted(files))
    assert len(found) == 10


def test_what_is_read_is_told_where_it_takes_long(files, monkeypatch):
    monkeypatch.setattr(contents, "_LARGE", 3)
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    told: list[str] = []
    contents_of(files, root=files[0].parent, tell=told.append)
    assert told == ["reading 5 pictures to know them again", *(f"looked at {i} of 5" for i in range(1, 6))]
    monkeypatch.setattr(progress, "_PAUSE", 5.0)
    told.clear()
    files[0].write_bytes(b"new")
    contents_of(files, root=files[0].parent, tell=told.append)
    assert told == []


def test_only_so_many_roots_are_remembered_the_last_used_ones(files, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "_BOOKS", 2)
    books = tmp_path / "cache" / "contents"
    contents_of(files, root=tmp_path / "a")
    contents_of(files, root=tmp_path / "b")
    first, = [book for book in books.iterdir() if book.name.startswith(content_hash(os.fsencode(tmp_path / "a")).hex())]
    for book in books.iterdir():
        os.utime(book, (1000.0, 1000.0))
    contents_of(files, root=tmp_path / "a")    # nothing new, but used
    contents_of(files, root=tmp_path / "c")
    left = {book.name for book in books.iterdir()}
    assert left == {first.name, f"{content_hash(os.fsencode(tmp_path / 'c')).hex()}.json"}


def test_the_digest_is_of_all_hashes_in_order(files):
    found = wanted(files)
    assert digest_of(found) == hashlib.blake2b(found.tobytes(), digest_size=16).hexdigest() != digest_of(found[::-1])
