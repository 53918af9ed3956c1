"""The cache of decoded pictures: whole or absent, checked row by row, bounded, and nothing in use is removed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lensmith.base.pictures import Form, Place
from lensmith.data.store import disk_cache as cached
from lensmith.data.store.disk_cache import (
    Building,
    Cached,
    Damaged,
    folder_for,
    make_room,
    pictures_folder,
    related,
    remove,
)

FORM = Form(3, 8, 9)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


def some(number: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(hashes uint8 [n, 16], pictures uint8 [n, 3, 8, 9])"""
    draw = np.random.default_rng(seed)
    return (draw.integers(1, 256, (number, 16), dtype=np.uint8),
            draw.integers(0, 256, (number, 3, 8, 9), dtype=np.uint8))


def place(row: int) -> Place:
    return Place(f"{row}.png", (10 + row, 20), (0.3, 0.7, -row, 1.5))


def build(number: int = 6, *, seed: int = 0, without: tuple[int, ...] = ()) -> Path:
    hashes, pictures = some(number, seed=seed)
    building = Building(folder_for(hashes, FORM), FORM, number)
    for row in range(number):
        if row not in without:
            building.images[row] = pictures[row]
            building.note(row, place(row), hashes[row])
    building.finish()
    building.close()
    return building.folder


def test_what_was_kept_is_found_again_by_its_contents_and_form(cache):
    folder = build(without=(4,))
    hashes, pictures = some(6)
    assert folder.parent == cache == pictures_folder() and folder == folder_for(hashes, FORM)
    assert len({folder_for(hashes, form) for form in (FORM, Form(1, 8, 9), Form(3, 9, 8), Form(3, 8, 9, "pad"),
                                                      Form(3, 8, 9, bits=16))} | {folder_for(hashes[::-1], FORM)}) == 6
    found = Cached.open(folder, FORM)
    for row in (0, 1, 2, 3, 5):
        assert np.array_equal(found.images[row], pictures[row]) and found.is_sound(row)
        assert found.place(row, f"{row}.png") == place(row)
        assert np.array_equal(found.rows["contents"][row], hashes[row])
    assert not found.rows["contents"][4].any() and not found.is_sound(4)
    found.close()


def test_sixteen_bits_are_kept(cache):
    form = Form(1, 2, 2, bits=16)
    building = Building(cache / "deep", form, 1)
    building.images[0] = [[[1, 65535], [256, 3]]]
    building.note(0, place(0), some(1)[0][0])
    building.finish()
    assert Cached.open(cache / "deep", form).images.tolist() == [[[[1, 65535], [256, 3]]]]


def test_what_is_not_finished_has_no_name_and_leaves_nothing(cache):
    hashes, _ = some(3)
    building = Building(folder_for(hashes, FORM), FORM, 3)
    assert [one.name[:5] for one in cache.iterdir()] == [".new-"]
    with pytest.raises(FileNotFoundError):
        Cached.open(building.folder, FORM)
    building.close()
    assert not list(cache.iterdir())


def damage(folder: Path, name: str, how: str) -> None:
    file = folder / name
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut": content[: len(content) * 2 // 3], "other": b"x" * len(content),
                          "list": b"[1, 2]", "header": content[:20] + b"?" * 30 + content[50:]}[how])


@pytest.mark.parametrize(("name", "how"), [
    ("about.json", "gone"), ("about.json", "empty"), ("about.json", "cut"), ("about.json", "list"),
    ("rows.npy", "gone"), ("rows.npy", "empty"), ("rows.npy", "cut"), ("rows.npy", "other"), ("rows.npy", "header"),
    ("pictures.npy", "gone"), ("pictures.npy", "empty"), ("pictures.npy", "cut"), ("pictures.npy", "other"),
    ("pictures.npy", "header")])
def test_a_damaged_folder_is_said_to_be(name, how):
    folder = build()
    damage(folder, name, how)
    with pytest.raises(Damaged, match=r"^is damaged$"):
        Cached.open(folder, FORM)
    assert list(related(FORM)) == []


def test_a_folder_of_another_form_or_version_is_not_taken():
    folder = build()
    for form in (Form(1, 8, 9), Form(3, 8, 9, bits=16)):
        with pytest.raises(Damaged, match="is damaged"):
            Cached.open(folder, form)
    (folder / "about.json").write_text(json.dumps({"version": cached.VERSION + 1, "pictures": 6}))
    with pytest.raises(Damaged, match=r"^was written by another version of Lensmith$"):
        Cached.open(folder, FORM)


