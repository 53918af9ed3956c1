"""Boxes against their pictures: what is cut, left out and counted, and pictures that cannot be read."""

import math

import numpy as np
import pytest
import torch

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, Tally, sources_of_boxes
from lensmith.data.formats.given_splits import split_named
from lensmith.data.sources.picture_form import drop, survey
from lensmith.data.sources.split import divide, fingerprint


def drawn(paths, rows, **settings) -> AnnotatedSplit:
    """`rows`: (picture, corners, class)."""
    part = AnnotatedSplit(**settings)
    for path in paths:
        part.add_picture(path)
    for number, corners, name in rows:
        part.add(corners, name, where="here", picture=number)
    return part


def source_of(folder, paths, rows, **settings):
    parts = sources_of_boxes({"all": drawn(paths, rows, **settings)}, names=None, folder=folder, account={})
    return parts.splits["all"], parts.account


def test_boxes_are_cut_left_out_and_counted(tmp_path, picture):
    paths = [picture("a.png"), picture("b.png"), picture("c.png")]
    rows = [(1, (-1.5, 10, 50, 100), "cat"), (0, (10, 10, 20, 20), "dog"), (0, (150, 50, 260, 90), "cat"),
            (0, (10, 10, 20, 20), "dog"), (0, (10, 10, 20, 20), "cat"), (1, (30, 10, 30, 20), "cat"),
            (1, (40, 30, 20, 10), "cat"), (1, (210, 10, 250, 20), "cat"), (0, (0, 0, 200.005, 100), "ant")]
    source, account = source_of(tmp_path, paths, rows)
    boxes = source.targets["boxes"]
    assert boxes.image.tolist() == [0, 0, 0, 0, 1, 1] and boxes.classes.tolist() == [2, 1, 1, 0, 1, 1]
    assert boxes.corners.tolist() == [[10, 10, 20, 20], [150, 50, 200, 90], [10, 10, 20, 20], [0, 0, 200, 100],
                                      [0, 10, 50, 100], [20, 10, 40, 30]]
    assert boxes.corners.dtype == torch.float32 and boxes.area is None and not boxes.crowd.any()
    assert account["clipped"] == {"small": {"count": 1, "pictures": ["b.png"]},
                                  "large": {"count": 1, "pictures": ["a.png"]}}
    assert account["dropped"] == {"outside": {"count": 1, "pictures": ["b.png"]},
                                  "without_area": {"count": 1, "pictures": ["b.png"]},
                                  "duplicates": {"count": 1, "pictures": ["a.png"]}}
    assert account["swapped"] == {"count": 1, "pictures": ["b.png"]}    # set right
    assert account["boxes"] == {"all": 6} and account["background"] == {"all": 1}


def test_a_picture_that_cannot_be_read_keeps_its_row_until_the_survey(tmp_path, picture):
    paths = [tmp_path / "gone.png", picture("b.png")]
    for relative, corners in ((True, (0.1, 0.1, 0.5, 0.5)), (False, (20, 10, 100, 50))):
        source, _ = source_of(tmp_path, paths, [(0, corners, "cat"), (1, corners, "cat")], relative=relative)
        assert len(source) == 2
        left = drop(source, survey(source).bad, on_bad="skip")
        assert [left.name(i) for i in range(len(left))] == ["b.png"]
        assert left.targets["boxes"].image.tolist() == [0]
        assert left.targets["boxes"].corners[0].tolist() == pytest.approx([20, 10, 100, 50], abs=1e-4)
        with pytest.raises(DataError, match=r"1 picture cannot be used: gone.png does not exist"):
            drop(source, survey(source).bad, on_bad="refuse")


def test_an_area_that_one_part_says_is_there_in_all(tmp_path, picture):
    with_area = AnnotatedSplit()
    with_area.add_picture(picture("a.png"))
    with_area.add((0, 0, 10, 10), "cat", where="", area=55.5)
    valid = drawn([picture("b.png")], [(0, (0, 0, 4, 5), "cat")])
    parts = sources_of_boxes({"train": with_area, "valid": valid}, names=None, folder=tmp_path, account={})
    assert [source.targets["boxes"].area.tolist() for source in parts.splits.values()] == [[55.5], [20]]


