"""The run folder: names, JSON, history."""

from pathlib import Path

import pytest
import torch

from lensmith.base.errors import ModelError, UserError
from lensmith.engine.run_folder import Run


def test_names_are_numbered_or_taken_once(tmp_path: Path):
    first, second = (Run.create(tmp_path / "runs", name=None, fallback="cats & dogs-lenet") for _ in range(2))
    assert (first.folder.name, second.folder.name) == ("cats-dogs-lenet-1", "cats-dogs-lenet-2")
    Run.create(tmp_path / "runs", name="mine", fallback="").write("recipe.toml", "")
    with pytest.raises(UserError) as raised:
        Run.create(tmp_path / "runs", name="mine", fallback="")
    assert "mine exists: choose another run.name, or go on with lensmith train --resume" in str(raised.value)
    assert raised.value.code == 2
    (tmp_path / "runs" / "file").write_text("")
    with pytest.raises(UserError, match="file exists: choose another run.name"):
        Run.create(tmp_path / "runs", name="file", fallback="")


def test_an_empty_folder_of_a_run_that_was_ended_while_it_got_ready_does_not_take_the_name(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    assert Run.create(tmp_path, name="mine", fallback="").folder == tmp_path / "mine"


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b", "-x"])
def test_a_name_is_a_plain_name(tmp_path: Path, name: str):
    with pytest.raises(UserError, match="run.name must be a plain folder name"):
        Run.create(tmp_path, name=name, fallback="")
    assert not (tmp_path.parent / "up").exists()


def test_a_file_in_the_place_of_the_folder(tmp_path: Path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="runs is not a folder: choose another one with train.runs"):
        Run.create(tmp_path / "runs", name=None, fallback="x")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs Linux's /sys, which not even root may write")
def test_no_permission_is_said_in_words():
    with pytest.raises(UserError, match="no permission to write into /sys/runs: choose another folder with train.runs"):
        Run.create(Path("/sys/runs"), name="x", fallback="")


def test_opening_what_is_no_run_folder(tmp_path: Path):
    (tmp_path / "fashion-1").mkdir()
    with pytest.raises(ModelError, match="there is no run folder .*fashion-2. Did you mean 'fashion-1'"):
        Run.open(tmp_path / "fashion-2")
    with pytest.raises(ModelError, match="is not a run folder: it has no recipe.toml"):
        Run.open(tmp_path / "fashion-1")


def test_a_damaged_json_is_said(tmp_path: Path):
    run = Run.create(tmp_path, name="x", fallback="")
    (run.folder / "data.json").write_text("{")
    with pytest.raises(ModelError, match=r"data.json cannot be read .*: the run folder is incomplete"):
        run.read_json("data.json")


def test_states_and_history_come_back(tmp_path: Path):
    run = Run.create(tmp_path, name="x", fallback="")
    history = [{"epoch": 1, "train/loss": 0.5}, {"epoch": 2, "train/loss": 0.25, "valid/loss": 1 / 3}]
    run.save_last({"weights": torch.ones(2), "epoch": 2, "position": 0}, history, 1.5)
    run.save_best({"weights": torch.ones(2)}, history[1], 0.9)
    assert run.read_last()["history"] == history and run.read_best()["score"] == 0.9
    assert (run.folder / "history.csv").read_text() == "epoch,train/loss,valid/loss\n1,0.5,\n2,0.25,0.333333\n"
    assert {path.suffix for path in run.folder.iterdir()} <= {".json", ".csv", ".safetensors"}