@pytest.mark.parametrize("name", ["pictures.npy", "rows.npy"])
def test_a_changed_byte_is_noticed_and_mended_for_the_next_too(name):
    folder = build()
    hashes, pictures = some(6)
    file, row = folder / name, 3
    content = bytearray(file.read_bytes())
    whole = np.load(file)
    first = len(content) - whole.nbytes
    content[first + row * (whole.nbytes // 6) + 30] ^= 4
    file.write_bytes(content)
    found = Cached.open(folder, FORM)
    assert [found.is_sound(i) for i in range(6)] == [i != row for i in range(6)]
    found.mend(row, pictures[row], place(row), hashes[row])
    for again in (found, Cached.open(folder, FORM)):
        assert all(again.is_sound(i) for i in range(6)) and np.array_equal(again.images, pictures)


def test_the_first_of_two_that_build_the_same_stays(cache):
    hashes, pictures = some(2)
    both = [Building(folder_for(hashes, FORM), FORM, 2) for _ in range(2)]
    for building in both:
        for row in range(2):
            building.images[row] = pictures[row]
            building.note(row, place(row), hashes[row])
    both[0].finish()
    both[1].finish()
    assert np.array_equal(both[1].images, pictures)    # whoever was second reads on what it has
    assert list(cache.iterdir()) == [both[0].folder]
    assert np.array_equal(Cached.open(both[0].folder, FORM).images, pictures)


def sized(monkeypatch, free: int) -> None:
    monkeypatch.setattr(cached.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))


def weight(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_the_least_recently_used_make_room(monkeypatch):
    folders = [build(seed=seed) for seed in range(4)]
    for age, folder in zip((3, 1, 4, 2), folders, strict=True):
        os.utime(folder / "about.json", (time.time() - age * 100,) * 2)
    each = weight(folders[0])
    sized(monkeypatch, 6 * each)    # 10 with what is there
    assert make_room(each, fraction=0.5) and all(folder.is_dir() for folder in folders)
    assert make_room(2 * each, fraction=0.5)
    assert [folder.is_dir() for folder in folders] == [True, True, False, True]
    assert not make_room(7 * each, fraction=0.5) and sum(folder.is_dir() for folder in folders) == 3
    assert not make_room(1, fraction=0)


def test_use_is_noted_and_what_is_in_use_stays(monkeypatch):
    folders = [build(seed=seed) for seed in range(3)]
    for age, folder in zip((3, 2, 1), folders, strict=True):
        os.utime(folder / "about.json", (time.time() - age * 100,) * 2)
    for found in related(FORM):    # to look at them is no use
        found.close()
    used = Cached.open(folders[0], FORM)
    used.use()
    used.close()
    each = weight(folders[0])
    sized(monkeypatch, each)
    used = Cached.open(folders[1], FORM)
    assert make_room(each, fraction=0.75)    # room for three
    assert [folder.is_dir() for folder in folders] == [True, True, False]
    assert not remove(folders[1]) and make_room(each, fraction=0.75) and not make_room(2 * each, fraction=0.75)
    assert [folder.is_dir() for folder in folders] == [False, True, False]
    used.close()
    sized(monkeypatch, 3 * each)
    assert make_room(3 * each, fraction=0.75) and not folders[1].is_dir()


def test_what_a_killed_process_left_is_removed_and_what_another_builds_is_not(cache, monkeypatch):
    program = ("import sys, time\nfrom pathlib import Path\nfrom lensmith.base.pictures import Form\n"
               "from lensmith.data.store.disk_cache import Building\n"
               "Building(Path(sys.argv[1]), Form(3, 8, 9), 4)\nprint('built', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([sys.executable, "-c", program, str(cache / "one")], stdout=subprocess.PIPE,
                          text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "built\n"
        assert make_room(10, fraction=0.5) and len(list(cache.iterdir())) == 1
        other.kill()
    assert make_room(10, fraction=0.5) and not list(cache.iterdir())
    bare = cache / ".new-bare"    # a folder that was made this moment and is not locked yet
    bare.mkdir()
    assert make_room(10, fraction=0.5) and bare.is_dir()
    os.utime(bare, (time.time() - 100,) * 2)
    assert make_room(10, fraction=0.5) and not bare.is_dir()


def test_a_disk_without_room_is_known_before_anything_is_written(cache, monkeypatch):
    def full(handle: int, first: int, count: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Building(cache / "one", FORM, 4)
    assert not list(cache.iterdir())


def test_room_is_taken_on_systems_without_posix_fallocate_too(cache, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    building = Building(cache / "one", Form(3, 512, 512), 3)
    file = building.aside / "pictures.npy"
    assert file.stat().st_blocks * 512 >= 3 * 3 * 512 * 512 and not building.images.any()
    assert np.load(file).shape == (3, 3, 512, 512)
    building.close()


def test_a_cache_that_cannot_be_made_has_no_room(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert not make_room(1, fraction=1.0)
