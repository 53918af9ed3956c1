"""A new augmentation is one dataclass and one line of the table: from the command line to the pictures."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.data.batches.augment import AUGMENTATIONS, Augment
from lensmith.data.batches.augment.augmentation import check_within
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import stream_of
from lensmith.data.sources.sample import Batch
from tests.conftest import Command

BATCHES: list[int] = []    # the samples of each batch that Invert was applied to


@dataclass(frozen=True, kw_only=True)
class Invert:
    """Shows some pictures as their negative."""

    invert: float = 0.0    # fraction of the pictures

    def check(self) -> None:
        check_within("invert", self.invert, 0, 1)

    def apply(self, changes: Changes) -> None:
        BATCHES.append(len(changes.batch))
        chosen = (changes.uniform(stream_of("invert")) < self.invert).view(-1, 1, 1, 1).to(changes.device)
        largest = changes.largest

        def change(values: Tensor, rows: slice) -> Tensor:
            return torch.where(chosen[rows], largest - values, values)

        changes.pixels.append(change)


@pytest.fixture(autouse=True)
def with_invert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AUGMENTATIONS, "invert", Invert)
    BATCHES.clear()


def test_its_setting_is_accepted_checked_and_written_out(command: Command):
    for given, wanted in ((("augment.invert=0.5",), 0.5), (("augment.flip=true",), 0.0)):
        ended = command("train", "shapes", *given, "--dry-run")
        assert ended.code == 0, ended.err
        section = tomllib.loads(ended.out)["augment"]
        assert section["invert"] == wanted and list(section)[-1] == "invert"
    ended = command("train", "shapes", "augment.invert=often", "--dry-run")
    assert ended.code == 2 and "section [augment]: invert must be a number; got 'often'" in ended.err
    with pytest.raises(UserError, match=r"augment.invert must lie between 0 and 1; got 1.5"):
        Augment(invert=1.5)
    with pytest.raises(UserError, match=r"there is no augment.invrt. Did you mean 'invert'\? Known: crop_padding, "):
        Augment(invrt=0.5)


def test_it_is_applied_to_the_pictures_that_its_own_stream_chooses():
    images = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    batch = Batch(images, {}, (), torch.arange(200))
    shown = Augment(invert=0.5, seed=3)(batch, 0).images
    inverted = (shown == 255 - images).flatten(1).all(1)
    assert 70 < int(inverted.sum()) < 130 and torch.equal(shown[~inverted], images[~inverted])
    brighter = Augment(invert=0.5, brightness=0.4, seed=3)(batch, 0).images    # the others draw what they drew
    plain = Augment(brightness=0.4, seed=3)(batch, 0).images
    assert torch.equal(brighter[~inverted], plain[~inverted])
    assert (brighter[inverted].float() - (255 - plain[inverted].float())).abs().max() <= 1    # rounded once, not twice


def test_a_training_takes_it(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    ended = command("train", "shapes", "--name", "inverted", "augment.invert=0.5", "data.count=60", "data.size=16",
                    "learner.epochs=1", "--backbone", "lenet", "--plan", "exact", "--device", "cpu")
    assert ended.code == 0, ended.err
    assert sum(BATCHES) >= 40
    recipe = tomllib.loads((tmp_path / "runs" / "inverted" / "recipe.toml").read_text())
    assert recipe["augment"]["invert"] == 0.5
