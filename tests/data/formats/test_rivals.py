"""What is asked about before a folder is taken for class folders, and what is not."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.base.errors import Question
from lensmith.data.formats.detect import recognise


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def touch(folder: Path, *names: str) -> Path:
    return write(folder, dict.fromkeys(names, ""))


def asked(folder: Path) -> list[str]:
    """The answers to the question about a folder: the source below it, or the settings."""
    with pytest.raises(Question) as caught:
        recognise(folder)
    assert "\n" not in str(caught.value) and "`lensmith train " in str(caught.value)
    return [os.path.relpath(answer.source, folder) if answer.source is not None else " ".join(answer.settings)
            for answer in caught.value.answers]


@pytest.mark.parametrize(("names", "answers"), [
    (["data/train/cat/1.png", "data/train/dog/1.png", "src/x.py", "README.md"], ["data"]),
    (["archive/set/train/cat/1.png", "archive/set/train/dog/1.png"], ["archive/set"]),
    (["photos/cat/1.png", "photos/dog/1.png"], ["photos"]),
    (["photos/all/cat/1.png", "photos/all/dog/1.png"], ["photos/all"]),
    (["data/cat/1.png", "data/dog/1.png", "src/x.py", "docs/y.md"], ["data"]),
    (["a/images/1.png", "a/labels/1.txt", "b/images/1.png", "b/labels/1.txt"], ["a", "b", "data.name=folder"]),
    (["coco/annotations/instances_train.json", "coco/train/1.png", "logs/x.txt"], ["coco"]),
    (["data/images/1.png", "data/masks/1.png", "figures/1.png"], ["data", "data.name=folder"])])
def test_a_set_below_is_found(names: list[str], answers: list[str], tmp_path: Path):
    assert asked(touch(tmp_path, *names)) == answers


@pytest.mark.parametrize("names", [
    ["cat/1.png", "dog/1.png"], ["cat/in/1.png", "cat/out/1.png", "dog/1.png"],
    ["cat/in/1.png", "dog/in/1.png", "cat/out/2.png"], ["train/cat/1.png", "train/dog/1.png", "data/x/1.png"],
    ["train/1.png", "bus/1.png", "car/1.png"], ["cat/1.png", "dog/1.png", "list.csv", "model.py"],
    ["cat/train/1.png", "dog/train/1.png", "cat/test/1.png", "dog/test/1.png"], ["1.png", "2.png"], []])
def test_plain_class_folders_are_not_asked_about(names: list[str], tmp_path: Path):
    assert recognise(touch(tmp_path, *names)) == "folder"


def test_splits_in_some_classes(tmp_path: Path):
    touch(tmp_path, "cat/train/1.png", "cat/test/1.png", "dog/train/1.png", "dog/test/1.png", "dog/9.png")
    assert asked(tmp_path) == ["data.name=folder data.layout=class/split", "data.name=folder data.layout=class"]


@pytest.mark.parametrize(("files", "answers"), [
    ({"images/a.png": "", "list.csv": "path,label\nimages/a.png,cat\n"}, ["list.csv"]),
    ({"images/a.png": "", "more.csv": "", "boxes.csv": "path,x0,y0,x1,y1,label\na.png,1,1,5,5,cat\n"}, ["boxes.csv"]),
    ({"train/a.png": "", "test/b.png": "", "train.csv": "id,label\na,cat\n",
      "sample_submission.csv": "id,label\nz,0\n"}, ["train.csv"]),
    ({"train_images/a.png": "", "test_images/b.png": "", "train.csv": "id_code;diagnosis\na;3\n"}, ["train.csv"]),
    ({"x_images_part_1/a.jpg": "", "x_images_part_2/b.jpg": "", "meta.csv": "lesion,image_id,dx\n1,a,nv\n2,b,mel\n"},
     ["meta.csv", "data.name=folder"]),
    ({"a.png": "", "b.png": "", "labels.tsv": "file\tkind\na.png\tcat\nb.png\tdog\n"}, ["labels.tsv"])])
def test_a_table_that_names_the_pictures(files: dict[str, str], answers: list[str], tmp_path: Path):
    assert asked(write(tmp_path, files)) == answers


def pairs(folder: Path, first: str, second: str, *, values: int = 2, count: int = 4) -> Path:
    """Photos in `first`, and pictures of the same names with so many values in `second`."""
    random = np.random.default_rng(0)
    for name in (first, second):
        (folder / name).mkdir()
    for i in range(count):
        Image.fromarray(random.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(folder / first / f"{i}.png")
        Image.fromarray(random.integers(0, values, (20, 30), dtype=np.uint8)).save(folder / second / f"{i}.png")
    return folder


def test_pictures_and_masks_by_their_contents(tmp_path: Path):
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    assert asked(pairs(tmp_path / "few", "cells", "nuclei")) == [
        "data.name=masks data.images=cells data.masks=nuclei", "data.name=folder"]
    assert recognise(pairs(tmp_path / "many", "cat", "dog", values=200)) == "folder"


def numbered(folder: Path, counts: list[int]) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i, number in enumerate(counts):
        mask = np.zeros((20, 30), dtype=np.uint8)
        for id_ in range(1, number + 1):
            mask[id_] = id_
        Image.fromarray(mask).save(folder / f"masks/{i}.png")
        Image.new("RGB", (30, 20)).save(folder / f"images/{i}.png")
    return folder


def test_ids_that_are_numbers_of_objects(tmp_path: Path):
    assert asked(numbered(tmp_path / "objects", [1, 4, 2, 7, 3, 5, 2])) == ["data.name=object-masks", "data.name=masks"]
    assert recognise(numbered(tmp_path / "classes", [2, 2, 1, 2, 2, 1, 2])) == "masks"
    listed = numbered(tmp_path / "listed", [1, 4, 2, 7, 3, 5, 2])
    (listed / "classes.txt").write_text("".join(f"c{i}\n" for i in range(8)))
    assert recognise(listed) == "masks"


def test_the_command_repeats_what_was_typed(tmp_path: Path, command):
    root = touch(tmp_path / "my set", "data/cat/1.png", "data/dog/1.png")
    ended = command("data", "show", root, "--json", "split.test=0")
    assert ended.code == 3
    assert f"`lensmith data show '{root}/data' --json split.test=0` learns the set in data" in ended.err


@pytest.mark.parametrize(("name", "way"), [
    ("set.zip", "unzip -q {0}/set.zip -d {0}/set && lensmith train {0}/set"),
    ("set.tar.gz", "mkdir -p {0}/set && tar -xf {0}/set.tar.gz -C {0}/set && lensmith train {0}/set"),
    ("set.TAR", "mkdir -p {0}/set && tar -xf {0}/set.TAR -C {0}/set && lensmith train {0}/set"),
    ("set.7z", "7z x {0}/set.7z -o{0}/set && lensmith train {0}/set")])
def test_an_archive_is_named_with_the_command_that_unpacks_it(name: str, way: str, tmp_path: Path, command):
    (tmp_path / name).touch()
    for source in (tmp_path / name, tmp_path):
        ended = command("data", "show", source)
        assert ended.code == 3 and f"`{way.format(tmp_path)}`" in ended.err, ended.err
