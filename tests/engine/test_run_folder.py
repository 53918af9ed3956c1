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
    with pytest.raises(ModelError, match=r"data.json is damaged \(line 1 is not JSON: .*\): put it back, or train"):
        run.read_json("data.json")
    with pytest.raises(ModelError, match=r"plan.json cannot be read \(there is no such file\): the run folder is"):
        run.read_json("plan.json")
    assert run.facts("plan.json") == {}


@pytest.mark.parametrize(("name", "content", "problem"), [
    ("data.json", "[]", "all of it must be a valid dictionary; got []"),
    ("data.json", '{"dropped": 0}', "dropped must be a valid list; got 0"),
    ("data.json", '{"form": {"height": 8, "width": 8, "fit": "crop", "bits": 8}}', "form.channels is missing"),
    ("data.json", '{"files": {"train": {"file": "x", "rows": "0-9999999999999999"}}}', "String should match pattern"),
    ("data.json", f'{{"splits": {{"train": {{"count": {"9" * 4000}}}}}}}', "splits.train.count must be less than"),
    ("run.json", '{"epochs": "three"}', "epochs must be a valid integer; got 'three'"),
    ("run.json", '{"seconds": 1e999}', "seconds must be a finite number"),
    ("plan.json", '{"device": "cpu", "precision": "float32", "layout": "contiguous", "threads": 0}', "threads must be"),
    ("metrics.json", '{"test": {"details": {"confusion": [[1, 2]]}}}', "confusion must have as many columns as rows"),
    ("metrics.json", '{"test": {"details": {"per_class": [{"class": "a", "f1": "b"}]}}}', "must have numbers in every"),
    ("metrics.json", '{"test": {"accuracy_top1": [0.5]}}', "test.accuracy_top1"),
    ("weights.json", '{"tensors": [1]}', "tensors.0 must be a valid dictionary; got 1"),
    ("environment.json", '"x"', "all of it must be")])
def test_what_a_file_cannot_hold_is_said_with_its_place(tmp_path: Path, name: str, content: str, problem: str):
    run = Run.create(tmp_path, name="x", fallback="")
    (run.folder / name).write_text(content)
    with pytest.raises(ModelError) as raised:
        run.read_json(name)
    assert str(raised.value).startswith(f"{run.folder / name} is damaged (") and problem in str(raised.value)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


def test_a_history_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path):
    run = Run.create(tmp_path, name="x", fallback="")
    assert run.read_history() == []
    (run.folder / "history.csv").write_text("epoch,train/loss\n1,0.5\n2,inf\nx,1\n-1,2\n3,0.2")
    assert run.read_history() == [{"epoch": 1, "train/loss": 0.5}, {"epoch": 2}, {"epoch": 3, "train/loss": 0.2}]
    for content in (b"epoch\n\xff", b"epoch\n" + b"1" * 200_000):
        (run.folder / "history.csv").write_bytes(content)
        with pytest.raises(ModelError, match=r"history.csv is damaged \(.*\): put it back, or delete it"):
            run.read_history()


def test_a_link_in_a_run_folder_is_not_written_through(tmp_path: Path):
    run = Run.create(tmp_path, name="x", fallback="")
    assert run.picture_folder() == run.picture_folder() == run.folder / "pictures"
    run.picture_folder().rmdir()
    (tmp_path / "mine").mkdir()
    for target in (tmp_path / "mine", tmp_path / "none"):
        (run.folder / "pictures").symlink_to(target)
        with pytest.raises(UserError, match="pictures is a link to .*, and a run writes into its own folder alone"):
            run.picture_folder()
        (run.folder / "pictures").unlink()
    (tmp_path / "link").symlink_to(run.folder)    # the run folder itself may be reached through a link
    assert Run(tmp_path / "link").picture_folder() == tmp_path / "link" / "pictures"


def test_a_folder_whose_name_is_no_utf_8_is_refused_before_anything_is_made(tmp_path: Path):
    for refuse in (lambda: Run.create(tmp_path / "r\udce9", name=None, fallback="x"),
                   lambda: Run.open(tmp_path / "r\udce9")):
        with pytest.raises(UserError, match="has a name that is not UTF-8, .*: choose another folder with train.runs"):
            refuse()
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_utf_8_come_back_from_json(tmp_path: Path):
    run = Run.create(tmp_path, name="x", fallback="")
    run.write_json("data.json", {"name": "dir\udce9 ü", "source": {"a\udce9": 1}})
    assert run.read_json("data.json") == {"name": "dir\udce9 ü", "source": {"a\udce9": 1}}


def test_the_summaries_are_those_of_the_checkpoints(tmp_path: Path):
    run = Run.create(tmp_path, name="x", fallback="")
    row = {"epoch": 1, "step": 4, "train/loss": 0.5, "score": 0.25}
    run.save_last({"epoch": 1, "position": 0, "weight": torch.ones(2)}, [row], 1.5)
    run.save_best({"weight": torch.ones(2)}, row, 0.25)
    names = ("history.csv", "last.json", "best.json")
    whole = {name: (run.folder / name).read_text() for name in names}
    for name in names:
        (run.folder / name).unlink()
    run.write_summaries([row])
    assert {name: (run.folder / name).read_text() for name in names} == whole


def test_states_and_history_come_back(tmp_path: Path):
    run = Run.create(tmp_path, name="x", fallback="")
    history = [{"epoch": 1, "step": 4, "train/loss": 0.5, "score": 0.5},
               {"epoch": 2, "step": 8, "train/loss": 0.25, "valid/loss": 1 / 3, "score": 0.9}]
    run.save_last({"weights": torch.ones(2), "epoch": 2, "position": 0}, history, 1.5)
    run.save_best({"weights": torch.ones(2)}, history[1], 0.9)
    assert run.read_last()["history"] == history and run.read_best()["score"] == 0.9
    assert (run.folder / "history.csv").read_text() == \
        "epoch,step,train/loss,score,valid/loss\n1,4,0.5,0.5,\n2,8,0.25,0.9,0.333333\n"
    run.unlock()
    assert {path.suffix for path in run.folder.iterdir()} == {".json", ".csv", ".safetensors"}
