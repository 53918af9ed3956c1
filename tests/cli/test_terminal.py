"""What the command line shows of a data set, and of a training while it runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.cli import terminal
from lensmith.engine import forecast
from lensmith.engine.learner import Report

TRAIN = ["train", "shapes", "data.count=120", "data.size=16", "--backbone", "lenet", "--batch", "10", "--epochs", "3",
         "--name", "one"]


def test_boxes_are_counted_in_words(tmp_path: Path, command):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for i in range(10):
        Image.fromarray(np.full((200, 200, 3), 20 * i, np.uint8)).save(folder / "images" / f"{i}.png")
        (folder / "labels" / f"{i}.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.2 0.9\n" * (i > 0))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images\nnames: [cat, dog]\n")
    ended = command("data", "show", folder, "split.valid=0", "split.test=0")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert "boxes: cat, dog" in lines
    assert [line.split() for line in lines[lines.index("class  boxes"):][:3]] == [["class", "boxes"], ["cat", "9"],
                                                                                ["dog", "9"]]
    assert "train: 18 boxes in 10 pictures (1 without any), 0 crowds; 9 small, 9 medium, 0 large (below 32 and from " \
        "96 pixels squared, as COCO divides them)" in lines


@pytest.fixture
def everything_is_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what takes a second, after four steps."""
    monkeypatch.setattr(terminal, "_SHORT", 0.0)
    monkeypatch.setattr(forecast, "_ENOUGH", (4, 0.0))


@pytest.mark.parametrize(("settings", "text"), [([], "about"), (["learner.patience=3"], "at most")])
def test_how_long_it_will_take_is_said_once(everything_is_forecast, command, tmp_path, settings, text):
    ended = command(*TRAIN, *settings, "--runs", tmp_path)
    lines = ended.err.splitlines()
    said = [line for line in lines if "Ctrl-C" in line]
    assert len(said) == 1 and re.fullmatch(rf"{text} \d+ s for 3 epochs; stop with Ctrl-C, go on with lensmith train "
                                           rf"--resume {tmp_path / 'one'}", said[0]), ended.err
    assert [line.split()[0] for line in lines[:4]] == ["shapes:", "training", text.split()[0], "epoch"]
    assert "Ctrl-C" not in command(*TRAIN, "--runs", tmp_path / "quiet", "-q").err


def test_a_run_that_goes_on_counts_the_epochs_that_are_left(everything_is_forecast, command, tmp_path, monkeypatch):
    monkeypatch.setattr(forecast.Forecast, "is_sure", property(lambda self: self._epoch == 1))
    assert "for 2 more epochs; stop with Ctrl-C" in command(*TRAIN, "--runs", tmp_path).err


def test_what_is_short_is_not_forecast(command, tmp_path):
    assert "Ctrl-C" not in command(*TRAIN, "--runs", tmp_path).err


def test_a_terminal_shows_a_bar_with_the_time_that_is_left(capsys):
    clock = iter(float(second) for second in range(100))
    predicted = forecast.Forecast(epochs=2, steps=20, pictures={"train": 200, "valid": 10}, clock=lambda: next(clock))
    bar = terminal._Bar()
    for step in range(1, 21):
        report = Report(step, 40, 0, 0.25)
        predicted.note(report, 0.0)
        bar.show(report, predicted)
    task = bar.bar.tasks[0]
    assert (task.completed, task.total, task.description) == (20, 40, "epoch 1")
    # 20 steps of a second, measuring twice and once more, each 0.4 of learning from half of a batch's pictures; the end
    assert task.fields == {"loss": "loss 0.2500", "left": f"{20 + 3 * 0.4 + forecast.END:.0f} s left"}
    end = Report(40, 40, 2, 0.25, {"epoch": 2.0}, 0.5)
    predicted.note(end, 0.0)
    bar.show(end, predicted)
    bar.tell("learner.epochs [must] be more")
    bar.stop()
    assert bar.bar.tasks[0].description == "testing"
    assert "learner.epochs (--epochs) [must] be more\n" in capsys.readouterr().err
