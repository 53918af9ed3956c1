"""Kept in memory, in the cache or not at all: the same batches; what is damaged or changed is decoded again."""

import gc
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import Form
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.formats.class_folders import class_folders
from lensmith.data.sources.fitting import fit_source
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.subsets import balancing_weights
from lensmith.data.store import disk_cache as cached
from lensmith.data.store import keep as keeping
from lensmith.data.store.at_once import decode_all, takes_long
from lensmith.data.store.channel_statistics import statistics
from lensmith.data.store.file_hashes import contents_of
from lensmith.data.store.keep import Kept, keep_filling

FORM = Form(3, 20, 20)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


@pytest.fixture
def splits(photos: Path) -> dict[str, Files]:
    files = class_folders(str(photos)).splits["all"]
    return {"train": files.subset(range(0, 60, 2)), "valid": files.subset(range(1, 60, 2))}


def keep(splits: dict[str, Files], *, form: Form = FORM, memory: float = 0.0, disk: float = 1.0,
         told: list[str] | None = None) -> Kept | None:
    contents = {part: contents_of(source.paths, root=source.root) for part, source in splits.items()}
    return keep_filling(splits, contents, form, memory=memory, disk=disk, tell=(told or []).append)


def done(kept: Kept | None) -> Kept:
    assert kept is not None
    kept.store.wait()
    return kept


def decoded(monkeypatch) -> list[str]:
    """The names of the files that are decoded from now on."""
    names: list[str] = []
    decode = keeping.decode
    monkeypatch.setattr(keeping, "decode", lambda content, form, name: (names.append(name), decode(
        content, form, name=name))[1])
    return names


def break_(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:80] + b"?" * 60)


def batches(source, *, seed: int = 3, position: int = 0, workers: int = 0, balance: bool = False, **settings) -> list:
    augment = Augment(crop_padding=2, flip=True, seed=3, classes={"label": ("a", "b", "c")}, length=len(source),
                      **settings)
    loader = Loader(source, 8, seed=seed, shuffle=True, augment=augment, workers=workers,
                    weights=balancing_weights(source) if balance else None)
    return list(loader.at(1, position))


def assert_same(one: list, other: list) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.indices, b.indices)
        assert a.targets.keys() == b.targets.keys() and list(a.places) == list(b.places)
        for name, value in a.targets.items():
            for field, tensor in vars(value).items():
                assert tensor is None or torch.equal(tensor, getattr(b.targets[name], field))


@pytest.mark.parametrize("settings", [{}, {"mixup": 0.4, "cutmix": 1.0}, {"mixup": 1.0, "balance": True}])
def test_memory_cache_and_stream_give_the_same_batches_without_what_is_bad(splits, settings):
    for row in (3, 4, 17):
        break_(splits["train"].paths[row])
    streamed = splits["train"].shaped(FORM)
    wanted = batches(streamed, **settings)
    assert sum(len(batch) for batch in wanted) < 30
    for form in ({"memory": 1.0}, {}, {}):    # in memory, written to the cache, read from it
        kept = keep(splits, **form)
        assert kept is not None
        source = kept.sources["train"]
        assert_same(wanted, batches(source, **settings))
        assert_same(wanted[2:], batches(source, position=2, **settings))
        assert (kept.folder is None) == bool(form)
        assert [one.file for one in done(kept).store.bad()] == [splits["train"].name(row) for row in (3, 4, 17)]
        assert statistics(source) == statistics(streamed)
    assert_same(wanted, batches(streamed, workers=2, **settings))


def test_the_order_by_shape_does_not_wait_for_the_pictures(tmp_path, monkeypatch):
    """Pictures of like shape come together by what the headers say, whichever are decoded already."""
    sizes = [(20, 40), (40, 20), (30, 30), (20, 44), (44, 20)]
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path, (height, width) in zip(paths, sizes, strict=True):
        Image.new("RGB", (width, height)).save(path)
    form, headers = Form(3, 20, 20, "pad"), [read_header(path) for path in paths]
    files = fit_source(Files(paths, {}, {}, root=tmp_path), headers, form)
    going, decode = Event(), keeping.decode
    monkeypatch.setattr(keeping, "decode", lambda *given, **named: (going.wait(60), decode(*given, **named))[1])
    kept = keep({"valid": files}, form=form, memory=1.0)
    assert kept is not None
    loader = Loader(kept.sources["valid"], 2, rectangular=True)
    early = loader.order(0).tolist()
    going.set()
    done(kept)
    assert early == loader.order(0).tolist() == [3, 0, 2, 1, 4]


