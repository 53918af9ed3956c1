"""Real trainings on data with one fault each, on objects and masks that are not learned, and on parts that starve."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.base.pictures import to_pil
from lensmith.data.formats.drawn_shapes import shapes
from tests.study.doctor.conftest import CSP, DATA, RECIPES, Trained, check_named, drawn, needed

pytestmark = pytest.mark.slow

LENET = ["--backbone", "lenet3x3"]
PETS = [*LENET, "--size", "32"]
CFG = """[net]
width=32
height=32
channels=3
[conv]
batch_normalize=1
filters=16
size=3
stride=4
pad=1
activation=leaky
[conv]
filters=16
activation=linear
[yolo]
classes=3
num=2
mask=0,1
anchors=300,310, 500,520
"""


def written(place: Path, counts: dict[str, int], *, noise: bool = False, first: int = 0) -> Path:
    """Class folders of drawn shapes, so many of each class; with `noise` of pictures that show nothing."""
    source = shapes(count=3 * (first + max(counts.values())) * 6 // 5 + 12, size=24, seed=1).splits["train"]
    names, left = source.classes["label"], {name: (first, first + number) for name, number in counts.items()}
    met = dict.fromkeys(names, 0)
    draw = np.random.default_rng(first)
    for number in range(len(source)):
        sample = source[number]
        name = names[int(sample.targets["label"].index)]
        met[name] += 1
        if left[name][0] < met[name] <= left[name][1]:
            (place / name).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(draw.integers(0, 256, (24, 24, 3), dtype=np.uint8)) if noise else \
                to_pil(sample.image)
            picture.save(place / name / f"{number}.png")
    return place


def shuffled(folder: Path) -> Path:
    """A table of the pictures in class folders, with their labels in another order."""
    paths = sorted(path for ending in ("*.png", "*.jpg") for path in folder.rglob(ending))
    labels = [path.parent.name for path in paths]
    random.Random(0).shuffle(labels)
    lines = [f"{path.relative_to(folder)},{label}" for path, label in zip(paths, labels, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return folder / "labels.csv"


def chosen(folder: Path, place: Path, counts: tuple[int, int, int]) -> Path:
    """So many of the first pictures of each class, in class folders of their own."""
    for breed, number in zip(sorted(folder.iterdir()), counts, strict=True):
        (place / breed.name).mkdir(parents=True)
        for path in sorted(breed.iterdir())[:number]:
            shutil.copy(path, place / breed.name)
    return place


def test_the_commonest_class(tmp_path: Path, trained: Trained):
    written(tmp_path / "set", {"square": 400, "disc": 40, "triangle": 40}, noise=True)
    check_named(trained(str(tmp_path / "set"), *LENET, "--epochs", "6", "split.valid=0.3"),
                "no better than the commonest class")


def test_the_commonest_class_of_photos(tmp_path: Path, trained: Trained, pets_folder: Path):
    chosen(pets_folder, tmp_path / "set", (200, 25, 25))
    check_named(trained(str(tmp_path / "set"), *PETS, "--epochs", "4", "split.valid=0.3"),
                "no better than the commonest class")


def test_shuffled_labels(tmp_path: Path, trained: Trained):
    written(tmp_path / "set", dict.fromkeys(("square", "disc", "triangle"), 200))
    check_named(trained(str(shuffled(tmp_path / "set")), *LENET, "--epochs", "20", "--rate", "0.003",
                        "split.valid=0.3"), "shuffled labels")


def test_shuffled_labels_of_photos(tmp_path: Path, trained: Trained, pets_folder: Path):
    shutil.copytree(pets_folder, tmp_path / "set")
    check_named(trained(str(shuffled(tmp_path / "set")), *PETS, "--epochs", "20", "--rate", "0.003",
                        "split.valid=0.3"), "shuffled labels")


def test_shared_pictures(tmp_path: Path, trained: Trained):
    written(tmp_path / "set" / "train", dict.fromkeys(("square", "disc", "triangle"), 100))
    shutil.copytree(tmp_path / "set" / "train", tmp_path / "set" / "valid")
    check_named(trained(str(tmp_path / "set"), *LENET, "--epochs", "4"), "shared pictures")


def test_shared_photos(tmp_path: Path, trained: Trained, pets_folder: Path):
    """All of them: of a few the copies in train are left out."""
    for split in ("train", "valid"):
        chosen(pets_folder, tmp_path / "set" / split, (100, 100, 100))
    check_named(trained(str(tmp_path / "set"), *PETS, "--epochs", "2"), "shared pictures")


def test_a_class_that_is_never_predicted(tmp_path: Path, trained: Trained):
    written(tmp_path / "set" / "train", {"square": 300, "disc": 300, "triangle": 3})
    written(tmp_path / "set" / "valid", dict.fromkeys(("square", "disc", "triangle"), 40), first=400)
    check_named(trained(str(tmp_path / "set"), *LENET, "--epochs", "8"), "a class never predicted")


def test_anchors_that_fit_no_box(tmp_path: Path, trained: Trained):
    (tmp_path / "own.cfg").write_text(CFG)
    check_named(trained(*drawn(180, 32), "--task", "yolov3", "--backbone", "darknet",
                        f"backbone.cfg={tmp_path / 'own.cfg'}", "--epochs", "4"), "anchors")


def test_objects_smaller_than_the_finest_stride(tmp_path: Path, trained: Trained):
    draw = random.Random(0)
    for split, number in (("train", 40), ("valid", 10)):
        for folder in ("images", "labels"):
            (tmp_path / "set" / folder / split).mkdir(parents=True)
        for index in range(number):
            picture = Image.new("RGB", (160, 160), (90, 90, 90))
            x, y = draw.randrange(150), draw.randrange(150)
            picture.paste((250, 20, 20), (x, y, x + 4, y + 4))
            picture.save(tmp_path / "set" / "images" / split / f"{index}.png")
            (tmp_path / "set" / "labels" / split / f"{index}.txt").write_text(
                f"0 {(x + 2) / 160} {(y + 2) / 160} 0.025 0.025\n")
    (tmp_path / "set" / "data.yaml").write_text("train: images/train\nval: images/valid\nnames: [dot]\n")
    check_named(trained(str(tmp_path / "set"), *CSP, "--epochs", "3", "--batch", "8"), "small objects")


@pytest.mark.parametrize("setting", ["task.threshold=0.99", "task.overlap=0.01"])
def test_boxes_that_are_suppressed(trained: Trained, setting: str):
    check_named(trained(*drawn(180, 32), "--task", "detection", *CSP, "--epochs", "4", setting), "boxes suppressed")


def test_masks_that_are_all_background(trained: Trained):
    source = [str(RECIPES / "pets3-outline.toml"), f"data.path={needed(DATA / 'pets3')}", "--size", "64", "--scratch",
              "task.class_weights=[1.0, 0.0001]", "loading.fraction=0.3"]
    check_named(trained(*source, *CSP, "--task", "segmentation", "task.loss=cross_entropy", "--epochs", "8", "--batch",
                        "16"), "all background")


@pytest.mark.parametrize("data", ["drawn", "pets"])
def test_a_part_that_starves(trained: Trained, data: str):
    source = [*drawn(300, 24), 'task.parts=["label", "mask"]', "task.weights={label = 0.00001}"]
    if data == "pets":
        source = [str(RECIPES / "pets3-tasks.toml"), f"data.path={needed(DATA / 'pets3' / 'labels.csv')}", "--size",
                  "48", "--scratch", "loading.fraction=0.3", 'task.parts=["breed", "outline"]',
                  "task.weights={breed = 0.00001}"]
    check_named(trained(*source, "--task", "multitask", *CSP, "--epochs", "4", "--batch", "16"), "a starved part")
