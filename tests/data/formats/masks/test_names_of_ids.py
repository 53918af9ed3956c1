"""What the ids of masks are called: lists, colours, void, and what is said of lists that cannot be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.masks.names_of_ids import (
    ClassList,
    class_list,
    classes_of_masks,
    read_class_list,
    settle_classes,
)

LISTED = ClassList({0: "sky", 1: "road", 4: "car"}, "a list")
COLOURED = {(0, 0, 0): 0, (128, 64, 0): 1, (0, 0, 192): 2}
TEXTS = {
    "class_dict.csv": "name,r,g,b\nVoid,0,0,0\nRoad,128,64,0\nParking block,0,0,192\n",
    "spaced.csv": "name, r, g, b\nVoid, 0, 0, 0\nRoad, 128, 64, 0\nParking block, 0, 0, 192\n",
    "labelmap.txt": "# label:color_rgb:parts:actions\nVoid:0,0,0::\nRoad:128,64,0::\nParking block:0,0,192::\n",
    "label_colors.txt": "0 0 0\tVoid\n128 64 0\tRoad\n0 0 192\tParking block\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_lists_with_colours_in_the_ways_they_are_written(tmp_path: Path, name: str):
    (tmp_path / name).write_text(TEXTS[name])
    found = read_class_list(tmp_path / name)
    assert found.names == {0: "Void", 1: "Road", 2: "Parking block"} and found.colours == COLOURED
    settled = settle_classes({0, 1, 2}, found, None, tmp_path)
    assert settled.names == ("Road", "Parking block") and settled.void == [0]


def test_lists_of_names_alone(tmp_path: Path):
    (tmp_path / "classes.txt").write_text("sky\n\nroad\ntraffic light 2\n")
    assert read_class_list(tmp_path / "classes.txt") == ClassList({0: "sky", 1: "road", 2: "traffic light 2"},
                                                                  str(tmp_path / "classes.txt"))
    for key in ("classes", "names"):
        (tmp_path / "set.yaml").write_text(f"{key}:\n  7: road\n  0: unlabeled\n  12: sky\n")
        assert read_class_list(tmp_path / "set.yaml").names == {0: "unlabeled", 7: "road", 12: "sky"}


def test_the_list_that_counts(tmp_path: Path):
    """Settings before the set's description, this before a list in the folder."""
    def named(**settings) -> dict[int, str] | None:
        found = class_list(tmp_path, settings.pop("config", None), **{"classes": None, "ids": None} | settings)
        return None if found is None else found.names

    assert named() is None
    (tmp_path / "classes.txt").write_text("a\nb\n")
    (tmp_path / "set.yaml").write_text("classes: {3: c, 4: d}\n")
    (tmp_path / "own.txt").write_text("e\nf\n")
    assert named() == {0: "a", 1: "b"}
    assert named(config=tmp_path / "set.yaml") == {3: "c", 4: "d"}
    assert named(config=tmp_path / "set.yaml", classes="own.txt") == {0: "e", 1: "f"}
    assert named(config=tmp_path / "set.yaml", classes=["g", "h"]) == {0: "g", 1: "h"}
    assert named(config=tmp_path / "set.yaml", ids={"2": "i", "9": "void"}) == {2: "i", 9: "void"}


@pytest.mark.parametrize(("text", "said"), [
    ("name,r,g,b\nroad,1,2,3\nsky,1,2\n", "line 3: 'sky,1,2' is no class with its colour: a name and three numbers "
                                          "from 0 to 255 are expected"),
    ("road,1,2,300\nsky,1,2,3\n", "line 1: 'road,1,2,300' is no class with its colour"),
    ("road,1,2,3\nsky,1,2,3\n", "line 2: the colour 1,2,3 is that of 'road' already"),
    ("road,1,2,3\nroad,1,2,4\n", "names two classes 'road': rename one"),
    ("road\nroad\n", "names two classes 'road': rename one")])
