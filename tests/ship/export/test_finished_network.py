"""A finished network of anybody's becomes a run without training, and answers as it did elsewhere."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lensmith
from lensmith.base.errors import UserError
from lensmith.ship.export.finished_network import preprocessing

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).mean((2, 3)))
"""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SEEN = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--size", "32"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """my_net.py, weights.th as a training elsewhere saved them, names.txt and a picture."""
    (tmp_path / "my_net.py").write_text(CODE)
    space: dict = {}
    exec(CODE, space)
    torch.manual_seed(3)
    net = space["Net"]()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in net.state_dict().items()
                               if "num_batches_tracked" not in name}, "best_prec1": 91.5}, tmp_path / "weights.th")
    torch.save(nn.Linear(2, 3), tmp_path / "whole.th")
    (tmp_path / "names.txt").write_text("cat\ndog\n\nship\n")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def elsewhere(folder: Path) -> torch.Tensor:
    """What the network says of the picture in plain PyTorch, [classes]."""
    space: dict = {}
    exec(CODE, space)
    net = space["Net"]()
    state = torch.load(folder / "weights.th", weights_only=True)["state_dict"]
    net.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()}, strict=False)
    pixels = torch.from_numpy(np.array(Image.open(folder / "photo.png"))).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    with torch.no_grad():
        return net.eval()((pixels - mean) / std).softmax(1)[0]


def test_it_is_a_run_that_answers_as_elsewhere(files, command):
    ended = command("convert", "my_net.py:Net", "weights.th", "runs/net", "--classes", "names.txt", *SEEN)
    assert ended.code == 0 and "classes 3" in ended.out and "size 32 x 32" in ended.out, ended.err
    trained = lensmith.load("runs/net", trust=True)
    label = trained.predict("photo.png")[0].values["label"]
    assert trained.names == {"label": ("cat", "dog", "ship")}
    assert torch.allclose(label.scores.reshape(-1), elsewhere(files), atol=1e-5)
    shutil.copy("runs/net/best.safetensors", "net.safetensors")    # and is one file, beside its code
    assert command("predict", "net.safetensors", "photo.png", "--trust", "--json").out == \
        command("predict", "runs/net", "photo.png", "--trust", "--json").out
    command("predict", "runs/net", "photo.png").refused("would run the code of", code=4)


@pytest.mark.parametrize(("words", "code", "texts"), [
    (["my_net.py:Net", "weights.th", "r"], 2, ["--classes and --mean and --std and --size are missing",
                                               "0,0,0 and 1,1,1 where pictures were divided by 255"]),
    (["my_net.py:Net", "weights.th", "r", "--classes", "none.txt", *SEEN], 3, ["the class names none.txt cannot be"]),
    (["my_net.py:Net", "none.th", "r", "--classes", "names.txt", *SEEN], 4, ["no weights file none.th"]),
    (["my_net.py:Nut", "weights.th", "r", "--classes", "names.txt", *SEEN], 4, ["has no 'Nut'. Did you mean 'Net'?"]),
    (["my_net.py:Net", "whole.th", "r", "--classes", "names.txt", *SEEN], 4, [
        "whole.th is refused: it is a pickle that asks for more than tensors", "safetensors.torch.save_file("
        'net.state_dict(), "whole.safetensors")` save what is safe', "lensmith convert my_net.py:Net"]),
    (["imagenet", "r", "--size", "32"], 2, ["got --size with imagenet r"])])
def test_what_is_missing_or_wrong_is_one_line(files, command, words, code, texts):
    command("convert", *words).refused(*texts, code=code)
    assert not (files / "r").exists()


def test_names_and_outputs_have_to_be_as_many(files, command):
    (files / "names.txt").write_text("cat\ndog\n")
    command("convert", "my_net.py:Net", "weights.th", "r", "--classes", "names.txt", *SEEN).refused(
        "names.txt has 2 classes, and my_net.py:Net gives another number of scores a picture", code=4)
    (files / "names.txt").write_text("cat\ncat\ndog\n")
    command("convert", "my_net.py:Net", "weights.th", "r", "--classes", "names.txt", *SEEN).refused(
        "names.txt names 'cat' twice", code=3)


def test_weights_of_another_network_are_refused(files, command):
    torch.save({"fc.weight": torch.zeros(3, 8), "fc.bias": torch.zeros(3)}, files / "weights.th")
    command("convert", "my_net.py:Net", "weights.th", "r", "--classes", "names.txt", *SEEN).refused(
        "weights.th is of another network than my_net.py:Net: 6 tensors of it are missing or of another shape", code=4)


def test_preprocessing_is_in_the_units_of_pixels():
    seen = preprocessing("224x160", "0.5,0.25,0", "1,0.5,0.25")
    assert seen.size == (224, 160) and seen.mean == (127.5, 63.75, 0.0) and seen.deviation == (255.0, 127.5, 63.75)
    assert preprocessing("32", "103.5", "1").mean == (103.5,)    # pixels of 0 .. 255, as Caffe has them


@pytest.mark.parametrize(("texts", "words"), [
    (("0", "0", "1"), "--size is an edge in pixels"), (("x", "0", "1"), "got 'x'"),
    (("32", "a", "1"), "--mean has numbers with commas between"), (("32", "nan", "1"), "--mean has numbers"),
    (("32", "0,0", "1,1"), "a number a channel each, of 1, 3 or 4 channels; got 2 and 2"),
    (("32", "0,0,0", "1"), "got 3 and 1"), (("32", "0", "0"), "--std must be above 0")])
def test_other_texts_are_refused(texts, words):
    with pytest.raises(UserError) as refused:
        preprocessing(*texts)
    assert words in str(refused.value)
