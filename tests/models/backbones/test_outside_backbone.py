"""What one touches to add a backbone, shown by one that is added from outside.

A file in `models/backbones/` with a function, whose keyword parameters are its settings beside `inputs` and `size`, and
a line in `BACKBONES`. Nothing else is touched: it is listed, its settings are checked and written out, it is trained,
inspected, predicted with, and its run folder goes on.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.backbone import Backbone
from lensmith.models.backbones import BACKBONES


class Quarters(Backbone):
    """One convolution to a quarter of the edges."""

    def __init__(self, width: int, inputs: int):
        super().__init__()
        self.channels, self.strides = (width,), (4,)
        self.convolution = nn.Conv2d(inputs, width, 4, stride=4)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [self.convolution(pictures).relu()]


def quarters(*, width: int = 8, inputs: int, size: tuple[int, int]) -> Quarters:
    if min(size) < 4:
        raise ModelError(f"quarters cannot take pictures of {size[0]} x {size[1]} pixels: from 4 x 4 on it can")
    return Quarters(width, inputs)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "quarters", quarters)


def test_a_backbone_from_outside_is_listed_inspected_and_its_settings_are_checked(command: Any) -> None:
    assert "quarters" in command("list", "backbones").out
    assert "8 x 7 x 7" in command("inspect", "quarters", "--size", "28").out.replace("×", "x")
    assert tomllib.loads(command("train", "shapes", "--backbone", "quarters", "--dry-run").out)["backbone"] == {
        "name": "quarters", "width": 8}
    wrong = command("train", "shapes", "--backbone", "quarters", "backbone.widht=4", "--dry-run")
    assert wrong.code == 2 and "backbone 'quarters' has no setting 'widht'. Did you mean 'width'?" in wrong.err


def test_a_backbone_from_outside_is_trained_predicted_with_and_goes_on(command: Any, tmp_path: Path,
                                                                       photos: Path) -> None:
    ended = command("train", photos, "--backbone", "quarters", "backbone.width=4", "--epochs", "2", "--plan", "exact",
                    "--runs", tmp_path / "runs", "--json", "--quiet")
    assert ended.code == 0, ended.err
    run = Path(json.loads(ended.out)["run"])
    assert json.loads((run / "run.json").read_text())["parameters"] == 4 * 3 * 16 + 4 + 3 * 4 + 3
    assert command("predict", run, next(photos.rglob("*.png"))).code == 0
    assert command("train", "--resume", run, "--quiet").code == 0
