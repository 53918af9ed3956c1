"""A task from outside: what one touches to add one.

A class with the members of `lensmith.tasks.task.Task`, in a file of its own in `lensmith/tasks/`, and a line in
`lensmith/tasks/__init__.py` are all, where it reads a kind of target that there is. It brings its head (the backbone's
own, or a module in `lensmith/models/heads/`), its loss, its defaults (`usual`) and what it refuses (`forbids`).
Training, the recipe, prediction and the report ask it. `TASKS` is all that the tests below change.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.tasks import TASKS
from lensmith.tasks.metrics.labels import LabelMetrics
from lensmith.tasks.task import Task
from lensmith.tasks.usual_settings import Known, Usual
from lensmith.values.labels import Label
from lensmith.values.value import Value


class Brightness:
    """Whether a picture is the first of two classes or the second. The output is [batch, 1], before the sigmoid."""

    needs: tuple[str, ...] = ("label",)
    score: str = "accuracy_top1"
    on_last_map = True
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ()
    overlap: float | None = None
    window: list[int] | None = None
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, steepness: float = 1.0):
        if len(classes) != 2:
            raise UserError(f"task 'brightness' tells two classes apart; these are {', '.join(classes)}")
        self.classes, self.steepness = classes, steepness

    def head(self, backbone: Backbone) -> nn.Module:
        return backbone.numbers(1)

    def loss(self, output: Tensor, targets: dict[str, Value]) -> dict[str, Tensor]:
        truth = targets["label"]
        assert isinstance(truth, Label)
        return {"label": F.binary_cross_entropy_with_logits(self.steepness * output[:, 0], truth.index.float())}

    def decode(self, output: Tensor) -> dict[str, Value]:
        second = (self.steepness * output[:, 0]).sigmoid()
        return {"label": Label((second >= 0.5).long(), torch.stack((1 - second, second), 1))}

    def evidence(self, output: Tensor, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        return output[:, 0] if index else -output[:, 0]

    def class_logits(self, output: Tensor) -> dict[str, Tensor]:
        return {}

    def metrics(self) -> LabelMetrics:
        return LabelMetrics(self.classes)

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        return copy(self)

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return [(network, 1)]

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return ["augment.contrast moves bright and dark towards each other"] if augment.get("contrast") else []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        return Usual("lenet3x3" if max(known.form.size) < 64 else "cnn3", epochs=4, batch=8, rate=5e-3, average=0.5,
                     augment={"flip": True})

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        if augment["brightness"]:
            raise UserError(f"augment.brightness={augment['brightness']:g} changes what task {section['name']!r} is "
                            "asked: leave it out")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "brightness", Brightness)


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Class folders of 48 pictures, `dark` ones and `lit` ones."""
    drawn = np.random.default_rng(0)
    for name, mean in (("dark", 60), ("lit", 190)):
        folder = tmp_path / "rooms" / name
        folder.mkdir(parents=True)
        for number in range(24):
            pixels = drawn.integers(mean - 50, mean + 50, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "rooms"


def test_its_defaults_stand_in_the_recipe_and_its_refusal_is_told(rooms: Path, command) -> None:
    ended = command("train", rooms, "--task", "brightness", "--dry-run")
    assert ended.code == 0, ended.err
    for line in ('name = "brightness"', "steepness = 1.0", 'name = "lenet3x3"', "epochs = 4", "batch = 8",
                 "rate = 0.005", "average = 0.5", "flip = true"):
        assert line in ended.out.splitlines(), line
    assert "epochs = 2" in command("train", rooms, "--task", "brightness", "--epochs", "2", "--dry-run").out
    assert 'name = "classification"' in command("train", rooms, "--dry-run").out    # it is taken where it is named
    refused = command("train", rooms, "--task", "brightness", "augment.brightness=0.3", "--dry-run")
    assert refused.code == 2
    assert refused.err.endswith("augment.brightness=0.3 changes what task 'brightness' is asked: leave it out\n")
    assert "Did you mean 'steepness'?" in command("train", rooms, "--task", "brightness", "task.stepness=2.0").err


def test_it_is_trained_reported_and_predicts(rooms: Path, tmp_path: Path, command) -> None:
    ended = command("train", rooms, "--task", "brightness", "augment.contrast=0.1", "--device", "cpu", "--plan",
                    "exact", "--name", "one", "--runs", tmp_path / "runs")
    assert ended.code == 0, ended.err
    run = tmp_path / "runs" / "one"
    assert "accuracy_top1 1.0000" in ended.out
    page = (run / "report.html").read_text()
    assert "dark" in page and "lit" in page and "augment.contrast moves bright and dark" in page + ended.err + ended.out
    picture = rooms / "lit" / "3.png"
    told = command("predict", run, picture)
    assert told.code == 0 and "lit" in told.out, told
    assert command("val", run).out.splitlines()[0].startswith("test  accuracy_top1 1.0000")