def test_every_split_has_its_own_pictures_and_places(splits):
    kept = done(keep(splits))
    for part, source in splits.items():
        wanted = decode_all(source, FORM, keep=True).source
        found = kept.sources[part].gather(torch.arange(len(source)))
        assert torch.equal(found.images, wanted.images) and list(found.places) == list(wanted.places)
        assert found.targets["label"].index.tolist() == source.targets["label"].index.tolist()


def test_a_second_run_decodes_nothing_wherever_the_files_lie_and_however_they_are_divided(splits, cache, tmp_path,
                                                                                         monkeypatch):
    first = done(keep(splits))
    images = first.store.images.clone()
    names = decoded(monkeypatch)
    again = done(keep(splits))
    assert torch.equal(again.store.images, images) and names == [] and again.store.notes == []
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    moved = class_folders(str(tmp_path / "elsewhere")).splits["all"]
    other = done(keep({"train": moved.subset(range(40)), "test": moved.subset(range(40, 60))}))
    assert torch.equal(other.sources["train"].gather(torch.arange(0, 40, 2)).images, images[:20])
    in_memory = done(keep({"train": moved}, memory=1.0))
    assert names == [] and torch.equal(in_memory.store.images[::2], images[:30]) and len(list(cache.iterdir())) == 2
    done(keep({"train": moved}, memory=1.0, disk=0.0))
    assert len(names) == 60


def test_a_file_that_changed_is_noticed_and_decoded_alone(splits, monkeypatch):
    before = done(keep(splits)).store.images.clone()
    path, other = splits["train"].paths[5], splits["valid"].paths[9]
    path.write_bytes(other.read_bytes())
    other.write_bytes(splits["valid"].paths[10].read_bytes() + b"\0")    # other bytes of the same picture
    names = decoded(monkeypatch)
    kept = done(keep(splits))
    assert names == [splits["valid"].name(9)]
    assert kept.store.notes == ["1 picture of 60 is new or has changed since the others were cached, and decoded; the "
                                "others were not again"]
    assert torch.equal(kept.store.images[5], before[39]) and torch.equal(kept.store.images[39], before[40])
    assert torch.equal(kept.store.images[6:39], before[6:39])


def test_a_file_that_changes_while_training_is_bad(splits):
    contents = {part: contents_of(source.paths, root=source.root) for part, source in splits.items()}
    splits["train"].paths[2].write_bytes(splits["train"].paths[3].read_bytes())
    splits["train"].paths[7].unlink()
    kept = done(keep_filling(splits, contents, FORM, memory=1.0, disk=0.0))
    assert [one.reason for one in kept.store.bad()] == ["has changed since the run began", "does not exist"]


def test_a_damaged_picture_of_the_cache_is_decoded_again_and_said(splits, monkeypatch):
    kept = done(keep(splits))
    images = kept.store.images.clone()
    assert kept.folder is not None
    file = kept.folder / "pictures.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1    # of the last picture
    file.write_bytes(content)
    names = decoded(monkeypatch)
    again = done(keep(splits))
    assert torch.equal(again.store.images, images) and names == [splits["valid"].name(29)]
    assert again.store.notes == [f"1 picture in the cache {kept.folder.parent} was damaged, and decoded again"]
    names.clear()
    assert torch.equal(done(keep(splits)).store.images, images) and names == []


@pytest.mark.parametrize(("name", "content", "said"), [
    ("rows.npy", b"", "is damaged"), ("pictures.npy", b"\x93NUMPY", "is damaged"), ("about.json", b"{", "is damaged"),
    ("about.json", b'{"version": 0, "pictures": 60}', "was written by another version of Lensmith")])
def test_a_damaged_cache_or_one_of_another_version_is_made_anew_and_said_once(splits, monkeypatch, name, content, said):
    kept = done(keep(splits))
    assert kept.folder is not None
    images = kept.store.images.clone()
    (kept.folder / name).write_bytes(content)
    del kept
    told, names = [""], decoded(monkeypatch)
    assert torch.equal(done(keep(splits, told=told)).store.images, images)
    assert told[1:] == [f"the cache of these pictures {said}: it is made anew"] and len(names) == 60
    assert torch.equal(done(keep(splits, told=told)).store.images, images)
    assert len(told) == 2 and len(names) == 60


def test_too_little_disk_keeps_nothing(splits, cache, monkeypatch):
    assert keep(splits, disk=0.0) is None and not cache.exists()
    monkeypatch.setattr(cached.shutil, "disk_usage", lambda folder: SimpleNamespace(free=60 * 1200 * 2 - 1))
    assert keep(splits, disk=0.5) is None
    assert keep(splits, disk=0.6) is not None