def test_parts_without_train_are_refused_and_one_alone_is_the_whole_set(tmp_path, picture):
    part = drawn([picture("a.png")], [(0, (0, 0, 4, 5), "cat")])
    assert set(sources_of_boxes({"valid": part}, names=None, folder=tmp_path, account={}).splits) == {"all"}
    assert set(sources_of_boxes({"train": part}, names=None, folder=tmp_path, account={}).splits) == {"train"}
    with pytest.raises(DataError, match=r"the set has the splits valid, test but no train: there is nothing"):
        sources_of_boxes({"valid": part, "test": part}, names=None, folder=tmp_path, account={})
    twice = sources_of_boxes({"train": part, "valid": part}, names=None, folder=tmp_path, account={})
    assert twice.account["in_two_splits"] == {"count": 1, "pictures": ["a.png"]}


def test_names_of_pictures_are_below_the_folder_or_what_holds_them(tmp_path, picture):
    part = drawn([picture("x/one/a.png"), picture("x/two/b.png")], [(0, (0, 0, 4, 5), "cat")])
    (tmp_path / "labels").mkdir()
    named = {folder: sources_of_boxes({"all": part}, names=None, folder=folder, account={}).splits["all"].name(0)
             for folder in (tmp_path, tmp_path / "labels")}
    assert list(named.values()) == ["x/one/a.png", "one/a.png"]


@pytest.mark.parametrize(("name", "split"), [("train", "train"), ("Train2017", "train"), ("val_1", "valid"),
                                             ("valid", "valid"), ("validation", "valid"), ("test-2", "test"),
                                             ("training", "train"), ("trainer", None), ("cat", None)])
def test_names_that_mean_a_split(name, split):
    assert split_named(name) == split


def test_a_box_that_moves_changes_the_fingerprint_and_a_set_without_any_has_one(tmp_path, picture):
    paths = [picture("a.png"), picture("b.png")]
    rows = [(0, (0, 0, 4, 5), "cat"), (1, (0, 0, 4, 5), "cat")]

    def mark(rows, names=("cat", "dog")):
        parts = sources_of_boxes({"all": drawn(paths, rows)}, names=names, folder=tmp_path, account={})
        return fingerprint(parts.splits, {"all": "x"})

    assert mark(rows) == mark(rows)
    others = [mark([rows[0], (1, (0, 0, 4, 5.5), "cat")]), mark([rows[0], (1, (0, 0, 4, 5), "dog")]),
              mark([rows[0], (0, (0, 0, 5, 5), "cat")]), mark(rows, ("cat", "cow")), mark(rows[:1])]
    assert len({mark(rows), *others}) == 6
    parts = sources_of_boxes({"all": drawn(paths, rows[:1])}, names=None, folder=tmp_path, account={})
    bare = parts.splits["all"].subset([1])
    assert len(bare.targets["boxes"].classes) == 0 and len(fingerprint({"all": bare}, {"all": "x"})) == 32


def test_sets_are_divided_by_the_rarest_class_in_each_picture(tmp_path, picture):
    paths = [picture(f"{i:02}.png") for i in range(60)]
    # Every picture shows a cat, 20 a dog too, 10 of these an ant; the last 10 show nothing.
    rows = [(i, (0, 0, 10, 10), name) for i in range(50)
            for name, most in (("cat", 50), ("dog", 20), ("ant", 10)) if i < most]
    source, _ = source_of(tmp_path, paths, rows)
    parts = divide({"all": source}, valid=0.2, test=0.1)
    shown = {name: [sum(int(path.stem) in range(first, last) for path in part.paths)
                    for first, last in ((0, 10), (10, 20), (20, 50), (50, 60))] for name, part in parts.items()}
    assert shown == {"train": [7, 7, 21, 7], "valid": [2, 2, 6, 2], "test": [1, 1, 3, 1]}
    assert {len(part) for part in (divide({"all": source}, folds=6, fold=f, test=0)["valid"] for f in range(6))} == {10}


def test_no_box_has_numbers_that_are_none():
    for corners in ((math.nan, 0, 1, 1), (0, math.inf, 1, 1)):
        with pytest.raises(DataError, match=r"here: the box holds a number that is not finite"):
            drawn(["x"], [(0, corners, "cat")])
    with pytest.raises(DataError, match=r"holds no picture to learn from"):
        sources_of_boxes({}, names=None, folder="somewhere", account={})


def test_a_picture_is_named_once_however_often_it_is_counted():
    tally = Tally()
    for row in (3, 3, 5, 3):
        tally.add("swapped", np.array([row]), lambda row: f"p{row}.png")
    assert tally.account("swapped", "turned") == {"swapped": {"count": 4, "pictures": ["p3.png", "p5.png"]}}
