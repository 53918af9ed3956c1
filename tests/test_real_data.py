"""The recipes on real data reach what their first lines say: minutes each, so all of it is in the slow tier."""

import csv
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats import FORMATS

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def need(name: str) -> None:
    try:
        FORMATS[name].open()
    except DataError as error:
        pytest.skip(f"needs {name}: {error}")


def shared(name: str) -> Path:
    path = Path(os.environ.get("LENSMITH_DATA", "absent")).absolute() / name
    if not path.exists():
        pytest.skip(f"needs {name} in LENSMITH_DATA")
    return path


def begun() -> str:
    """The setting for the ImageNet weights of EfficientNet-lite0."""
    pytest.importorskip("timm")
    return f"learner.weights={shared('weights/tf_efficientnet_lite0_fp16.safetensors')}"


def accuracy(recipe: str, runs: Path, *settings: str) -> float:
    found: float = scores(recipe, runs, *settings)["accuracy_top1"]
    return found


def scores(recipe: str, runs: Path, *settings: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "lensmith", "train", str(ROOT / "recipes" / recipe), *settings,
                           "--runs", str(runs), "--json", "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["test"]
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_classic_job(tmp_path: Path, seed: int):
    need("fashion-mnist")
    assert accuracy("fashion-lenet.toml", tmp_path, "--seed", str(seed)) >= 0.88


@pytest.mark.parametrize("seed", range(5))
def test_the_score_of_the_classic_job_in_a_fraction_of_its_time(tmp_path: Path, seed: int):
    need("fashion-mnist")
    assert accuracy("fashion-fast.toml", tmp_path, "--seed", str(seed)) >= 0.8744


def test_a_small_modern_network_on_fashion_mnist(tmp_path: Path):
    need("fashion-mnist")
    assert accuracy("fashion-small.toml", tmp_path) >= 0.93


def test_lenet_on_mnist(tmp_path: Path):
    need("mnist")
    assert accuracy("mnist-lenet.toml", tmp_path) >= 0.99


def test_class_folders_of_real_pictures(tmp_path: Path):
    """CIFAR-10 as 60,000 JPEG files, one epoch of a tenth of them: the way from files to a report."""
    archive = Path(os.environ.get("LENSMITH_DATA", "")) / "cifar10-jpeg.tar"
    if not archive.is_file():
        pytest.skip("needs cifar10-jpeg.tar in LENSMITH_DATA")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "cifar10", filter="data")
    found = accuracy("cifar10-folders.toml", tmp_path / "runs", f"data.path={tmp_path / 'cifar10'}", "--epochs", "2",
                     "loading.fraction=0.2")
    assert found > 0.25    # guessing gives 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_probe_of_imagenet_weights(tmp_path: Path, seed: int):
    table = f"data.path={shared('pets3/labels.csv')}"
    assert accuracy("pets3-probe.toml", tmp_path, table, begun(), "--seed", str(seed)) >= 0.96


def test_imagenet_weights_fine_tuned(tmp_path: Path):
    table = f"data.path={shared('pets3/labels.csv')}"
    found = [accuracy("pets3-breeds.toml", tmp_path, table, begun(), "--seed", str(seed)) for seed in range(3)]
    assert sum(found) / len(found) >= 0.97


def test_the_outlines_of_pets(tmp_path: Path):
    scores("pets3-outline.toml", tmp_path, f"data.path={shared('pets3')}", begun(), "--name", "pets")
    found = json.loads((tmp_path / "pets" / "metrics.json").read_text())["test"]
    assert {one["class"]: one["IoU"] for one in found["details"]["per_class"]}["pet"] >= 0.92


def test_four_tasks_on_one_network(tmp_path: Path):
    """A few epochs at a small size: every part of the loss falls, and the test pictures are measured by each."""
    found = scores("pets3-tasks.toml", tmp_path, f"data.path={shared('pets3/labels.csv')}", begun(), "--size", "128",
                   "--epochs", "4", "--name", "one")
    assert {"species/accuracy_top1", "breed/accuracy_top1", "head/mAP50", "outline/mIoU"} <= set(found)
    with open(tmp_path / "one" / "history.csv", newline="") as file:
        first, *_, last = csv.DictReader(file)
    for part in ("species", "breed", "head", "outline"):
        losses = [sum(float(row[name]) for name in row if re.fullmatch(rf"train/{part}(/.*)?", name))
                  for row in (first, last)]
        assert losses[1] < 0.8 * losses[0], part
