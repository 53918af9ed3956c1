"""best.safetensors alone is the model: what it says of itself, what takes it, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import lensmith
from lensmith.api import train
from lensmith.base.errors import ModelError
from lensmith.engine.run_folder import Run, about_best_file
from lensmith.recipe.model_file import without_places

SETTINGS = {"data.count": 60, "data.size": 32, "plan.mode": "exact"}
OWN = "import torch\nclass Net(torch.nn.Sequential):\n    def __init__(self, outputs=3):\n        super().__init__(" \
      "torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())\n"
KILLED_AFTER_METRICS = """
import os, signal, sys
measured = False
real = os.replace
def replace(aside, path, **other):
    global measured
    if measured and str(path).endswith("best.safetensors"):
        os.kill(os.getpid(), signal.SIGKILL)
    measured = measured or str(path).endswith("metrics.json")
    return real(aside, path, **other)
os.replace = replace
from lensmith.cli.app import main
main()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_file")
    train("shapes", backbone="lenet", epochs=2, name="one", runs=folder, settings=SETTINGS)
    return folder / "one"


@pytest.fixture
def alone(run: Path, tmp_path: Path) -> Path:
    """The file in another folder, with nothing beside it but a picture."""
    Image.effect_noise((40, 40), 80).convert("RGB").save(tmp_path / "photo.png")
    return Path(shutil.copy(run / "best.safetensors", tmp_path / "best.safetensors"))


def tree_of(file: Path) -> dict:
    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["tree"])


def with_tree(file: Path, change) -> Path:
    """The file with its metadata changed."""
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tree = json.loads(metadata["tree"])
    change(tree)
    save_file(load_file(file), file, metadata=metadata | {"tree": json.dumps(tree)})
    return file


def test_it_says_what_it_is_and_not_where_its_maker_lives(run, alone):
    tree = tree_of(alone)
    assert tree["model"]["version"] == lensmith.__version__
    assert tree["model"]["data"]["classes"]["label"] == ["square", "disc", "triangle"]
    assert tree["model"]["data"]["form"]["height"] == 32 and tree["model"]["recipe"]["backbone"]["name"] == "lenet"
    metrics = json.loads((run / "metrics.json").read_text())
    assert tree["scores"]["test"]["accuracy_top1"] == metrics["test"]["accuracy_top1"]
    text = json.dumps(tree["model"])
    assert str(run.parent) not in text and str(Path.home()) not in text and "shapes" not in text


def test_absolute_paths_become_their_last_step():
    places = ["/home/ann/my_net.py:Net", "~/x/y.toml", "C:\\Users\\ann\\z.csv", "a/b", 3, None]
    assert without_places({"a": places}) == {"a": ["my_net.py:Net", "y.toml", "z.csv", "a/b", 3, None]}


def test_it_predicts_alone_as_its_run_does(run, alone, command, monkeypatch):
    picture = alone.parent / "photo.png"
    wanted = command("predict", run, picture, "--json").out
    monkeypatch.chdir(alone.parent)
    assert command("predict", "best.safetensors", picture, "--json").out == wanted
    trained = lensmith.load("best.safetensors")
    assert trained.names == {"label": ("square", "disc", "triangle")}
    assert trained.metrics["test"]["accuracy_top1"] == lensmith.load(run).metrics["test"]["accuracy_top1"]
    for one, other in zip(trained.network.state_dict().values(), lensmith.load(run).network.state_dict().values(),
                          strict=True):
        assert torch.equal(one, other)


def test_it_is_measured_on_other_data_and_has_none_of_its_own(alone, command):
    ended = command("val", alone, "--data", "shapes", "data.count=60", "-q", "--json")
    assert ended.code == 0 and 0 <= json.loads(ended.out)["accuracy_top1"] <= 1
    command("val", alone, "-q").refused("best.safetensors is a file and has no data of its own", "--data", code=4)