def test_what_was_to_be_copied_from_makes_room_where_it_must(splits, cache, monkeypatch):
    done(keep({"train": splits["train"]}))
    size = sum(file.stat().st_size for file in next(cache.iterdir()).iterdir())
    monkeypatch.setattr(cached.shutil, "disk_usage", lambda folder: SimpleNamespace(free=60 * 1200 * 2 - size))
    kept = done(keep(splits, disk=0.5))
    assert [one for one in cache.iterdir() if not one.name.startswith(".")] == [kept.folder]


def test_a_cache_that_cannot_be_written_is_said(splits, cache, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeping, "Building", full)
    told = [""]
    assert keep(splits, told=told) is None
    assert told[1:] == ["the cache of decoded pictures cannot be written ([Errno 28] No space left on device)"]


def locks(folder: Path) -> int:
    """How many files of a folder this process has open; those mapped alone are not."""
    found = 0
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(handle.readlink()).startswith(str(folder))
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the open files of a process are listed by Linux alone")
def test_where_there_is_no_room_the_sets_to_copy_from_are_let_go(splits, cache, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    def small(*arguments: object) -> None:
        raise DataError("do not fit into memory")

    held = keep({"train": splits["train"]})
    done(held)
    before = locks(cache)
    monkeypatch.setattr(keeping, "Building", full)
    monkeypatch.setattr(keeping, "room_for", small)
    assert keep(splits) is None and locks(cache) == before
    with pytest.raises(DataError, match="do not fit into memory"):
        keep(splits, memory=1.0)
    assert locks(cache) == before


def test_a_cache_that_another_process_is_removing_is_not_called_damaged(splits, cache, monkeypatch):
    images = done(keep(splits)).store.images.clone()
    folder = next(cache.iterdir())

    told = [""]
    gc.collect()    # the first store's own lock
    handle = cached._locked(folder / "about.json", alone=True)
    kept = done(keep(splits, told=told))
    cached._unlock(handle)
    assert torch.equal(kept.store.images, images) and list(cache.iterdir()) == [folder]
    assert told[1:] == ["the cache of these pictures cannot be used now ([Errno 11] Resource temporarily unavailable): "
                        "they are decoded again"]
    del kept
    names = decoded(monkeypatch)
    done(keep(splits))
    assert names == []


def test_only_the_sets_that_are_copied_from_are_used(splits, cache):
    for part in splits:
        done(keep({part: splits[part]}))
    contents = contents_of(splits["train"].paths, root=splits["train"].root).hashes
    folders = list(cache.iterdir())
    for folder in folders:
        os.utime(folder / "about.json", (1000.0, 1000.0))
    done(keep({"train": splits["train"].subset(range(20))}, memory=1.0))
    used = [folder for folder in folders if (folder / "about.json").stat().st_mtime > 1000.0]
    assert used == [cached.folder_for(contents, FORM)]


def test_whether_a_set_takes_long_depends_on_its_files_alone(splits, monkeypatch):
    assert not takes_long(splits)
    for path in splits["valid"].paths[:3]:
        with path.open("r+b") as file:
            file.truncate(17_000_000)    # without taking room on the disk
    assert takes_long(splits) and not takes_long({"train": splits["train"]})
    for path in splits["valid"].paths:
        path.unlink()
    assert not takes_long(splits)


PROGRAM = """
import sys, time
from lensmith.base.pictures import Form
from lensmith.data.store import keep as keeping
from lensmith.data.store.file_hashes import contents_of
from lensmith.data.formats.class_folders import class_folders

decode, seconds = keeping.decode, [0.02]
def slow(*arguments, **settings):
    time.sleep(seconds[0])
    return decode(*arguments, **settings)
keeping.decode = slow
files = class_folders(sys.argv[1]).splits["all"]
kept = keeping.keep_filling({"all": files}, {"all": contents_of(files.paths, root=files.root)}, Form(3, 20, 20),
                            memory=0.0, disk=1.0)
kept.sources["all"][30]
seconds[0] = 0.5    # the rest is not done before it is ended
print("one", flush=True)
if sys.argv[2] == "raise":
    raise ZeroDivisionError
if sys.argv[2] == "wait":
    kept.store.wait()
"""


@pytest.mark.parametrize("way", ["end", "raise", "wait"])
def test_a_process_that_ends_while_it_fills_ends_at_once_and_leaves_nothing(photos, cache, way):
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(photos), way], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "one\n"
        began = time.monotonic()
        if way == "wait":
            process.send_signal(2)    # Ctrl-C
        _, told = process.communicate(timeout=60)
        assert time.monotonic() - began < 30
    assert process.returncode == {"end": 0, "raise": 1, "wait": -2}[way], told
    assert told.rstrip().endswith({"end": "", "raise": "ZeroDivisionError", "wait": "KeyboardInterrupt"}[way])
    assert "Exception ignored" not in told and list(cache.iterdir()) == []
