"""A run goes on where its data are read as they were, and is refused by name where they are not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lensmith.data.formats.reading_rules import CHANGES, READING, changes_between


@pytest.fixture
def run(photos: Path, tmp_path: Path, command) -> Path:
    """A run of an epoch on class folders."""
    ended = command("train", photos, "--epochs", "1", "--name", "one", "--runs", tmp_path, "-q", "--plan", "exact")
    assert ended.code == 0, ended.err
    return tmp_path / "one"


def edit(run: Path, **changes: Any) -> None:
    """Change entries of data.json, or take those out that are None."""
    facts = json.loads((run / "data.json").read_text()) | changes
    (run / "data.json").write_text(json.dumps({name: value for name, value in facts.items() if value is not None}))


def test_a_run_keeps_the_version_of_the_rules(run: Path) -> None:
    assert json.loads((run / "data.json").read_text())["reading"] == READING == max(CHANGES)


def test_a_run_of_before_whose_files_are_read_alike_goes_on(run: Path, command) -> None:
    edit(run, reading=None)
    assert command("val", run).code == 0
    assert command("train", "--resume", run).code == 0


@pytest.mark.parametrize("verb", [("val",), ("train", "--resume")])
def test_a_run_of_before_whose_files_are_read_otherwise_is_refused_by_name(run: Path, command, verb) -> None:
    edit(run, reading=None, fingerprint="0" * 32, classes={"label": ["disc", "runs", "triangle"]})
    ended = command(*verb, run)
    assert ended.code == 3 and ended.err.count("\nlensmith: ") == 1
    assert f"{run} was begun when its files were read by other rules (reading rules 0, now {READING}: folders called " \
           in ended.err
    assert "they give the classes disc, square, triangle, where they were disc, runs, triangle: begin anew with its " \
           f"recipe (lensmith train {run}), go on with the Lensmith that began it, or put the files back" in ended.err


@pytest.mark.parametrize(("changes", "said"), [
    ({"splits": {"train": {"count": 9}}}, " test, where they were 9 train: begin anew"),
    ({"files": {}}, "they give other pictures in its splits"),
    ({"reading": READING + 1}, f"(reading rules {READING + 1}, now {READING}), and they give other targets or content"),
    ({"reading": "x"}, "data.json is damaged (reading must be a valid integer; got 'x')")])
def test_what_is_different_is_said(run: Path, command, changes: dict[str, Any], said: str) -> None:
    edit(run, **{"reading": 0, "fingerprint": "", **changes})
    assert said in command("val", run).err


def test_files_that_changed_under_the_same_rules_are_changed_files(run: Path, photos: Path, command) -> None:
    next(photos.rglob("*.png")).unlink()
    assert "have changed since it was trained" in command("val", run).err
    edit(run, reading=0)
    assert "or put the files back where they were changed" in command("val", run).err
    shutil.rmtree(photos)
    assert "does not exist" in command("val", run).err


def test_each_version_says_what_it_changed() -> None:
    assert changes_between(0, READING).startswith(CHANGES[1]) and changes_between(READING, READING) == ""
