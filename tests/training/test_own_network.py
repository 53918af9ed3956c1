"""How a training meets a network of the user's own: told before the first step, with the line and the mend."""

import sys
from pathlib import Path

import pytest
from torch import nn

import lensmith
from lensmith.base.errors import ModelError

NET = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(32 * 7 * 7, outputs)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv(x)))
        return self.fc(x.flatten(1))


class View(Net):
    def forward(self, x):
        x = self.pool(torch.relu(self.conv(x)))
        x = x.view(-1, 32 * 7 * 7)
        return self.fc(x)


class Soft(Net):
    def forward(self, x):
        x = self.pool(self.pool(torch.relu(self.conv(x))))
        return torch.softmax(self.fc(x.flatten(1)), 1)


class Trunk(nn.Module):
    channels, strides = (8,), (2,)

    def __init__(self, scores: int = 2, features: int = 8):
        super().__init__()
        self.conv, self.scores, self.features = nn.Conv2d(3, 8, 3, 2, 1), scores, features

    def forward(self, x):
        return [self.conv(x)]

    def classifier(self, outputs):
        return Head(self.features, self.scores)


class Head(nn.Module):
    def __init__(self, features, scores):
        super().__init__()
        self.fc = nn.Linear(features, scores)

    def forward(self, maps):
        return self.fc(maps[-1].mean((2, 3)))


class Needs(nn.Module):
    def __init__(self, width: int, depth: int, outputs):
        super().__init__()


class Groups(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3, groups=2)
"""


@pytest.fixture
def train(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`lensmith train` on drawn pictures of 28 pixels with a network of my_net.py, which lies in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(NET)
    yield lambda name, *settings: command("train", "shapes", "data.count=30", "data.size=28", "--backbone",
                                          f"my_net.py:{name}", "--epochs", 1, *settings)
    sys.modules.pop("lensmith_outside_my_net", None)


@pytest.mark.parametrize(("name", "words"), [
    ("Net", "my_net.py:14: fc expects 1568 features and gets 6272 = 32 x 14 x 14: 28 is halved once. Set "
            "in_features=6272, or pool twice. `lensmith inspect my_net.py:Net --size 28 --channels 3` shows every "
            "layer up to there"),
    ("View", "my_net.py:20: view(-1, 1568) makes 4 rows of one picture, since a picture has 6272 = 32 x 14 x 14: 28 is "
             "halved once. Write x.flatten(1), and set in_features=6272 of fc, or pool twice. `lensmith inspect "
             "my_net.py:View --size 28 --channels 3` shows every layer up to there"),
    ("Groups", "my_net.py:61: Conv2d has in_channels=3 and groups=2, which leaves 1 over. 3 channels can have 1 or 3 "
               "groups."),
    ("Needs", "backbone 'my_net.py:Needs' needs the settings 'width', 'depth': give them as backbone.width=... "
              "backbone.depth=...")])
def test_a_network_that_cannot_learn_from_these_pictures_ends_the_command(train, name, words) -> None:
    ended = train(name)
    assert ended.err.splitlines()[-1] == f"lensmith: {words}" and ended.code in (2, 4)
    assert not Path("runs").exists()


def test_a_head_for_fewer_classes_and_one_that_does_not_fit_its_trunk(train) -> None:
    assert train("Trunk").err.splitlines()[-1] == (
        f"lensmith: there are 3 classes, so that labels go from 0 to 2, and the head of {Path('my_net.py').absolute()}:"
        "Trunk gives 2 scores a picture: let classifier(outputs) give as many as it is asked for")
    ended = train("Trunk", "backbone.scores=3", "backbone.features=9")
    assert ended.err.splitlines()[-1] == (
        "lensmith: my_net.py:50: head.fc expects 9 features and gets 8. Set in_features=8. `lensmith inspect "
        "my_net.py:Trunk --size 28 --channels 3 scores=3 features=9` shows every layer up to there")
    assert train("Trunk", "backbone.scores=3").code == 0


def test_what_keeps_it_from_learning_is_told_and_it_trains(train) -> None:
    ended = train("Soft")
    assert ended.code == 0
    assert ("my_net.py:27: softmax(1) ends the network with a softmax, and cross entropy takes one of its own: "
            "gradients become small and training stalls. Return the scores before it.") in ended.err.splitlines()


def test_a_module_from_python_is_told_its_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(300, 3)

        def forward(self, pictures):
            return self.fc(pictures.flatten(1))

    with pytest.raises(ModelError, match=r"test_own_network.py:\d+: fc expects 300 features and gets 1200 = 3 x 20 x "
                                          "20: 20 is halved nowhere. Set in_features=1200, or show it other pictures: "
                                         "--size 10 --channels 3.$"):
        lensmith.train("shapes", backbone=Wrong(), runs=tmp_path, settings={"data.count": 30, "data.size": 20})
