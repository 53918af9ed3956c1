"""Thirty trainings over all tasks and recipes that learn as they should, which are told nothing grave."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.study.doctor.conftest import CSP, DATA, PLAIN, RECIPES, Trained, drawn, fashion, found_in, needed, own

pytestmark = pytest.mark.slow

WEIGHTS = ["--weights", str(DATA / "weights" / "tf_efficientnet_lite0_fp16.safetensors")]
TABLE = ["data.target=breed", "data.pictures=images/{name}.jpg", "data.split=false"]


def digits(*more: str) -> list[str]:
    needed(DATA / "mnist")
    return ["mnist", "loading.fraction=0.03", "--epochs", "3", *more]


def pets() -> list[str]:
    return [str(needed(DATA / "pets3" / "labels.csv")), *TABLE, "--size", "64"]


def photos(recipe: str, *more: str, file: str = "") -> list[str]:
    """A recipe of pets3, made small, with the weights that its first line names."""
    return [str(RECIPES / f"{recipe}.toml"), f"data.path={needed(DATA / 'pets3') / file}", *WEIGHTS, *more]


HEALTHY: dict[str, Callable[[Path], list[str]]] = {
    "shapes-lenet": lambda place: [str(RECIPES / "shapes-lenet.toml"), "data.count=1800"],
    "fashion-lenet": lambda place: [str(RECIPES / "fashion-lenet.toml"), *fashion(0.15)[1:]],
    "fashion-fast": lambda place: [str(RECIPES / "fashion-fast.toml"), *fashion(0.15)[1:]],
    "fashion-small": lambda place: [str(RECIPES / "fashion-small.toml"), *fashion(0.02)[1:], "--epochs", "2",
                                    "--rate", "0.02"],    # since 0.2 is for 14 epochs of all pictures
    "mnist-lenet": lambda place: [str(RECIPES / "mnist-lenet.toml"), *digits()[1:]],
    "mnist by default": lambda place: digits(),
    "fashion, sgd": lambda place: [*fashion(), "--backbone", "lenet", "--optimizer", "sgd", "--epochs", "4"],
    "fashion, muon": lambda place: [*fashion(), *PLAIN, "--optimizer", "muon", "--epochs", "4"],
    "fashion, own network": lambda place: [*fashion(), *own(place, "Whole"), "--epochs", "4"],
    "fashion, mixed pictures": lambda place: [*fashion(), "--backbone", "lenet", "--epochs", "4", "augment.mixup=0.4",
                                              "task.smoothing=0.1"],
    "pets from nothing": lambda place: [*pets(), "--scratch", "--epochs", "5"],
    "pets, own network": lambda place: [*pets(), *own(place, "Whole"), "--epochs", "10"],
    "pets, a probe": lambda place: [*pets(), "--probe", "--backbone", "efficientnet_lite0", "--weights", "imagenet"],
    "pets by default": lambda place: [*pets(), "--epochs", "2"],
    "drawn by default": lambda place: [*drawn(), "--epochs", "5"],
    "tags": lambda place: [*drawn(600), "--task", "tagging", "--backbone", "lenet", "--epochs", "5"],
    "numbers": lambda place: [*drawn(600), "--task", "regression", "--backbone", "lenet", "--epochs", "5"],
    "detection": lambda place: [*drawn(180, 48), "--task", "detection", *CSP, "--epochs", "8"],
    "yolov3": lambda place: [*drawn(180, 48), "--task", "yolov3", *CSP, "--epochs", "8"],
    "segmentation": lambda place: [*drawn(180, 32), "--task", "segmentation", *CSP, "--epochs", "6", "--batch", "16"],
    "instances": lambda place: [*drawn(120, 48), "--task", "instances", *CSP, "--epochs", "4"],
    "multitask": lambda place: [*drawn(300, 24), "--task", "multitask", 'task.parts=["label", "mask"]', *CSP,
                                "--epochs", "6", "--batch", "16"],
    "pets3-breeds": lambda place: photos("pets3-breeds", "--size", "96", file="labels.csv"),
    "pets3-probe": lambda place: photos("pets3-probe", "--size", "96", file="labels.csv"),
    "pets3-outline": lambda place: photos("pets3-outline", "--size", "64", "--epochs", "2"),
    "pets3-tasks": lambda place: photos("pets3-tasks", "--size", "64", "--epochs", "2", file="labels.csv"),
    "pets3-heads": lambda place: photos("pets3-heads", "--size", "96", "--epochs", "3"),
    "coco128-masks": lambda place: [
        str(RECIPES / "coco128-masks.toml"), *WEIGHTS, "--size", "64", "--epochs", "2",
        f"data.path={needed(DATA / 'coco128' / 'semantic_segmentation' / 'config.yaml')}"]}
OF_CIFAR = {"cifar-fast": ["loading.batch=100", "--epochs", "2"], "cifar10-folders": ["--epochs", "3"]}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_told_nothing_grave(tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch,
                                             name: str):
    monkeypatch.setattr("lensmith.tasks.usual_settings._FEW", 10_000)    # the defaults as users have them
    check_not_grave(trained(*HEALTHY[name](tmp_path)))


@pytest.mark.parametrize("name", OF_CIFAR)
def test_a_recipe_of_cifar_is_told_nothing_grave(trained: Trained, cifar_folder: Path, name: str):
    check_not_grave(trained(str(RECIPES / f"{name}.toml"), f"data.path={cifar_folder}", *OF_CIFAR[name]))


def check_not_grave(run: Path) -> None:
    grave = [each.sentence() for each in found_in(run) if each.grave]
    assert not grave, "\n".join(grave)