def test_it_is_what_a_training_begins_with(run, alone, tmp_path):
    common = SETTINGS | {"learner.epochs": 1}
    from_file = train("shapes", name="a", runs=tmp_path, settings=common | {"learner.weights": str(alone)})
    from_run = train("shapes", name="b", runs=tmp_path, settings=common | {"learner.weights": str(run)})
    assert from_file.recipe["backbone"]["name"] == "lenet"
    for one, other in zip(from_file.network.state_dict().values(), from_run.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    notes = (from_file.run.read_json("weights.json")["notes"], from_run.run.read_json("weights.json")["notes"])
    assert notes[0][1:] == notes[1][1:] and "0 tensors" not in notes[0][0]


@pytest.mark.slow
def test_it_is_exported_alone(alone, command, monkeypatch):
    monkeypatch.chdir(alone.parent)
    ended = command("export", "best.safetensors", "-q")
    assert ended.code == 0 and (alone.parent / "best.onnx").is_file(), ended.err


def test_a_run_on_own_code_needs_its_file_and_trust(tmp_path, command, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "my_net.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    train("shapes", backbone=f"{tmp_path}/home/my_net.py:Net", epochs=1, name="own", runs=tmp_path, settings=SETTINGS)
    alone = Path(shutil.copy(tmp_path / "own" / "best.safetensors", tmp_path / "best.safetensors"))
    Image.new("RGB", (40, 40)).save(tmp_path / "photo.png")
    assert tree_of(alone)["model"]["recipe"]["backbone"]["name"] == "my_net.py:Net"
    command("predict", alone, "photo.png", "--trust").refused(
        "is of the user's own network my_net.py:Net: lay my_net.py beside it, read it, and if you trust it, say "
        "trust=True (--trust)", code=4)
    shutil.copy(tmp_path / "home" / "my_net.py", tmp_path)
    command("predict", alone, "photo.png").refused("would run the code of", "--trust", code=4)
    assert command("predict", alone, "photo.png", "--trust").code == 0


def test_an_older_file_says_that_it_needs_its_folder(alone, command):
    with_tree(alone, lambda tree: [tree.pop(name) for name in ("model", "scores")])
    command("predict", alone, alone.parent / "photo.png").refused(
        "was written before a file of weights said what it is of, and needs its run folder: name the folder, as",
        code=4)


def test_plain_tensors_are_no_model(tmp_path, command):
    save_file({"a": torch.zeros(2)}, tmp_path / "plain.safetensors")
    command("predict", tmp_path / "plain.safetensors", "x.png").refused("plain.safetensors is not a checkpoint", code=4)
    command("predict", tmp_path / "none.safetensors", "x.png").refused("there is no checkpoint at", code=4)


HOSTILE = {
    "classes": lambda tree: tree["model"]["data"].update(classes={"label": 3}),
    "no classes": lambda tree: tree["model"]["data"].pop("classes"),
    "other classes": lambda tree: tree["model"]["data"].update(classes={"label": ["a"] * 7}),
    "huge form": lambda tree: tree["model"]["data"]["form"].update(height=1 << 19, width=1 << 19),
    "odd form": lambda tree: tree["model"]["data"].update(form="x"),
    "recipe": lambda tree: tree["model"].update(recipe=[1, 2]),
    "empty recipe": lambda tree: tree["model"].update(recipe={}),
    "backbone": lambda tree: tree["model"]["recipe"].update(backbone={"name": "os:system"}),
    "code": lambda tree: tree["model"]["recipe"].update(backbone={"name": "/etc/my_net.py:Net"}),
    "another network": lambda tree: tree["model"]["recipe"].update(backbone={"name": "resnet18"}),
    "cfg": lambda tree: tree["model"]["recipe"].update(backbone={"name": "darknet", "cfg": "/etc/passwd"}),
    "setting": lambda tree: tree["model"]["recipe"]["task"].update(smoothing="\x1b[31m\n"),
    "plan": lambda tree: tree["model"].update(plan={"device": "cpu", "precision": "x", "layout": 3, "threads": 1}),
    "threads": lambda tree: tree["model"]["plan"].update(threads=10**9),
    "no version": lambda tree: tree["model"].pop("version"),
    "files": lambda tree: tree["model"].update(files={"../../x": "x" * 2_000_000}),
    "tensor": lambda tree: tree["network"].update(more=3),
    "deep": lambda tree: tree["model"]["recipe"].update(x={"a": [[[[[[]]]]]]})}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata_are_refused_in_one_line(alone, command, name):
    with_tree(alone, HOSTILE[name])
    for words in (["predict", alone, alone.parent / "photo.png"], ["val", alone, "--data", "shapes", "-q"]):
        ended = command(*words)
        assert ended.code in (2, 4) and ended.err.count("\n") == 1 and ended.err.startswith("lensmith: "), ended.err
        assert "Traceback" not in ended.err


def test_metadata_that_are_no_json_are_refused(alone, command):
    save_file(load_file(alone), alone, metadata={"format": "lensmith-checkpoint-1", "tree": "[" * 100_000})
    command("predict", alone, "x.png").refused("the checkpoint", "damaged", code=4)


def test_a_kill_before_the_scores_are_in_leaves_a_run_that_goes_on(tmp_path, run, command):
    words = ["train", "shapes", "data.count=60", "data.size=32", "--backbone", "lenet", "--plan", "exact", "--epochs",
             "2", "-q", "--name", "k", "--runs", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", KILLED_AFTER_METRICS, *words], capture_output=True, text=True,
                          check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    best = tmp_path / "k" / "best.safetensors"
    assert (tmp_path / "k" / "metrics.json").is_file() and about_best_file(best)["scores"] == {}
    assert command("train", "--resume", tmp_path / "k").code == 0
    assert about_best_file(best)["scores"] == about_best_file(run / "best.safetensors")["scores"]
    one, other = Run(tmp_path / "k").read_best(), Run(run).read_best()
    assert all(torch.equal(one["network"][name], other["network"][name]) for name in one["network"])
    assert not [name for name in os.listdir(tmp_path / "k") if name.startswith(".")]


def test_a_converted_network_is_one_file_too(tmp_path, command):
    Image.new("RGB", (40, 40)).save(tmp_path / "photo.png")
    command("convert", "imagenet", tmp_path / "run")
    alone = Path(shutil.copy(tmp_path / "run" / "best.safetensors", tmp_path / "net.safetensors"))
    assert command("predict", alone, tmp_path / "photo.png", "--json").out == \
        command("predict", tmp_path / "run", tmp_path / "photo.png", "--json").out
    with pytest.raises(ModelError, match="is a file and has no data of its own"):
        lensmith.load(alone).validate()
