"""A run that has so many minutes learns as one with its epochs, is resumed to the same bits, and says what it does."""

import json
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import lensmith
from lensmith.engine.rehearse import Pace, rehearse
from lensmith.recipe import fit_epochs

COMMON = ["train", "shapes", "data.count=400", "data.size=16", "--backbone", "stack", "--batch", "10", "--plan",
          "exact", "--device", "cpu", "plan.threads=1", "run.save_every=0.02", "learner.average=0.98",
          "augment.flip=true", "augment.crop_padding=3", "augment.mixup=0.3", "augment.close_mosaic=1",
          'backbone.layers=[{conv = 8, kernel = 3, stride = 2}, {batchnorm = true}, "relu", {dropout = 0.2}, '
          '{separable = 16, kernel = 3}, {batchnorm = true}, "relu", {globalpool = "mean"}, {dropout = 0.1}]']


@pytest.fixture
def three_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rehearsed in truth is put aside: three epochs end in any time."""
    def stand_in(learner, **settings):
        rehearse(learner, **settings)
        pace = Pace(1.0, 1, 0.0)
        object.__setattr__(pace, "epochs_within", lambda seconds: 3)
        return pace

    monkeypatch.setattr(fit_epochs, "rehearse", stand_in)


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": tensor for name in ("last", "best")
            for key, tensor in load_file(run / f"{name}.safetensors").items()}


def same(run: Path, wanted: Path) -> None:
    found, true = tensors(run), tensors(wanted)
    assert found.keys() == true.keys() and len(found) > 20
    assert all(torch.equal(found[name], true[name]) for name in true)
    recipes = [tomllib.loads((folder / "recipe.toml").read_text()) for folder in (run, wanted)]
    for recipe in recipes:
        recipe["run"].pop("name")
    assert recipes[0] == recipes[1]


@pytest.mark.parametrize("settings", [[], ["--optimizer", "muon", "learner.accumulate=2"], ["--optimizer", "sgd"]])
def test_what_was_timed_leaves_no_trace_in_what_is_learned(three_epochs, command, tmp_path, settings):
    ended = command(*COMMON, *settings, "--minutes", 1, "--name", "minutes", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    assert "learner.minutes=1 (--minutes) has time for 3 epochs of about 1 s" in ended.err
    assert command(*COMMON, *settings, "--epochs", 3, "--name", "epochs", "--runs", tmp_path, "-q").code == 0
    same(tmp_path / "minutes", tmp_path / "epochs")
    notes = json.loads((tmp_path / "minutes" / "data.json").read_text())["notes"]
    assert "learner.minutes=1 has time for 3 epochs of about 1 s" in notes
    again = command("train", tmp_path / "minutes", "--name", "again", "--runs", tmp_path, "-q")
    assert again.code == 0
    same(tmp_path / "again", tmp_path / "epochs")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_probe_has_its_maps_once(three_epochs, command, tmp_path):
    assert command("train", "shapes", "data.count=60", "data.size=20", "--backbone", "lenet", "--epochs", 1, "--name",
                   "first", "--runs", tmp_path, "-q").code == 0
    probe = ["train", "shapes", "data.count=60", "data.size=20", "--weights", tmp_path / "first", "--probe", "--runs",
             tmp_path, "--plan", "exact"]
    ended = command(*probe, "--minutes", 1, "--name", "minutes")
    assert ended.code == 0 and ended.err.count("the backbone ran once over 45 pictures") == 1, ended.err
    assert command(*probe, "--epochs", 3, "--name", "epochs", "-q").code == 0
    same(tmp_path / "minutes", tmp_path / "epochs")


def test_a_recipe_and_a_run_with_epochs_take_minutes_instead(three_epochs, command, tmp_path):
    (tmp_path / "one.toml").write_text('[data]\nname = "shapes"\ncount = 60\n[learner]\nepochs = 9\n'
                                       '[backbone]\nname = "lenet"\n')
    for number, flag in enumerate((["--minutes", 1], ["learner.minutes=1"])):
        ended = command("train", tmp_path / "one.toml", *flag, "--name", f"run-{number}", "--runs", tmp_path)
        assert ended.code == 0 and "epoch 3/3" in ended.err, ended.err
    dry = command("train", tmp_path / "run-0", "--minutes", 2, "--dry-run")
    assert dry.code == 0 and "minutes = 2.0" in dry.out and "epochs" not in dry.out
    for both in (["--minutes", 1, "--epochs", 2], ["--minutes", 1, "learner.epochs=2"]):
        refused = command("train", "shapes", *both, "--runs", tmp_path)
        assert refused.code == 2 and refused.err == "lensmith: learner.epochs=2 (--epochs) and learner.minutes=1 " \
            "(--minutes) both say how long to train: leave one of the two out\n"
    refused = command("train", "--resume", tmp_path / "run-0", "--minutes", 1)
    assert refused.code == 2 and "takes no other setting; got learner.minutes (--minutes)" in refused.err


def test_from_python_the_minutes_are_those_of_the_call(tmp_path):
    trained = lensmith.train("shapes", backbone="lenet", minutes=0.001, runs=tmp_path,
                             settings={"data.count": 60, "data.size": 16})
    assert trained.recipe["learner"]["epochs"] == 1 and "minutes" not in trained.recipe["learner"]
    assert any("does not end within learner.minutes=0.001" in note
               for note in json.loads((trained.folder / "data.json").read_text())["notes"])


def process(arguments: Sequence[str], runs: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "lensmith", *arguments], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, cwd=runs)


def kill_when_saved(running: subprocess.Popen, checkpoint: Path) -> None:
    while not checkpoint.exists() and running.poll() is None:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    assert running.wait(60) == -signal.SIGKILL, running.stderr.read()
    running.stderr.close()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_with_the_epochs_that_it_chose(tmp_path, monkeypatch, processes):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    common = [*COMMON, "--runs", str(tmp_path), "--processes", str(processes)]
    killed = tmp_path / "killed"
    kill_when_saved(process([*common, "--minutes", "0.25", "--name", "killed"], tmp_path), killed / "last.safetensors")
    epochs = tomllib.loads((killed / "recipe.toml").read_text())["learner"]["epochs"]
    for arguments in (["train", "--resume", "killed"], [*common, "--epochs", str(epochs), "--name", "whole"]):
        running = process(arguments, tmp_path)
        assert running.wait(120) == 0, running.stderr.read()
        running.stderr.close()
    same(killed, tmp_path / "whole")
    assert json.loads((killed / "run.json").read_text())["status"] == "finished"
