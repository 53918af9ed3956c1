"""What recognition sees of a folder: names, each folder read once, and loops of links that end."""

import os
from pathlib import Path

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats import FORMATS
from lensmith.data.formats.listing import Listing


def write(folder: Path, *files: str) -> Listing:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return Listing(folder)


def test_names_are_told_by_kind_and_by_suffix(tmp_path: Path) -> None:
    listing = write(tmp_path, "b.PNG", "a.txt", "labels/c.txt", "val/d.jpg")
    (tmp_path / "link.png").symlink_to(tmp_path / "b.PNG")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "absent")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert listing.names == ["a.txt", "b.PNG", "itself", "labels", "link.png", "nowhere.png", "val"]
    assert listing.files == ["a.txt", "b.PNG", "link.png"] and listing.folders == ["labels", "val"]
    assert listing.ending((".png",)) == ["b.PNG", "link.png", "nowhere.png"]
    assert list(listing.splits) == ["valid"] and listing.with_splits() == [listing, listing.inner("val")]
    assert listing.inner("absent") is None and listing.inner("a.txt") is None


def test_a_file_has_no_names(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    file = Listing(tmp_path / "a.yaml")
    assert file.is_file and not file.names and not file.splits and not file.holds((".yaml",))


def test_a_file_beside_a_picture_has_its_name(tmp_path: Path) -> None:
    listing = write(tmp_path, "b.png", "b.txt", "a.txt", "c.JPG", "c.txt", "b-1.png", "b-1.txt")
    assert listing.beside_picture(".txt") == "b.txt" and listing.beside_picture(".xml") is None


def test_files_are_looked_for_as_deep_as_asked(tmp_path: Path) -> None:
    listing = write(tmp_path, "one/two/a.png", "x.txt")
    assert not listing.holds((".png",)) and listing.holds((".png",), deep=2) and listing.holds_below((".png",))
    assert not listing.holds_below((".jpg",))
    write(tmp_path, ".hidden/a.jpg", "__MACOSX/a.jpg", "one/.a.jpg", "one/b.jpg/c.txt")
    assert not Listing(tmp_path).holds_below((".jpg",))


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    write(tmp_path, "one/a.txt")
    (tmp_path / "one" / "again").symlink_to(tmp_path)
    assert not Listing(tmp_path).holds_below((".png",))


def test_two_folders_of_one_split_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds both 'val' and 'valid', which name one split: join or rename them"):
        _ = write(tmp_path, "val/a.png", "valid/a.png").splits


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\): change its permissions or move it"):
        _ = Listing(tmp_path).names


def test_every_folder_is_read_once_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = write(tmp_path, "images/train/a.png", "labels/train/a.txt", "masks/train/a.png", "annotations/a.xml",
                    "train/images/b.png", "val/images/b.png")
    read, scan = list[str](), os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: read.append(os.fspath(path)) or scan(path))
    for record in FORMATS.values():
        if record.recognise is not None:
            record.recognise(listing)
    assert read and len(read) == len(set(read))
