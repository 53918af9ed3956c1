"""What lies in the folders of classes and is asked about, and what its answers give."""

from pathlib import Path

import pytest
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.class_folders import class_folders
from lensmith.data.formats.detect import recognise
from tests.data.formats.test_rivals import asked, touch

MASKS = ["data.name=folder data.masks=leave", "data.name=masks", "data.name=folder"]


def several(*patterns: str, number: int = 3) -> list[str]:
    return [pattern.format(i) for pattern in patterns for i in range(number)]


@pytest.mark.parametrize(("names", "answers"), [
    # The Breast Ultrasound Images set of Kaggle: masks beside their pictures in each class.
    (several("benign/benign ({}).png", "benign/benign ({})_mask.png", "normal/normal ({}).png"), MASKS),
    (several("p1/a_{}.tif", "p1/a_{}_mask.tif", "p2/b_{}.tif", "p2/b_{}_mask.tif"), MASKS),
    # The COVID-19 Radiography set.
    (several("COVID/images/C-{}.png", "COVID/masks/C-{}.png", "Normal/images/N-{}.png", "Normal/masks/N-{}.png"),
     [MASKS[0], MASKS[2]]),
    # An archive that holds its own folders once more.
    (["no/1.png", "yes/1.png", "brain/no/1.png", "brain/yes/1.png"],
     ['data.name=folder data.classes=["no", "yes"]', "data.name=folder"]),
    (several("fold{}/cat/1.png", "fold{}/dog/1.png"), [f"data.name=folder data.layout={layout}" for layout in
                                                       ("part/class", "class")]),
    # Breast Histopathology: a folder a patient.
    (several("1{}/0/1.png", "1{}/1/1.png", number=6), [f"data.name=folder data.layout={layout}" for layout in
                                                       ("group/class", "part/class", "class")]),
    (["train/images/1.jpg", "train/Semantic_masks/9.jpg", "val/images/2.jpg", "val/Semantic_masks/8.jpg"],
     ["data.name=folder"])])
def test_what_is_asked_about(names: list[str], answers: list[str], tmp_path: Path):
    assert asked(touch(tmp_path, *names)) == answers


@pytest.mark.parametrize("names", [
    several("with_mask/with_mask_{}.jpg", "without_mask/without_mask_{}.jpg"), several("mask/{}.jpg", "no_mask/{}.jpg"),
    several("cat/images/{}.jpg", "dog/images/{}.jpg"), ["cat/in/1.png", "dog/out/1.png"],
    [*several("cat/{}.jpg", "dog/{}.jpg"), "cat/0_mask.jpg"], several("images/{}.jpg", "drawings/{}.jpg"),
    several("a/left/{}.jpg", "a/right/{}.jpg", "b/{}.jpg")])
def test_what_is_not(names: list[str], tmp_path: Path):
    assert recognise(touch(tmp_path, *names)) == "folder"


def test_masks_are_left_out_and_counted(tmp_path: Path):
    touch(tmp_path, *several("a/x{}.png", "a/x{}_mask.png", "a/x{}_mask_1.png", "b/images/{}.png", "b/masks/{}.png"))
    opened = class_folders(str(tmp_path), masks="leave")
    assert [path.relative_to(tmp_path).as_posix() for path in opened.splits["all"].paths] == \
        several("a/x{}.png", "b/images/{}.png")
    assert opened.account["masks_left_out"]["count"] == 9
    assert len(class_folders(str(tmp_path)).splits["all"]) == 15
    touch(tmp_path, "masks/images/1.png", "masks/masks/1.png")
    assert len(class_folders(str(tmp_path), masks="leave").splits["all"]) == 7


