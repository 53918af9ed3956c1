"""Small real sets, trainings in this process, and the check that a fault is among the first two that are named."""

import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from lensmith.engine.run_folder import Run
from lensmith.study.doctor import diagnose
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import facts_of
from tests.conftest import Command

RECIPES = Path(__file__).parents[3] / "recipes"
DATA = Path(os.environ.get("LENSMITH_DATA", "/nowhere"))
FASHION = Path("/usr/share/datasets/fashion-mnist")
CSP = ["--backbone", "csp", "backbone.width=8"]
PLAIN = ["--backbone", "stack", 'backbone.layers=[{conv = 16, kernel = 3}, "batchnorm", "relu", {maxpool = 2}, '
         '{conv = 32, kernel = 3}, "batchnorm", "relu", {globalpool = "mean"}]']
COMMON = ["--plan", "exact", "plan.threads=1", "-q", "--trust"]
_IMPORTS = 2.5    # seconds of the processor that the imports of a command take
_EDGE = 72    # pixels of the shorter side to which pets are brought once, since each training decodes them

Trained = Callable[..., Path]


def needed(path: Path) -> Path:
    """The path, or a test that is skipped."""
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return path


def found_in(folder: Path) -> list[Diagnosis]:
    """What the doctor finds in a run."""
    return diagnose(facts_of(Run(folder)))


def check_named(folder: Path, fault: str) -> Diagnosis:
    """The diagnosis of this name, which has to be the first or the second."""
    found = found_in(folder)
    assert fault in [each.fault for each in found[:2]], "\n".join(each.sentence() for each in found) or "nothing"
    return next(each for each in found if each.fault == fault)


def own(place: Path, network: str) -> list[str]:
    """The arguments that name a network of broken_networks.py, in a file of the user's own."""
    copy = place / "my_net.py"
    shutil.copy(Path(__file__).with_name("broken_networks.py"), copy)
    return ["--backbone", f"{copy}:{network}"]


def drawn(count: int = 1200, size: int = 24) -> list[str]:
    """The arguments that name a set of drawn shapes."""
    return ["shapes", f"data.count={count}", f"data.size={size}"]


def fashion(fraction: float = 0.03) -> list[str]:
    """The arguments that name a part of Fashion-MNIST."""
    needed(FASHION)
    return ["fashion-mnist", f"loading.fraction={fraction}", "split.valid=0.02"]


@pytest.fixture
def trained(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Run `lensmith train` with these arguments; -> the run folder. Of networks that cannot learn the loss may become
    infinite, which ends their training, so that how it ends is not looked at."""

    def run(*arguments: str, name: str = "run") -> Path:
        began = time.process_time() - _IMPORTS    # a network is looked at as often as in a process of its own
        monkeypatch.setattr("lensmith.engine.vitals.time", SimpleNamespace(
            process_time=lambda: time.process_time() - began))
        ended = command("train", *arguments, *COMMON, "--runs", tmp_path, "--name", name)
        assert (tmp_path / name / "recipe.toml").exists(), ended.err
        return tmp_path / name

    return run


@pytest.fixture(scope="session")
def pets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos of pets3 as class folders, small."""
    table = needed(DATA / "pets3" / "labels.csv").read_text().splitlines()
    folder = tmp_path_factory.mktemp("pets")
    for line in table[1:]:
        name, breed = line.split(",")[:2]
        (folder / breed).mkdir(exist_ok=True)
        with Image.open(DATA / "pets3" / "images" / f"{name}.jpg") as picture:
            picture.draft("RGB", (2 * _EDGE, 2 * _EDGE))
            ratio = _EDGE / min(picture.size)
            size = (round(picture.width * ratio), round(picture.height * ratio))
            picture.convert("RGB").resize(size, Image.Resampling.BOX).save(folder / breed / f"{name}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def cifar_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 100 training pictures of each class of CIFAR-10."""
    folder = tmp_path_factory.mktemp("cifar")
    counts: dict[str, int] = {}
    with tarfile.open(needed(DATA / "cifar10-jpeg.tar")) as archive:
        for member in archive:
            part = Path(member.name).parts
            if "train" not in part or not member.isfile() or counts.get(part[-2], 0) >= 100:
                continue
            content = archive.extractfile(member)
            assert content is not None
            (folder / part[-2]).mkdir(exist_ok=True)
            (folder / part[-2] / part[-1]).write_bytes(content.read())
            counts[part[-2]] = counts.get(part[-2], 0) + 1
            if len(counts) == 10 and min(counts.values()) == 100:
                break
    return folder


@pytest.fixture
def arguments_of(request: pytest.FixtureRequest) -> Callable[[str], list[str]]:
    """The arguments that name a set: thresholds were set on fashion and cifar, and are judged on pets and drawn."""

    def find(name: str) -> list[str]:
        if name in ("pets", "cifar"):
            return [str(request.getfixturevalue(f"{name}_folder")), "--size", "64" if name == "pets" else "32"]
        return fashion() if name == "fashion" else drawn()

    return find
