"""Sets of YOLO that Darknet's files describe: obj.data, lists of pictures and lists of names."""

from pathlib import Path

import pytest
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.yolo import yolo
from lensmith.data.formats.detect import recognise

DATA = "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = backup/\n"
LABEL = "1 0.5 0.5 0.2 0.2\n"


def save(root: Path, *pictures: str) -> None:
    """Pictures, each with its label file beside it, or in labels for images."""
    for name in pictures:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10)).save(path)
        label = root / name.replace("images/", "labels/").replace(".png", ".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(LABEL)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def pictures_of(opened) -> dict[str, list[str]]:
    return {split: [source.place(i).file for i in range(len(source))] for split, source in opened.splits.items()}


@pytest.fixture
def cvat(tmp_path: Path) -> Path:
    save(tmp_path, "obj_train_data/a.png", "obj_train_data/b.png", "obj_Validation_data/c.png")
    write(tmp_path, {"obj.names": "red\nblue\n", "obj.data": DATA,
                     "train.txt": "data/obj_train_data/a.png\ndata/obj_train_data/b.png\n",
                     "valid.txt": "data/obj_Validation_data/c.png\n"})
    return tmp_path


def test_an_export_of_cvat_keeps_its_names_and_its_division(cvat: Path):
    assert recognise(cvat) == "yolo" == recognise(cvat / "obj.data")
    for path in (cvat, cvat / "obj.data"):
        opened = yolo(str(path))
        assert pictures_of(opened) == {"train": ["obj_train_data/a.png", "obj_train_data/b.png"],
                                       "valid": ["obj_Validation_data/c.png"]}
        boxes = opened.splits["train"].targets["boxes"]
        assert opened.splits["train"].classes["boxes"] == ("red", "blue") and boxes.classes.tolist() == [1, 1]


def test_lists_without_a_description_divide_a_set(tmp_path: Path):
    save(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    write(tmp_path, {"train.txt": "C:\\set\\images\\a.png\nC:\\set\\images\\b.png\n", "val.txt": "images\\c.png\n",
                     "my.names": "red\nblue\n"})
    opened = yolo(str(tmp_path))
    assert pictures_of(opened) == {"train": ["images/a.png", "images/b.png"], "valid": ["images/c.png"]}
    assert opened.splits["train"].classes["boxes"] == ("red", "blue")
    write(tmp_path, {"train.txt": "other/x.png\n", "val.txt": ""})
    assert list(yolo(str(tmp_path)).splits) == ["all"]    # the lists of another set


@pytest.mark.parametrize("line", ["data/images/train/{}.png", "images\\train\\{}.png", "/mnt/x/images/train/{}.png"])
def test_lists_of_a_data_yaml_are_followed_wherever_they_were_made(line: str, tmp_path: Path):
    save(tmp_path, "images/train/a.png", "images/train/b.png")
    write(tmp_path, {"data.yaml": "train: train.txt\nnames: [red, blue]\n",
                     "train.txt": "".join(line.format(name) + "\n" for name in "ab")})
    opened = yolo(str(tmp_path))
    assert pictures_of(opened) == {"train": ["images/train/a.png", "images/train/b.png"]}
    assert len(opened.splits["train"].targets["boxes"].classes) == 2


@pytest.mark.parametrize(("yaml", "missing"), [
    ("train: ../train/images\nval: ../valid/images\ntest: ../test/images\n", ["test: ../test/images"]),
    ("train: Proj-1/train/images\nval: Proj-1/valid/images\n", []),
    ("train: C:\\me\\Proj-1\\train\\images\nval: valid\\images\n", [])])
def test_an_export_of_roboflow_without_test_pictures_and_with_its_project_in_front(yaml: str, missing, tmp_path: Path):
    root = tmp_path / "Proj-1"
    save(root, "train/images/a.png", "valid/images/b.png")
    write(root, {"data.yaml": yaml + "nc: 2\nnames: ['red', 'blue']\n"})
    opened = yolo(str(root))
    assert pictures_of(opened) == {"train": ["train/images/a.png"], "valid": ["valid/images/b.png"]}
    assert opened.account.get("splits_not_there", []) == missing


def test_names_beside_the_pictures_of_roboflows_darknet_export(tmp_path: Path):
    save(tmp_path, "train/a.png", "valid/b.png")
    write(tmp_path, {"train/_darknet.labels": "red\nblue\n", "valid/_darknet.labels": "red\nblue\n"})
    assert yolo(str(tmp_path)).splits["train"].classes["boxes"] == ("red", "blue")


@pytest.mark.parametrize(("images", "labels"), [("Images", "Labels"), ("image", "label"), ("images", "Labels")])
def test_folders_of_any_case(images: str, labels: str, tmp_path: Path):
    save(tmp_path, "images/train/a.png", "images/val/b.png")
    (tmp_path / "images").rename(tmp_path / images)
    (tmp_path / "labels").rename(tmp_path / labels)
    assert recognise(tmp_path) == "yolo"
    opened = yolo(str(tmp_path))
    assert list(opened.splits) == ["train", "valid"] and len(opened.splits["train"].targets["boxes"].classes) == 1


def test_what_a_description_lacks_is_named(cvat: Path):
    write(cvat, {"more.data": DATA})
    with pytest.raises(DataError, match="holds several descriptions of a set, more.data, obj.data: give the one"):
        yolo(str(cvat))
    (cvat / "more.data").write_text("a binary file of another program")
    (cvat / "obj.data").write_text("train = gone.txt\nnames = obj.names\n")
    with pytest.raises(DataError, match=r"obj.data: train = gone.txt was not found below "):
        yolo(str(cvat))
    (cvat / "obj.data").write_text("valid = valid.txt\n")
    with pytest.raises(DataError, match=r"obj.data names no train: a text file that lists pictures is expected"):
        yolo(str(cvat))
    (cvat / "obj.data").write_text("train = train.txt\ntest = gone.txt\n")
    opened = yolo(str(cvat))
    assert opened.account["splits_not_there"] == ["test = gone.txt"]
    assert opened.splits["train"].classes["boxes"] == ("red", "blue")    # obj.names, which nothing names
