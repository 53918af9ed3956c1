"""However a run ends, its folder says so and goes on: kills between any two writes, Ctrl-C at bad moments, files that
cannot be written."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lensmith.api import train
from lensmith.base.errors import Stopped
from lensmith.engine.run_folder import Run
from lensmith.training.session import Session
from lensmith.training.supervised_job import SupervisedJob

COMMAND = ["train", "shapes", "data.count=60", "data.size=32", "--backbone", "lenet", "--plan", "exact", "--epochs",
           "2", "-q"]
KILLED = """
import os, signal, sys
name, number, seen = sys.argv.pop(1), int(sys.argv.pop(1)), 0
real = os.replace
def replace(aside, path, **other):
    global seen
    seen += str(path).endswith(name)
    if str(path).endswith(name) and seen == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(aside, path, **other)
os.replace = replace
from lensmith.cli.app import main
main()
"""


def killed_at(name: str, number: int, folder: Path) -> None:
    """Train, killed when a file is put in place for the so many-th time."""
    done = subprocess.run([sys.executable, "-c", KILLED, name, str(number), *COMMAND, "--name", folder.name, "--runs",
                           str(folder.parent)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def without_times(history: Path) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in ("time", "waited")}
            for row in Run(history).read_history()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended by itself."""
    folder = tmp_path_factory.mktemp("whole")
    train("shapes", backbone="lenet", epochs=2, name="one", runs=folder,
          settings={"data.count": 60, "data.size": 32, "plan.mode": "exact"})
    return folder / "one"


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


SLOW = pytest.mark.slow
KILLS = [("plan.json", 1), ("history.csv", 2), pytest.param("data.json", 1, marks=SLOW),
         pytest.param("environment.json", 1, marks=SLOW), pytest.param("run.json", 1, marks=SLOW),
         pytest.param("best.safetensors", 1, marks=SLOW), pytest.param("best.json", 1, marks=SLOW),
         pytest.param("last.safetensors", 2, marks=SLOW), pytest.param("last.json", 2, marks=SLOW),
         pytest.param("history.csv", 1, marks=SLOW), pytest.param("metrics.json", 1, marks=SLOW),
         pytest.param("valid-worst-00.png", 1, marks=SLOW), pytest.param("run.json", 2, marks=SLOW),
         pytest.param("report.html", 1, marks=SLOW)]


@pytest.mark.parametrize(("name", "number"), KILLS)
def test_a_run_killed_at_any_write_ends_as_one_that_was_not(whole: Path, tmp_path: Path, command, name: str,
                                                            number: int):
    run = tmp_path / "k"
    killed_at(name, number, run)
    assert [path for path in run.rglob(".*") if name in path.name]    # what it was writing is left
    ended = command("train", "--resume", run)
    assert ended.code == 0, ended.err
    assert not list(run.rglob(".*"))
    # A busy machine may have had no time to look into the network.
    assert {*os.listdir(run)} - {"vitals.json"} == {*os.listdir(whole)} - {"vitals.json"}
    assert without_times(run) == without_times(whole)
    for file in ("best.json", "last.json"):
        one, other = (json.loads((folder / file).read_text()) for folder in (run, whole))
        assert one["epoch"] == other["epoch"]
    assert json.loads((run / "run.json").read_text())["status"] == "finished"


def test_a_run_killed_before_its_recipe_leaves_its_name_free(tmp_path: Path, command):
    run = tmp_path / "k"
    killed_at("recipe.toml", 1, run)
    ended = command("train", "--resume", run)
    assert ended.code == 4 and "is empty, as where a run was killed before it began: give the command" in ended.err
    ended = command(*COMMAND, "--name", "k", "--runs", tmp_path)
    assert ended.code == 0 and not list(run.glob(".*"))


def test_a_folder_that_is_no_run_does_not_give_its_name_and_keeps_its_files(tmp_path: Path, command):
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "network.cfg").write_text("mine")
    ended = command(*COMMAND, "--name", "k", "--runs", tmp_path)
    assert ended.code == 2 and "k exists: choose another run.name (--name), or remove it, since it" in ended.err
    assert (tmp_path / "k" / "network.cfg").read_text() == "mine"


@pytest.mark.parametrize(("method", "words"), [("_measure", "interrupted while it was measured"),
                                               ("_with_notes", "interrupted before the step had ended")])
def test_ctrl_c_where_nothing_holds_it_back_is_written(copy: Path, command, monkeypatch, method: str, words: str):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    shutil.rmtree(copy / "pictures")
    if method == "_with_notes":
        (copy / "last.safetensors").unlink()    # so that it learns anew
    with monkeypatch.context() as patched:
        patched.setattr(Session, method, interrupted)
        ended = command("train", "--resume", copy)
    assert ended.code == 130 and ended.err.splitlines()[-1] == \
        f"lensmith: {words}; the last state saved is whole. Go on with: lensmith train --resume {copy}"
    facts = json.loads((copy / "run.json").read_text())
    assert facts["status"] == "interrupted" and facts["reason"].startswith(words)
    assert "This run was interrupted" in (copy / "report.html").read_text()
    assert command("train", "--resume", copy).code == 0
    assert json.loads((copy / "run.json").read_text())["status"] == "finished"


