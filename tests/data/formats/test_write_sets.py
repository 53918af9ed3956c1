"""Any format from any other: corners, classes, crowds and splits come back; nothing of the user's is written over."""

import errno
import io
import itertools
import json
import os
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lensmith.base.errors import DataError, Stopped, UserError
from lensmith.base.picture_headers import Header
from lensmith.data.formats import FORMATS
from lensmith.data.formats.detect import recognise
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.data.formats.write_sets import write_boxes, writers
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.unknown_targets import spread_over
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label

WIDTH, HEIGHT = 320, 240
NAMES = ("cat", "traffic light", "Größe \"x\" & <y>, 1")
Rows = list[tuple[float, float, float, float, int, bool]]


def source(folder: Path, rows: list[Rows], *, names: tuple[str, ...] = NAMES) -> Files:
    """A set with one picture for each list of (x0, y0, x1, y1, class, crowd)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:02d}.png" for i in range(len(rows))]
    for path in paths:
        Image.new("L", (WIDTH, HEIGHT)).save(path)
    flat = [(i, *row) for i, one in enumerate(rows) for row in one]
    image, classes, crowd = (torch.tensor([row[column] for row in flat]) for column in (0, 5, 6))
    boxes = Boxes(torch.tensor([row[1:5] for row in flat]).reshape(-1, 4), classes.long(), image=image.long(),
                  crowd=crowd.bool())
    return Files(paths, {"boxes": boxes}, {"boxes": names}, root=folder)


def opened(kind: str, folder: Path):
    name = recognise(folder / "boxes.csv" if kind == "csv" else folder)
    assert name == {"csv": "table"}.get(kind, kind)
    path = folder / "boxes.csv" if kind == "csv" else folder
    settings = {"unlabelled": "empty"} if kind in ("voc", "labelme") else {}
    return FORMATS[name].open(str(path), **settings)


def told(source) -> list[list[tuple[str, bool, list[float]]]]:
    """Of each picture its objects by name, in one order."""
    names = source.classes["boxes"]
    return [sorted((names[c], crowd, corners) for c, crowd, corners in zip(
        one.classes.tolist(), one.crowd.tolist(), one.corners.tolist(), strict=True))
        for one in (source.targets["boxes"][i] for i in range(len(source)))]


FIRST: list[Rows] = [[(10, 20, 30.25, 40.5, 0, False), (0, 0, WIDTH, HEIGHT, 1, False)], [], [(1, 2, 3, 4, 2, False)]]
SECOND: list[Rows] = [[(100.125, 50, 200, 150, 2, False), (7, 7, 9, 99, 0, True)]]


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(writers(), 2)))
def test_every_format_is_written_from_every_other(first, second, tmp_path):
    splits = {"train": source(tmp_path / "own" / "a", FIRST), "valid": source(tmp_path / "own" / "b", SECOND)}
    write_boxes(first, splits, tmp_path / "one")
    once = opened(first, tmp_path / "one")
    write_boxes(second, once.splits, tmp_path / "two", images="copy")
    twice = opened(second, tmp_path / "two")
    for name, rows in (("train", FIRST), ("valid", SECOND)):
        crowds = "yolo" not in (first, second)
        expected = [sorted((NAMES[c], crowd, [float(edge) for edge in corners]) for *corners, c, crowd in one
                           if crowds or not crowd) for one in rows]
        found = told(twice.splits[name])
        for one, other in zip(found, expected, strict=True):
            assert [row[:2] for row in one] == [row[:2] for row in other]
            assert [row[2] for row in one] == [pytest.approx(row[2], rel=1e-6, abs=1e-4) for row in other]
    assert set(twice.splits["train"].classes["boxes"]) == set(NAMES)
    assert all(path.is_file() and not path.is_symlink() for part in twice.splits.values() for path in part.paths)


edges = st.floats(0, 1, width=32)
objects = st.tuples(edges, edges, edges, edges, st.integers(0, 2), st.booleans())


@settings(max_examples=25)
@example(drawn=[[(0.0, 0.0, 1.0, 1.0, 0, True), (0.0, 1.0, 1.0, 2.0**-52, 0, True)]], kind="csv")
@given(st.lists(st.lists(objects, max_size=5), min_size=1, max_size=3), st.sampled_from(list(writers())))
def test_random_boxes_come_back(drawn, kind):
    rows = [[(min(a, c) * WIDTH, min(b, d) * HEIGHT, max(a, c) * WIDTH, max(b, d) * HEIGHT, name,
              crowd and kind != "yolo")
             for a, b, c, d, name, crowd in one if abs(a - c) > 1e-3 and abs(b - d) > 1e-3] for one in drawn]
    # A duplicate would be left out, and what differs by less than a file can say is one.
    rows = [list({(*(round(edge, 4) for edge in row[:4]), row[4]): row for row in one}.values()) for one in rows]
    rows[0].append((5, 5, 6, 6, 0, False))
    rows[0].append((320 - 2, 5, 320, 6, 1, False))
    with tempfile.TemporaryDirectory() as folder:
        own = source(Path(folder, "own"), rows)
        write_boxes(kind, {"all": own}, Path(folder, "new"), images="none" if kind != "yolo" else "link")
        parts = opened(kind, Path(folder, "new"))
        found = [row for part in parts.splits.values() for row in told(part)]
    rows_told = told(own)
    if kind in ("voc", "labelme"):    # with pictures elsewhere no folder says which have no label: each has a file
        assert len(found) == len(rows_told)
    for one, other in zip(found, rows_told, strict=True):
        one, other = ([(round(row[2][0] + row[2][1], 2), *row) for row in side] for side in (one, other))
        assert len(one) == len(other)
        for each in other:
            near = [row for row in one if row[1:3] == each[1:3]
                    and row[3] == pytest.approx(each[3], rel=1e-6, abs=2e-5)]
            assert near, f"{each} is not in {one}"


def test_what_each_format_looks_like(tmp_path):
    splits = {"all": source(tmp_path / "own", [[(10, 20, 30, 60, 1, False)]])}
    written = {kind: write_boxes(kind, splits, tmp_path / kind) for kind in writers()}
    assert written == {"yolo": 2, "coco": 1, "voc": 1, "csv": 1, "labelme": 1}
    assert (tmp_path / "yolo/labels/00.txt").read_text() == "1 0.0625 0.1666666667 0.0625 0.1666666667\n"
    assert yaml.safe_load((tmp_path / "yolo/data.yaml").read_text()) == {
        "path": ".", "train": "images", "nc": 3, "names": dict(enumerate(NAMES))}
    assert (tmp_path / "yolo/images/00.png").is_symlink()
    one = json.loads((tmp_path / "coco/annotations/instances_all.json").read_text())
    assert one["annotations"] == [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [10, 20, 20, 40], "area": 800,
                                   "iscrowd": 0}]
    assert [category["id"] for category in one["categories"]] == [1, 2, 3]
    page = (tmp_path / "voc/Annotations/00.xml").read_text()
    assert "<xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>60</ymax>" in page
    assert (tmp_path / "csv/boxes.csv").read_text() == ("path,x0,y0,x1,y1,label,crowd\nimages/00.png,10,20,30,60,"
                                                        "traffic light,0\n")
    page = json.loads((tmp_path / "labelme/00.json").read_text())
    assert page["imagePath"] == "00.png" and page["shapes"][0]["points"] == [[10, 20], [30, 60]]


def test_coco_keeps_the_numbers_of_its_categories(tmp_path):
    splits = {"train": source(tmp_path / "own", FIRST)}
    write_boxes("coco", splits, tmp_path / "new", category_ids=[3, 7, 90])
    assert opened("coco", tmp_path / "new").account["category_ids"] == [3, 7, 90]
    tools = pytest.importorskip("pycocotools.coco")
    with redirect_stdout(io.StringIO()):
        oracle = tools.COCO(str(tmp_path / "new" / "annotations" / "instances_train.json"))
    assert [(one["category_id"], one["bbox"]) for one in oracle.loadAnns(oracle.getAnnIds(imgIds=[1]))] == [
        (3, [10, 20, 20.25, 20.5]), (7, [0, 0, WIDTH, HEIGHT])]
    assert [one["name"] for one in oracle.loadCats([3, 7, 90])] == list(NAMES)


def test_pictures_that_share_a_name_are_kept_apart(tmp_path):
    names = ["a/one.png", "b/one.png", "b/one.bmp", "two.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / name)
    boxes = Boxes(torch.tensor([[i, 0.0, 50, 50] for i in range(4)]), torch.zeros(4).long(), image=torch.arange(4))
    own = Files([tmp_path / name for name in names], {"boxes": boxes}, {"boxes": ("cat",)}, root=tmp_path)
    for kind in writers():
        write_boxes(kind, {"train": own.subset([0, 1]), "test": own.subset([2, 3])}, tmp_path / kind)
        parts = opened(kind, tmp_path / kind)
        found = {path.stem: part.targets["boxes"][i].corners[0, 0].item() for part in parts.splits.values()
                 for i, path in enumerate(part.paths)}
        assert found == pytest.approx({"a_one": 0, "b_one": 1, "b_one_2": 2, "two": 3}, abs=1e-4)


def test_pictures_in_memory_are_written_as_files(tmp_path):
    drawn = shapes(count=12, size=40).splits
    write_boxes("yolo", drawn, tmp_path / "new")
    parts = opened("yolo", tmp_path / "new")
    assert len(parts.splits["train"]) == 10
    found, own = (one["train"].targets["boxes"].corners for one in (parts.splits, drawn))
    assert torch.allclose(found, own, atol=1e-4)
    with pytest.raises(UserError, match=r"10 pictures lie in memory and in no file: take images=copy"):
        write_boxes("coco", drawn, tmp_path / "other", images="none")


def test_what_cannot_be_written_is_said(tmp_path, monkeypatch):
    own = source(tmp_path / "own", FIRST)
    with pytest.raises(UserError, match=r"own exists and is not empty: name a new folder; nothing is written over"):
        write_boxes("yolo", {"all": own}, tmp_path / "own")
    with pytest.raises(UserError, match=r"unknown format 'pascal'.* Known: coco, csv, labelme, voc, yolo"):
        write_boxes("pascal", {"all": own}, tmp_path / "new")
    with pytest.raises(UserError, match=r"unknown images 'move'"):
        write_boxes("yolo", {"all": own}, tmp_path / "new", images="move")
    with pytest.raises(DataError, match=r"the split 'all' gives nothing and no boxes: there is nothing to write"):
        write_boxes("yolo", {"all": Files([], {}, {}, root=tmp_path)}, tmp_path / "new")
    with pytest.raises(DataError, match=r"the set has the splits test; train or all is expected"):
        write_boxes("yolo", {"test": own}, tmp_path / "new")
    with pytest.raises(DataError, match=r"'a\\x01' cannot be written in XML: rename it"):
        write_boxes("voc", {"all": source(tmp_path / "odd", FIRST, names=("a\x01", "b", "c"))}, tmp_path / "new")
    monkeypatch.setattr(Path, "symlink_to", lambda *_: (_ for _ in ()).throw(OSError(1, "Operation not permitted")))
    with pytest.raises(UserError, match=r"00.png cannot be written \(Operation not permitted\): take images=copy"):
        write_boxes("yolo", {"all": own}, tmp_path / "links")
    own.paths[1].unlink()
    with pytest.raises(DataError, match=r"1 picture cannot be read, and boxes need their sizes: 01.png does not exist"):
        write_boxes("yolo", {"all": own}, tmp_path / "gone")


def test_boxes_under_another_name_are_written_but_not_those_that_are_unknown(tmp_path: Path):
    first = source(tmp_path / "set", FIRST)
    headers = [Header(HEIGHT, WIDTH, gray=True, deep=False)] * 3
    head = spread_over(first.targets["boxes"].take(torch.tensor([0, 1])), np.array([0, 1]), headers, classes=3)
    several = Files(first.paths, {"kind": Label(torch.tensor([0, 1, 0])), "head": head},
                    {"kind": ("a", "b"), "head": NAMES}, root=first.root)
    write_boxes("coco", {"all": several}, tmp_path / "coco")
    assert told(opened("coco", tmp_path / "coco").splits["all"]) == told(first)[:2]
    several.targets["tail"] = head
    with pytest.raises(DataError, match=r"gives several targets of boxes, head, tail: a set of boxes has one"):
        write_boxes("coco", {"all": several}, tmp_path / "other")


@pytest.mark.parametrize(("number", "kind", "text"), [
    (errno.ENOSPC, Stopped, "the disk is full: .*new cannot be written .*, and nothing of it was kept: free some"),
    (errno.EROFS, UserError, "new cannot be written .*, and nothing of it was kept: name another folder")])
@pytest.mark.parametrize("method", ["write_text", "mkdir"])
def test_where_the_system_refuses_nothing_is_left(tmp_path, monkeypatch, number, kind, text, method):
    own, calls = source(tmp_path / "own", FIRST), []
    real = getattr(Path, method)

    def refusing(path: Path, *arguments: object, **options: object) -> object:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(number, os.strerror(number))
        return real(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, method, refusing)
        with pytest.raises(kind, match=text):
            write_boxes("voc", {"all": own}, tmp_path / "new", images="copy")
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    write_boxes("voc", {"all": own}, tmp_path / "new", images="copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "own"]


def test_a_class_that_a_spreadsheet_would_run_is_guarded_and_comes_back(tmp_path):
    own = source(tmp_path / "own", FIRST, names=("=cmd|'!A1", "-1", "@c"))
    write_boxes("csv", {"all": own}, tmp_path / "new")
    assert "'=cmd|'!A1" in (tmp_path / "new" / "boxes.csv").read_text()
    assert set(opened("csv", tmp_path / "new").splits["all"].classes["boxes"]) <= {"=cmd|'!A1", "-1", "@c"}
