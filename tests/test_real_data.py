"""The recipes on real data reach what their first lines say: minutes each, so all of it is in the slow tier."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lensmith.base.errors import DataError
from lensmith.data import DATASETS

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def need(name: str) -> None:
    try:
        DATASETS[name]()
    except DataError as error:
        pytest.skip(f"needs {name}: {error}")


def accuracy(recipe: str, runs: Path, *settings: str) -> float:
    done = subprocess.run([sys.executable, "-m", "lensmith", "train", str(ROOT / "recipes" / recipe), *settings,
                           "--runs", str(runs), "--json", "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: float = json.loads(done.stdout)["test"]["accuracy_top1"]
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
    assert found > 0.35
