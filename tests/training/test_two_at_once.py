"""Two trainings into one folder at the same time: the second is refused in a line, and touches nothing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lensmith.api import train
from lensmith.base.errors import UserError
from lensmith.base.folder_lock import LOCK
from lensmith.engine.run_folder import Run

COMMAND = ["train", "shapes", "data.count=60", "data.size=32", "--backbone", "lenet", "--plan", "exact", "--epochs",
           "2", "-q"]
HOLDS = """
import sys
from pathlib import Path
from lensmith.base.folder_lock import lock_folder
lock = lock_folder(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """Within it another process trains into a folder, as far as the lock tells; gives its number."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.communicate(timeout=30)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that ended by itself."""
    folder = train("shapes", backbone="lenet", epochs=1, name="one", runs=tmp_path,
                   settings={"data.count": 60, "data.size": 32, "plan.mode": "exact"}).folder
    assert not (folder / LOCK).exists()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != LOCK}


def test_a_run_that_is_trained_is_not_gone_on_with(run: Path, command):
    before = contents(run)
    with held(run) as other:
        ended = command("train", "--resume", run)
        assert ended.code == 2 and ended.err.count("\n") == 1
        assert ended.err.startswith(f"lensmith: {run} is being trained by process {other} on ")
        assert ended.err.endswith("wait until that has ended, or end it, then go on with lensmith train --resume "
                                  f"{run}\n")
        assert contents(run) == before
        for words in (("val", run), ("inspect", run), ("train", run, "--dry-run")):
            assert command(*words).code == 0, words    # what only reads goes on
    ended = command("train", "--resume", run)
    assert ended.code == 0 and not (run / LOCK).exists()


def test_a_name_that_is_being_begun_is_taken(tmp_path: Path, command):
    run = Run.create(tmp_path, name="k", fallback="")
    run.unlock()
    (run.folder / ".recipe.toml.abcdefgh").write_text("")
    with held(run.folder) as other:
        ended = command(*COMMAND, "--name", "k", "--runs", tmp_path)
        assert ended.code == 2 and ended.err.count("\n") == 1
        assert f"k is being trained by process {other} on " in ended.err
        assert "choose another run.name (--name)" in ended.err
        assert (run.folder / ".recipe.toml.abcdefgh").exists()    # the other one is writing it
    assert command(*COMMAND, "--name", "k", "--runs", tmp_path).code == 0
    assert not list(run.folder.glob(".*"))


def test_a_training_that_fails_or_is_not_begun_leaves_no_lock(tmp_path: Path, command):
    ended = command(*COMMAND, "augment.crop_padding=99", "--name", "k", "--runs", tmp_path)
    assert ended.code == 2 and not (tmp_path / "k").exists()
    ended = command(*COMMAND, "--rate", "1e30", "--name", "k", "--runs", tmp_path)
    assert ended.code == 6 and "the loss is not finite" in ended.err and not (tmp_path / "k" / LOCK).exists()


def test_where_files_cannot_be_locked_a_run_goes_on(run: Path, command, monkeypatch):
    monkeypatch.setattr("lensmith.engine.run_folder.lock_folder", lambda folder: None)
    assert command("train", "--resume", run).code == 0
    with held(run):
        assert command("train", "--resume", run).code == 0


def test_a_folder_beside_the_photos_that_is_being_begun_is_still_no_class(photos: Path, command):
    for name in os.listdir(photos):
        (photos / "set").mkdir(exist_ok=True)
        shutil.move(photos / name, photos / "set" / name)
    Run.create(photos / "set" / "runs", name="k", fallback="")
    ended = command("data", "show", photos / "set")
    assert ended.code == 0 and "runs" not in ended.out


@pytest.mark.slow
def test_of_two_that_go_on_with_a_run_at_once_one_does(tmp_path: Path):
    arguments = [sys.executable, "-m", "lensmith"]
    subprocess.run([*arguments, *COMMAND, "--name", "k", "--runs", tmp_path], check=True)
    (tmp_path / "k" / "last.safetensors").unlink()
    both = [subprocess.Popen([*arguments, "train", "--resume", tmp_path / "k", "-q"], stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    told = [process.communicate(timeout=300)[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 2], [0, 0])    # the second may have come when the first had ended
    assert "is being trained by process" in "".join(told) or codes == [0, 0]
    assert json.loads((tmp_path / "k" / "run.json").read_text())["status"] == "finished"


def test_the_next_one_that_is_numbered_is_locked_too(tmp_path: Path):
    run = Run.create(tmp_path, name=None, fallback="x")
    assert (run.folder / LOCK).exists() and run.was_never_begun
    with pytest.raises(UserError, match="x-1 exists: choose another run.name"):
        run.write("recipe.toml", "")
        Run.create(tmp_path, name="x-1", fallback="")
    run.unlock()
    assert not (run.folder / LOCK).exists()
