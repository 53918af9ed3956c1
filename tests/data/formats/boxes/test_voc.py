"""Pascal VOC: corners counted from 1, splits, difficult objects, and XML that is wrong or dangerous."""

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.voc import recognise_voc, voc
from lensmith.data.formats.format import LAYOUT
from lensmith.data.formats.listing import Listing

GIVEN = os.environ.get("LENSMITH_DATA", "")


def thing(name="cat", corners=(11, 21, 60, 80), extra="") -> str:
    keys = ("xmin", "ymin", "xmax", "ymax")
    edges = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{edges}</bndbox></object>"


def page(*objects: str, name="a.png", size=(200, 100)) -> str:
    return (f"<annotation><filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
            f"{''.join(objects)}</annotation>")


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)


def names(source) -> list[str]:
    return [source.name(i) for i in range(len(source))]


def test_corners_classes_and_difficult_objects(tmp_path, picture):
    picture("JPEGImages/a.png")
    picture("JPEGImages/b.png")
    write(tmp_path, {"Annotations/a.xml": "\ufeff" + page(thing("dog", (1, 1, 200, 100), "<difficult>1</difficult>"),
                                                          thing(" cat ", (11, 20.5, 60, 80)))})
    parts = voc(str(tmp_path))
    source = parts.splits["all"]
    boxes = source.targets["boxes"]
    assert source.classes == {"boxes": ("cat", "dog")} and boxes.classes.tolist() == [1, 0]
    assert boxes.corners.tolist() == [[0, 0, 200, 100], [10, 19.5, 60, 80]] and boxes.crowd.tolist() == [True, False]
    assert boxes.area is None and names(source) == ["JPEGImages/a.png"]
    assert parts.account["unlabelled"] == {"count": 1, "taken_as": "leave", "pictures": ["JPEGImages/b.png"]}
    assert names(voc(str(tmp_path), unlabelled="empty").splits["all"]) == ["JPEGImages/a.png", "JPEGImages/b.png"]
    assert voc(str(tmp_path), classes=["dog", "cat"]).splits["all"].targets["boxes"].classes.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"1 picture without XML file: .*b.png. Label them"):
        voc(str(tmp_path), unlabelled="refuse")


@pytest.mark.parametrize(("lists", "splits"), [
    ({"train": "a\nb 1\n", "val": "c -1\r\n", "test": "d\n"}, {"train": ["a", "b"], "valid": ["c"], "test": ["d"]}),
    ({"trainval": "a\nb\nc\n"}, {"train": ["a", "b", "c"]}),
    ({"trainval": "a\nb\nc\n", "val": "c\n"}, {"train": ["a", "b"], "valid": ["c"]})])
def test_image_sets_divide_it(lists, splits, tmp_path, picture):
    for stem in "abcd":
        picture(f"JPEGImages/{stem}.png")
    write(tmp_path, {f"Annotations/{stem}.xml": page(thing()) for stem in "abcd"})
    write(tmp_path, {f"ImageSets/Main/{name}.txt": text for name, text in lists.items()})
    parts = voc(str(tmp_path))
    assert {split: [path.stem for path in source.paths] for split, source in parts.splits.items()} == splits
    assert parts.account["in_no_split"] == 4 - sum(map(len, splits.values()))


@pytest.mark.parametrize(("pictures", "files", "splits"), [
    (["a.png"], ["a.xml"], {"all": ["a.png"]}), (["images/a.png"], ["xmls/a.xml"], {"all": ["images/a.png"]}),
    (["images/a.png"], ["annotations/a.xml"], {"all": ["images/a.png"]}),
    (["train/a.png", "valid/a.png"], ["train/a.xml", "valid/a.xml"],
     {"train": ["train/a.png"], "valid": ["valid/a.png"]}),
    (["train/images/a.png"], ["train/annotations/a.xml"], {"train": ["train/images/a.png"]})])
def test_usual_layouts(pictures, files, splits, tmp_path, picture):
    for name in pictures:
        picture(name)
    write(tmp_path, {name: page(thing()) for name in files})
    assert {split: names(source) for split, source in voc(str(tmp_path)).splits.items()} == splits


def test_files_without_picture_and_sizes_that_differ_are_counted(tmp_path, picture):
    picture("a.png")
    picture("other.png")
    write(tmp_path, {"a.xml": page(thing(), size=(100, 200)), "gone.xml": page(thing(), name="gone.png"),
                     "b.xml": page(thing(), name="other.png", size=(0, 0))})
    parts = voc(str(tmp_path))
    assert parts.account["labels_without_picture"] == {"count": 1, "files": ["gone.xml"]}
    assert parts.account["size_differs"] == {"count": 1, "pictures": ["a.png"]}
    assert names(parts.splits["all"]) == ["a.png", "other.png"]


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>" + page(thing("&b;"))
LEAK = "<!DOCTYPE x [<!ENTITY file SYSTEM 'file:///etc/passwd'>]>" + page(thing("&file;"))


