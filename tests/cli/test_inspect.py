"""The verb `inspect` as a user types it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NET = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width: int = 32):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(32 * 7 * 7, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv(x)))
        return self.fc(self.pool(x).flatten(1))


class Wrong(Net):
    def forward(self, x):
        x = self.pool(torch.relu(self.conv(x)))
        return self.fc(x.view(-1, 32 * 7 * 7))


class Vector(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(25, 5)

    def forward(self, x):
        return self.fc(x)


class Needs(nn.Module):
    def __init__(self, width, depth: int):
        super().__init__()


net = Net()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with my_net.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(NET)
    yield tmp_path
    sys.modules.pop("lensmith_outside_my_net", None)


def test_inspect_shows_layers_and_sums(command, trained: Path):
    ended = command("inspect", "lenet", "--size", 28, "--channels", 1)
    assert ended.code == 0
    assert "16 x 4 x 4" in ended.out and "44,426 parameters" in ended.out
    found = json.loads(command("summary", "lenet", "activation=tanh", "--size", 32, "--json").out)
    assert any(layer["kind"] == "Tanh" for layer in found["layers"])
    assert command("inspect", trained).code == 0


def test_a_network_of_ones_own_is_shown_with_its_lines(command, here: Path) -> None:
    ended = command("inspect", "my_net.py:Net", "--size", 28, "--channels", 1, "--time")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "params", "mul-adds", "memory", "kept", "field", "time",
                                "line"]
    assert lines[1].split()[:10] == ["conv", "Conv2d", "32", "x", "28", "x", "28", "320", "226k", "100kB"]
    assert [line.split()[-1] for line in lines[1:7]] == ["13", "13", "13", "14", "14", "14"]
    assert "ms a picture on this machine" in lines[-1]
    assert command("inspect", "my_net.py:net", "--size", 28, "--channels", 1).code == 0


def test_a_wrong_one_is_shown_up_to_the_line_and_ends_the_command(command, here: Path) -> None:
    ended = command("inspect", "my_net.py:Wrong", "--size", 28, "--channels", 1)
    assert ended.code == 4 and "4 x 1568" in ended.out
    assert ended.err == ("lensmith: my_net.py:20: view(-1, 1568) makes 4 rows of one picture, since a picture has "
                         "6272 = 32 x 14 x 14: 28 is halved once. Write x.flatten(1), and set in_features=6272 of fc, "
                         "or pool twice.\n")
    ended = command("inspect", "my_net.py:Net", "--size", "28x20", "--channels", 1)
    assert ended.code == 4 and ended.out.splitlines()[-2].split()[2] == "fails"
    assert ("fc expects 1568 features and gets 1120 = 32 x 7 x 5: 28 x 20 is halved twice. Set in_features=1120, or "
            "take pictures of 28 x 28 pixels (--size 28)." in ended.err)


def test_json_is_complete(command, here: Path) -> None:
    ended = command("inspect", "my_net.py:Wrong", "--size", 28, "--channels", 1, "--json", "--time")
    found = json.loads(ended.out)
    assert set(found) == {"layers", "parameters", "multiply_adds", "activation_bytes", "kept_bytes", "seconds",
                          "problem", "faults"}
    assert found["layers"][0] == {
        "name": "conv", "kind": "Conv2d", "shape": [32, 28, 28], "parameters": 320, "multiply_adds": 225_792,
        "activation_bytes": 100_352, "receptive_field": 3, "kept_bytes": 3_136, "share": found["layers"][0]["share"],
        "line": "my_net.py:19", "problem": ""}
    fault = found["faults"][0]
    assert (fault["name"], fault["line"], fault["grave"]) == ("pictures mixed with each other", "my_net.py:20", True)
    assert found["problem"].startswith("my_net.py:20: view(-1, 1568)")


def test_a_vector_in_the_place_of_a_picture(command, here: Path) -> None:
    ended = command("inspect", "my_net.py:Vector", "--vector", 25)
    assert ended.code == 0 and "130 parameters" in ended.out
    ended = command("inspect", "my_net.py:Vector", "--size", 25, "--channels", 1)
    assert ended.code == 4 and "fc gets a map of 1 x 25 x 25 and works along its 25 columns." in ended.err
    assert command("inspect", "my_net.py:Vector", "--vector", 25, "--size", 9).err == (
        "lensmith: --vector 25 shows the network a vector in the place of a picture: leave --size and --channels out, "
        "or --vector\n")
    assert command("inspect", "lenet", "--vector", 25).err == (
        "lensmith: lenet takes pictures: --vector is for a network of your own, as my_net.py:Net\n")


def test_a_recipe_is_shown_for_its_data_and_without_them_for_the_form_it_names(command, here: Path) -> None:
    recipe = here / "drawn.toml"
    recipe.write_text('[data]\nname = "shapes"\ncount = 30\nsize = 20\n[backbone]\nname = "lenet"\n')
    found = json.loads(command("inspect", recipe, "--json").out)
    assert found["layers"][0]["shape"] == [6, 16, 16] and found["layers"][-1]["shape"] == [3]
    recipe.write_text('[data]\nname = "folder"\npath = "absent"\n[backbone]\nname = "lenet"\nactivation = "tanh"\n'
                      "[pictures]\nsize = 28\nchannels = 1\n")
    ended = command("inspect", "drawn.toml")
    assert ended.code == 0 and "Tanh" in ended.out and "6 x 24 x 24" in ended.out
    assert ended.out.splitlines()[-1] == (
        "note: the data of drawn.toml are not here, so that its network is shown a picture of 1 x 28 x 28: --size, "
        "--channels and --classes say otherwise.")
    recipe.write_text('[data]\nname = "folder"\npath = "absent"\n')
    assert "drawn.toml names no network, and its data, which decide which one is usual, are not here" in \
        command("inspect", "drawn.toml").err


@pytest.mark.parametrize(("arguments", "text"), [
    (["my_net.py:Needs"], "backbone 'my_net.py:Needs' needs the settings 'width', 'depth': give them as "
                          "backbone.width=... backbone.depth=..."),
    (["my_net.py"], "my_net.py is a file: say which network of it is meant, as my_net.py:Needs. It defines Net, Wrong, "
                    "Vector, Needs"),
    (["empty.py"], "empty.py defines no network: no class of torch.nn.Module and no function that gives one. The name "
                   "of a network of yours is FILE.py:CLASS"),
    (["empty.py:Net"], "empty.py has no 'Net'. It has: no class or function."),
    (["lenet", "--size", "12x"], "--size takes the edge of a square picture, as 224, or height x width, as 240x320; "
                                 "got '12x'"),
    (["lenet", "--size", "0"], "--size takes the edge of a square picture, as 224, or height x width, as 240x320; got "
                               "'0'")])
def test_mistakes_get_one_line(command, here: Path, arguments, text) -> None:
    (here / "empty.py").write_text("WIDTH = 3\n")
    ended = command("inspect", *arguments)
    assert ended.err == f"lensmith: {text}\n" and ended.code in (2, 4)


def test_long_names_and_numbers_fit_a_terminal(command) -> None:
    ended = command("inspect", "mobilenet_v3_small", "--size", 64)
    assert ended.code == 0 and max(len(line) for line in ended.out.splitlines()[:-1]) <= 100