def test_a_class_has_a_folder_in_each_part(tmp_path: Path):
    touch(tmp_path, "1/cat/a.png", "1/dog/b.png", "2/cat/c.png", "3/dog/d.png", "empty.txt")
    (tmp_path / "4").mkdir()
    for layout in ("part/class", "group/class"):
        opened = class_folders(str(tmp_path), layout=layout)
        source = opened.splits["all"]
        assert source.classes == {"label": ("cat", "dog")} and source.targets["label"].index.tolist() == [0, 0, 1, 1]
        assert [path.name for path in source.paths] == ["a.png", "c.png", "b.png", "d.png"]
        assert opened.account["ignored_folders"] == ["4"]
        assert (source.groups is None) == (layout == "part/class")
    assert source.groups.tolist() == ["1", "2", "1", "3"]
    with pytest.raises(UserError, match="takes the groups from folders and data.group from the names of files"):
        class_folders(str(tmp_path), layout="group/class", group="(.)")
    with pytest.raises(DataError, match="no folder of .* holds class folders"):
        class_folders(str(touch(tmp_path / "flat", "a/1.png", "b/1.png")), layout="part/class")


def test_an_accent_that_is_coded_otherwise_is_told(tmp_path: Path):
    touch(tmp_path, "train/Caf\u00e9/1.png", "train/Bar/1.png", "test/Cafe\u0301/1.png")
    with pytest.raises(DataError, match="'Caf\u00e9' there looks the same and is coded otherwise"):
        class_folders(str(tmp_path))


@pytest.mark.parametrize("verb", [("data", "show"), ("train", "--dry-run"), ("check", "--json", "--budget", "0")])
def test_the_answer_is_a_command_that_works(verb: tuple[str, ...], tmp_path: Path, command):
    for name in several("fold{}/cat/1.png", "fold{}/dog/1.png", "fold{}/dog/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((20, 20), 60).save(tmp_path / name)
    ended = command(*verb, tmp_path)
    assert ended.code == 3 and "data.name=folder data.layout=part/class" in ended.err
    ended = command(*verb, tmp_path, "data.name=folder", "data.layout=part/class")
    assert ended.code == 0 and "cat" in ended.out


def test_answers_work_where_a_set_is_converted_or_measured_on(tmp_path: Path, command):
    for name in several("a/{}.png", "b/{}.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), 0).save(tmp_path / "set" / name)
    ended = command("convert", tmp_path / "set", tmp_path / "new", "--to", "coco", "data.name=yolo")
    assert ended.code == 3 and "no label" in ended.err.lower() + ended.out
    ended = command("convert", tmp_path / "set", tmp_path / "new", "data.name=yolo")
    assert ended.code == 2 and "got data.name=yolo without --to" in ended.err
    ended = command("val", tmp_path / "run", "data.name=yolo")
    assert ended.code == 2 and "settings say how --data is read, and it is not given; got data.name=yolo" in ended.err


@pytest.mark.parametrize(("names", "splits"), [
    (["WIDER_train/a/1.png", "WIDER_train/b/1.png", "WIDER_val/a/2.png"], {"train", "valid"}),
    (["set-train/a/1.png", "set-train/b/1.png", "set-test/b/2.png"], {"train", "test"}),
    (["train_val/a/1.png", "train_val/b/1.png", "TEST/a/2.png"], {"train", "test"}),
    (["seg_train/seg_train/a/1.png", "seg_train/seg_train/b/1.png", "seg_test/seg_test/a/2.png", "seg_pred/x/1.png"],
     {"train", "test"})])
def test_splits_by_the_word_that_differs(names: list[str], splits: set[str], tmp_path: Path):
    assert recognise(touch(tmp_path, *names)) == "folder"
    assert set(class_folders(str(tmp_path)).splits) == splits


def test_flat_folders_alike_but_for_the_word_for_a_split_are_no_classes(tmp_path: Path):
    touch(tmp_path, *several("box_train/{}.jpg", "box_test/{}.jpg", "query/{}.jpg"))
    with pytest.raises(DataError, match="'box_test', 'box_train', called after splits"):
        class_folders(str(tmp_path))


def test_classes_that_differ_by_case_are_told(tmp_path: Path):
    opened = class_folders(str(touch(tmp_path, "Cat/1.png", "cat/2.png", "dog/3.png")))
    assert opened.account["notes"] == ["classes that differ by case or blanks alone: 'Cat', 'cat'; they are learned "
                                       "apart unless one of them is mended"]
