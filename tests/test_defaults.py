"""With all defaults each task learns more than chance from each set that is at hand: minutes each, in the slow tier."""

import csv
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from lensmith.base.errors import DataError
from lensmith.base.pictures import to_pil
from lensmith.data.formats import FORMATS
from lensmith.data.formats.drawn_shapes import shapes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]    # a quiet machine takes minutes, a busy one many more
DRAWN = ["shapes", "data.count=600", "data.size=64"]
PETS = ["data.pictures=images/{name}.jpg", "data.split=false"]


def shared(name: str) -> str:
    path = Path(os.environ.get("LENSMITH_DATA", "absent")).absolute() / name
    if not path.exists():
        pytest.skip(f"needs {name} in LENSMITH_DATA")
    return str(path)


def trained(folder: Path, *arguments: str) -> dict[str, Any]:
    """The numbers on the test split, or else on the validation split, of a run by all defaults."""
    done = subprocess.run([sys.executable, "-m", "lensmith", "train", *arguments, "--runs", str(folder), "--name",
                           "run", "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads((folder / "run" / "metrics.json").read_text())
    numbers: dict[str, Any] = measured["test" if "test" in measured else "valid"]
    return numbers


def above_one_answer(numbers: dict[str, Any]) -> None:
    """The score is above that of one answer for all pictures by more than its interval is wide."""
    (name, baseline), = numbers["baselines"].items()
    interval = numbers.get("intervals", {}).get(name)
    low = numbers[name] - 3 * baseline["spread"] if interval is None else interval[0]
    assert low > baseline["score"], (name, numbers[name], interval, baseline)


@pytest.mark.parametrize("column", ["breed", "species"])
def test_labels_of_pets(tmp_path: Path, column: str):
    above_one_answer(trained(tmp_path, shared("pets3/labels.csv"), f"data.target={column}", *PETS))


def test_heads_of_pets(tmp_path: Path):
    """In 10 of the 50 epochs that are usual: they take longer than all other tests here together."""
    numbers = trained(tmp_path, shared("pets3/labels.csv"), "data.target=head", 'data.boxes={head="species"}', *PETS,
                      "--epochs", "10")
    assert numbers["mAP50"] > 0.2    # one box for all pictures is right in hardly any


def test_outlines_of_pets(tmp_path: Path):
    above_one_answer(trained(tmp_path, shared("pets3"), "data.name=masks",
                             'data.ids={1="pet",2="rest",3="void"}'))


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_labels_of_known_sets(tmp_path: Path, name: str):
    try:
        FORMATS[name].open()
    except DataError as error:
        pytest.skip(f"needs {name}: {error}")
    above_one_answer(trained(tmp_path, name, "loading.fraction=0.1"))


def test_labels_of_cifar(tmp_path: Path):
    with tarfile.open(shared("cifar10-jpeg.tar")) as archive:
        members = [one for one in archive.getmembers() if one.name.endswith(".jpg")]
        archive.extractall(tmp_path, members=members[:: len(members) // 3_000], filter="data")
    folder = next(path for path in (tmp_path, *tmp_path.iterdir()) if (path / "train").is_dir())
    above_one_answer(trained(tmp_path / "runs", str(folder)))


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_labels_and_masks_of_drawn_shapes(tmp_path: Path, task: str):
    above_one_answer(trained(tmp_path, *DRAWN, "--task", task))


@pytest.mark.parametrize(("task", "score"), [("detection", "mAP50"), ("instances", "mask_mAP50")])
def test_objects_of_drawn_shapes(tmp_path: Path, task: str, score: str):
    assert trained(tmp_path, *DRAWN, "--task", task)[score] > 0.3    # an object at any other place scores 0


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 600 drawn shapes with tags (which shape, bright or dark) and numbers (the place of the middle)."""
    folder = tmp_path_factory.mktemp("drawn")
    train = shapes(count=720, size=64).splits["train"]
    names, boxes = train.classes["label"], train.targets["boxes"]
    rows = []
    for i in range(600):
        sample = train[i]
        to_pil(sample.image).save(folder / f"{i:03d}.png")
        corners = boxes.corners[boxes.image == i][0].tolist()
        middle = sample.image[:, int((corners[1] + corners[3]) / 2), int((corners[0] + corners[2]) / 2)]
        bright = middle.float().mean() > torch.tensor(float(sample.image[:, 0, 0].float().mean()))
        rows.append({"path": f"{i:03d}.png", "across": round((corners[0] + corners[2]) / 2, 1),
                     "down": round((corners[1] + corners[3]) / 2, 1),
                     "tags": f"{names[int(sample.targets['label'].index)]};{'bright' if bright else 'dark'}"})
    with (folder / "drawn.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "drawn.csv"


def test_tags_of_drawn_shapes(tmp_path: Path, table: Path):
    numbers = trained(tmp_path, str(table), "data.target=tags", "data.kind=tags")
    rows = numbers["details"]["per_class"]
    always = sum(2 * row["support"] / (row["support"] + numbers["count"]) for row in rows) / len(rows)
    assert numbers["macro_f1"] > always + 0.1    # the F1 of giving every picture every tag


def test_numbers_of_drawn_shapes(tmp_path: Path, table: Path):
    above_one_answer(trained(tmp_path, str(table), 'data.target=["across","down"]'))


def test_a_small_part_of_coco_runs(tmp_path: Path):
    assert trained(tmp_path, shared("coco128"), "--epochs", "2")["count"] > 0