@pytest.mark.parametrize(("text", "said"), [
    (BOMB, r"a.xml declares entities or a document type .*take the <!DOCTYPE ...> out"), (LEAK, r"declares entities"),
    (page(thing())[:90], r"a.xml, line 1: is not XML"), ("", r"line 1: is not XML"),
    ("<?xml version='1.0' encoding='klingon'?><annotation/>", r"is not XML"),
    ("<html/>", r"is no annotation of Pascal VOC's: its first element is 'html', and 'annotation' is expected"),
    (page(thing(corners=(1, "two", 3, 4))), r"object 1: bndbox/ymin holds 'two', which is no number"),
    (page(thing(), thing(corners=(1, "", 3, 4))), r"object 2: bndbox/ymin is missing"),
    (page(thing(corners=(1, "NaN", 3, 4))), r"object 1: the box holds a number that is not finite"),
    (page(thing("")), r"object 1: the object has no class"),
    (page(thing(), size=("x", 4)), r"a.xml: size/width holds 'x', which is no number"),
    (page(), r"lists 1 picture to learn from and no object in any")])
def test_a_wrong_file_is_named(text, said, tmp_path, picture):
    picture("a.png")
    write(tmp_path, {"a.xml": text})
    with pytest.raises(DataError, match=said):
        voc(str(tmp_path))


def test_folders_that_are_none_and_names_that_clash(tmp_path, picture):
    with pytest.raises(DataError, match=r"holds no XML file: accepted are Annotations/\*.xml with JPEGImages"):
        voc(str(tmp_path))
    picture("a.png")
    write(tmp_path, {"a.xml": page(thing())})
    with pytest.raises(DataError, match=r"a.xml is a file: give the folder"):
        voc(str(tmp_path / "a.xml"))
    with pytest.raises(DataError, match=r"object 1: class 'cat' is not one of the accepted. Did you mean 'cats'\?"):
        voc(str(tmp_path), classes=["cats"])
    picture("a.bmp")
    with pytest.raises(DataError, match=r"holds both a.bmp and a.png, for one label: rename one"):
        voc(str(tmp_path))


def test_without_defusedxml_it_says_which_extra_brings_it(tmp_path, picture, monkeypatch):
    picture("a.png")
    write(tmp_path, {"a.xml": page(thing())})
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    with pytest.raises(DataError, match="takes defusedxml: pip install defusedxml"):
        voc(str(tmp_path))


@pytest.mark.skipif(not GIVEN, reason="LENSMITH_DATA is not set: no pets3")
def test_heads_of_pets():
    parts = voc(str(Path(GIVEN) / "pets3"))
    source = parts.splits["all"]
    assert len(source) == 296 and source.classes == {"boxes": ("cat", "dog")}
    assert parts.account["unlabelled"]["count"] == 304 and source.name(0).startswith("images/")
    corners = source.targets["boxes"].corners
    assert (corners[:, 2:] > corners[:, :2]).all() and (corners >= 0).all()


def place(folder: Path, stem: str, *, shown: str | None = None, text: str | None = None) -> None:
    """An XML file, and its picture by the same steps or by those of `shown`."""
    write(folder, {f"Annotations/{stem}.xml": page(thing(), name="") if text is None else text})
    path = folder / "JPEGImages" / f"{shown or stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 100)).save(path)


def test_lists_with_suffixes_and_folders_divide_a_set(tmp_path):
    for i in range(4):
        place(tmp_path, f"cam/p{i}")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "Train.txt").write_text("p0.png\ncam/p1.png\n")
    (lists / "Validation.txt").write_text("images\\p2.jpg\np3.xml\n")
    (lists / "cat_train.txt").write_text("p3 1\n")
    opened = voc(str(tmp_path))
    assert {split: [path.stem for path in source.paths] for split, source in opened.splits.items()} == \
        {"train": ["p0", "p1"], "valid": ["p2", "p3"]}


def test_files_in_folders_below_find_their_pictures(tmp_path):
    place(tmp_path, "cam1/p0")
    place(tmp_path, "cam2/p0")
    place(tmp_path, "q0", shown="cam3/q0")
    assert recognise_voc(Listing(tmp_path)).supports == LAYOUT
    opened = voc(str(tmp_path))
    assert sorted(path.relative_to(tmp_path).as_posix() for path in opened.splits["all"].paths) == [
        "JPEGImages/cam1/p0.png", "JPEGImages/cam2/p0.png", "JPEGImages/cam3/q0.png"]
    assert opened.account["labels_without_picture"]["count"] == opened.account["unlabelled"]["count"] == 0


def test_a_picture_that_is_named_as_it_lay_elsewhere_is_found(tmp_path):
    place(tmp_path, "a", shown="b", text=page(thing(), name="C:\\me\\b.png"))
    assert [path.name for path in voc(str(tmp_path)).splits["all"].paths] == ["b.png"]