def test_a_list_that_cannot_be_is_named(tmp_path: Path, text: str, said: str):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=f"list.csv,? {said}"):
        read_class_list(tmp_path / "list.csv")


def test_a_description_without_classes_is_named(tmp_path: Path):
    (tmp_path / "set.yaml").write_text("train: {images: a, masks: b}\n")
    with pytest.raises(DataError, match=r"set.yaml names no classes: a map `classes` from ids to names is expected"):
        read_class_list(tmp_path / "set.yaml")
    (tmp_path / "set.yaml").write_text("classes: {70000: a, 1: b}\n")
    with pytest.raises(DataError, match=r"set.yaml: the id 70000 is beyond the 65,536 that a mask may hold"):
        read_class_list(tmp_path / "set.yaml")


@pytest.mark.parametrize(("found", "listed", "void", "names", "voids"), [
    ({0, 1, 4}, None, None, ("0", "1", "4"), []),
    ({10, 9, 1}, None, None, ("1", "9", "10"), []),             # by their size
    ({0, 15, 255}, None, None, ("0", "15"), [255]),             # found to be void
    ({0, 255}, None, None, ("0", "255"), []),                   # black and white
    ({0, 1, 255}, None, [], ("0", "1", "255"), []),             # declared that nothing is
    ({0, 1, 2}, None, [2], ("0", "1"), [2]),
    ({0, 1, 255}, LISTED, None, ("sky", "road", "car"), [255]),
    ({0, 1}, LISTED, None, ("sky", "road", "car"), []),
    ({0, 1}, LISTED, [4], ("sky", "road"), [4]),
    ({0, 255}, ClassList({0: "rest", 255: "pet"}, "a list"), None, ("rest", "pet"), []),
    ({0, 255}, ClassList({0: "rest", 1: "pet"}, "a list"), None, ("rest", "pet"), []),
    ({1, 2, 3}, ClassList({1: "pet", 2: "rest", 3: "void"}, "a list"), None, ("pet", "rest"), [3]),
    ({1, 2, 3}, ClassList({1: "Ignore", 2: "rest", 3: "pet"}, "a list"), [3], ("Ignore", "rest"), [3]),
    ({1, 2, 3}, ClassList({3: "pet", 2: "rest", 1: "pet"}, "a list"), None, ("pet", "rest"), [])])
def test_classes_and_void(found, listed, void, names, voids, tmp_path: Path):
    settled = settle_classes(found, listed, void, tmp_path)
    assert settled.names == names and settled.void == voids
    assert [name for name in names for _ in settled.ids[name]]
    for name, own in settled.ids.items():
        assert all(settled.coding.table[one] == names.index(name) for one in own)
    assert all(settled.coding.table[one] == 255 for one in voids)
    assert (settled.coding.table != 256).sum() == sum(map(len, settled.ids.values())) + len(voids)


def test_classes_that_cannot_be_learned_are_named(tmp_path: Path):
    for found, listed, void, said in (
            ({255}, None, None, "one class alone, '255', beside the void: to tell classes apart takes at least two"),
            ({0, 1}, None, [0], "one class alone, '1', beside the void"),
            ({0, 1}, None, [0, 1], "no class, beside the void"),
            (set(range(300)), None, None, "299 classes; at most 255 are accepted. Are the masks ids of classes, or are "
                                          "they numbers of objects")):
        with pytest.raises(DataError, match=f"^the masks in {tmp_path}: {said}"):
            settle_classes(found, listed, void, tmp_path)