def test_being_told_to_end_while_it_is_measured_is_written(copy: Path, command, monkeypatch):
    monkeypatch.setattr(Session, "_measure", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    ended = command("train", "--resume", copy)
    assert ended.code == 130 and "interrupted while it was measured" in ended.err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_caller_that_asks_for_no_more_leaves_a_true_folder(copy: Path):
    (copy / "last.safetensors").unlink()
    from lensmith.training.begin_or_resume import resume_session

    for _ in resume_session(copy):
        break
    facts = json.loads((copy / "run.json").read_text())
    assert facts["status"] == "interrupted" and facts["reason"] == (
        "its caller asked for no more; the last state saved is whole. Go on with: lensmith train --resume " f"{copy}")


def test_what_cannot_be_written_at_the_end_does_not_hide_what_ended_it(copy: Path, command, monkeypatch):
    def fails(*arguments: object) -> None:
        raise Stopped("the loss is not finite: take a lower rate")

    def full(self: Run, name: str, text: str) -> None:
        if name != "data.json":
            raise Stopped(f"the disk is full: {name}")

    monkeypatch.setattr(Session, "_measure", fails)
    monkeypatch.setattr("lensmith.training.session.write_report", full)
    monkeypatch.setattr(SupervisedJob, "update_account", fails)
    ended = command("train", "--resume", copy)
    assert ended.code == 6 and ended.err.splitlines()[-1] == "lensmith: the loss is not finite: take a lower rate"
    assert json.loads((copy / "run.json").read_text())["status"] == "stopped"
    monkeypatch.setattr(Run, "write", full)
    assert command("train", "--resume", copy).code == 6


@pytest.mark.parametrize(("old", "new", "words"), [
    ("epochs = 2", "epochs = 3", "learner.epochs (--epochs) was 2 and is 3"),
    ("[plan]", "[plan]\nstages = ['cpu']", "plan.stages was left out and is ['cpu']"),
    ("count = 60", "count = 61", "data.count was 60 and is 61"), ("save_every = 60.0", "save_every = 5.0", "")])
def test_a_recipe_that_was_edited_since_is_noticed(copy: Path, command, old: str, new: str, words: str):
    recipe = copy / "recipe.toml"
    assert old in recipe.read_text()
    recipe.write_text(recipe.read_text().replace(old, new))
    ended = command("train", "--resume", copy)
    assert ended.code == (2 if words else 0), ended.err
    if words:
        assert f"recipe.toml was changed since the run began ({words})" in ended.err
        assert f"put it back, or begin a new run with it: lensmith train {copy}" in ended.err


def test_a_run_is_measured_on_the_data_that_it_began_with(copy: Path, command):
    recipe = copy / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("count = 60", "count = 999999999").replace("epochs = 2", "epochs = 3"))
    ended = command("val", copy)
    assert ended.code == 2 and "(data.count was 60 and is 999999999), and" in ended.err
    assert "is measured on the data that it began with: put it back" in ended.err


def test_a_recipe_without_a_network_is_said(copy: Path, command):
    recipe = copy / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[backbone]", "[run]"))
    for words in (("inspect", copy), ("predict", copy, "x.png")):
        ended = command(*words)
        assert ended.code in (2, 4) and "recipe.toml" in ended.err and ended.err.count("\n") == 1


@pytest.mark.parametrize(("line", "word"), [("batch = ", "loading.batch"), ("average = ", "learner.average"),
                                            ("[augment]", "augment")])
def test_a_recipe_that_lacks_what_every_run_has_is_said(copy: Path, command, line: str, word: str):
    recipe = copy / "recipe.toml"
    lines = recipe.read_text().splitlines()
    at = next(number for number, text in enumerate(lines) if text.startswith(line))
    until = next(number for number, text in enumerate(lines) if number > at and text.startswith("[")) \
        if line.startswith("[") else at + 1
    recipe.write_text("\n".join(lines[:at] + lines[until:]))
    for words in (("val", copy), ("predict", copy, "x.png"), ("inspect", copy)):
        ended = command(*words)
        assert ended.code == 4 and f"recipe.toml is damaged (it lacks {word}" in ended.err
        assert ended.err.endswith("): put it back, or train again\n") and ended.err.count("\n") == 1


def test_a_link_in_the_run_folder_is_not_written_through(copy: Path, tmp_path: Path, command):
    shutil.rmtree(copy / "pictures")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "valid-worst-00.png").write_text("mine")
    (copy / "pictures").symlink_to(tmp_path / "mine")
    (tmp_path / "page.html").write_text("mine")
    (copy / "report.html").unlink()
    (copy / "report.html").symlink_to(tmp_path / "page.html")
    ended = command("train", "--resume", copy)
    assert ended.code == 2 and "pictures is a link to" in ended.err and "remove the link" in ended.err
    assert (tmp_path / "mine" / "valid-worst-00.png").read_text() == "mine"
    assert (tmp_path / "page.html").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said(copy: Path, command):
    copy.chmod(0o500)
    ended = command("train", "--resume", copy)
    copy.chmod(0o700)
    assert ended.code == 2 and "no permission to write" in ended.err
