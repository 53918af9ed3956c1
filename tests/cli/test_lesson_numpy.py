"""The verbs `lesson numpy` and `lesson training` as they are typed: pages, JSON, and what is refused in one line."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numpy_takes_the_network_of_a_run(trained: Path, here: Path, command):
    ended = command("lesson", "numpy", "--run", trained, "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert said["page"] == "lessons/numpy/lesson.html" and (here / said["page"]).is_file()
    network, = said["networks"]
    assert network["name"] == "lenet" and all(gap["gap"] < 1e-6 for gap in network["gradients"])
    assert [times["where"].split(",")[0] for times in network["times"]][:2] == ["NumPy", "PyTorch on cpu"]


def test_numpy_takes_a_picture_to_the_network_of_a_run(trained: Path, photos: Path, here: Path, command):
    picture = next(photos.rglob("*.png"))
    ended = command("lesson", "numpy", picture, "--run", trained)
    assert ended.code == 0, ended.err
    assert f"the step is taken on {picture}, as if it were what the network says: " in ended.out
    ended = command("lesson", "numpy", here, "--run", trained, "--out", here / "no")
    assert ended.code == 3 and "with --run the lesson takes a picture file" in ended.err
    assert len(ended.err.splitlines()) == 1 and not (here / "no").exists()


def test_training_takes_the_first_steps_of_a_run_again(trained: Path, here: Path, command):
    ended = command("lesson", "training", "--run", trained)
    assert ended.code == 0, ended.err
    assert "moved by AdamW:" in ended.out and "step 8: loss" in ended.out
    assert ended.out.splitlines()[-1] == "the page: lessons/training/lesson.html"
    facts = json.loads((here / "lessons/training/lesson.json").read_text())
    assert facts["largest_error"] <= 1e-7 and len(facts["steps"]) == 8


@pytest.mark.parametrize(("words", "code", "text"), [
    (("training", "shapes", "--run", "x"), 2, "--run x has data, network, optimizer and seed of its own; got DATA"),
    (("training", "--run", "x", "--seed", "0"), 2, "got --seed beside it"),
    (("numpy", "--run", "x"), 4, "there is no run folder x"),
    (("training", "shapes", "--activation", "rellu"), 2, "Did you mean 'relu'?"),
    (("training", "shapes", "--seed", "-1"), 2, "--seed is 0 or more; got -1"),
    (("numpy", "shapes", "--epochs", "0"), 2, "--epochs 1 or more"),
])
def test_what_is_refused_is_one_line_and_leaves_no_folder(here: Path, command, words, code: int, text: str):
    ended = command("lesson", *words)
    assert ended.code == code and text in ended.err and len(ended.err.splitlines()) == 1
    assert not (here / "lessons").exists()