def test_settings_that_do_not_fit_are_named(tmp_path: Path):
    for settings, said in (
            ({"classes": ["a"], "ids": {"1": "a"}}, "data.ids and data.classes both name the classes: give one of the"),
            ({"ids": {"one": "a"}}, "data.ids: 'one' = 'a' is not possible: accepted are the number of an id, 0 to "
                                    "65535, or several as 0-127, none of them twice, and the name of the class, or "
                                    "void, as in {1 = \"pet\", 3 = \"void\"}"),
            ({"ids": {"0-9": "a", "5": "b"}}, "data.ids: '5' = 'b' is not possible"),
            ({"ids": {"9-0": "a"}}, "data.ids: '9-0' = 'a' is not possible"),
            ({"ids": {"70000": "a"}}, "data.ids: '70000' = 'a' is not possible"),
            ({"ids": {"7": ""}}, "data.ids: '7' = '' is not possible"),
            ({"classes": ["a", "a"]}, "data.classes=['a', 'a'] must hold at least one name, none empty and none twice"),
            ({"classes": "absent.txt"}, f"{tmp_path}/absent.txt does not exist.")):
        with pytest.raises(UserError) as told:
            class_list(tmp_path, None, **{"classes": None, "ids": None} | settings)
        assert str(told.value).startswith(said)


def drawn(folder: Path, *masks: dict[int, int]) -> list[Path]:
    """Masks with so many rows of ten pixels of each value."""
    paths = []
    for number, rows in enumerate(masks):
        values = np.repeat(np.array(list(rows), dtype=np.uint8), [10 * count for count in rows.values()])
        paths.append(folder / f"{number}.png")
        Image.fromarray(values.reshape(-1, 10)).save(paths[-1])
    return paths


@pytest.mark.parametrize(("masks", "listed", "names", "voids"), [
    ([{0: 50, 127: 1, 255: 40}], None, ("0", "127", "255"), []),         # a white foreground and a stray value
    ([{0: 50, 15: 30, 255: 4}], None, ("0", "15"), [255]),               # a thin border around it
    ([{0: 50, 1: 2, 255: 2}], None, ("0", "1", "255"), []),
    ([{0: 5, 1: 5}, {255: 10}], None, ("0", "1"), [255]),                # a mask of which nothing is known
    ([{0: 50, 255: 40}], ClassList({0: "rest", 1: "pet"}, "a list"), ("rest", "pet"), []),
    ([{0: 50, 1: 20, 255: 7}], LISTED, ("sky", "road", "car"), [255])])
def test_white_foreground_is_never_void_by_itself(masks, listed, names, voids, tmp_path: Path):
    settled, _ = classes_of_masks(drawn(tmp_path, *masks), listed, None, tmp_path)
    assert settled.names == names and settled.void == voids


def test_a_foreground_that_covers_nothing_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"show 'sky' alone, and no pixel of road, car: say what the ids that occur "
                                        r"\(0\) are"):
        classes_of_masks(drawn(tmp_path, {0: 3}), LISTED, None, tmp_path)
    with pytest.raises(DataError, match=r"show 'a' alone, and no pixel of b \(void are the ids \[255\]\): say what"):
        classes_of_masks(drawn(tmp_path, {0: 3, 255: 4}), ClassList({0: "a", 3: "b"}, "x"), [255], tmp_path)
    with pytest.raises(DataError, match=r"holds the id 255 at x=0, y=3, which is none of the ids of a list \(0, 1, 4"):
        classes_of_masks(drawn(tmp_path, {0: 3, 255: 4}), LISTED, None, tmp_path)    # white is not taken for void


def test_masks_that_are_only_measured_on_may_show_one_class(tmp_path: Path):
    settled, _ = classes_of_masks(drawn(tmp_path, {0: 3}), LISTED, None, tmp_path, measured=True)
    assert settled.names == ("sky", "road", "car")
    settled, _ = classes_of_masks(drawn(tmp_path, {1: 3, 255: 1}), None, [255], tmp_path, measured=True)
    assert settled.names == ("1",) and settled.void == [255]
    with pytest.raises(DataError, match="is void alone"):
        classes_of_masks(drawn(tmp_path, {255: 3}), LISTED, [255], tmp_path, measured=True)
