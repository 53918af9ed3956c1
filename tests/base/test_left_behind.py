"""What is nobody's picture: by its name, or since training has made it."""

from pathlib import Path

import pytest

from lensmith.base.left_behind import holds_results, holds_runs_alone, is_left_behind
from lensmith.base.output_folder import MARKER


@pytest.mark.parametrize("name", ["._a.jpg", ".DS_Store", "__MACOSX", "@eaDir", "THUMBS.DB", "Desktop.ini", "#recycle",
                                  ".thumbnails", "$RECYCLE.BIN", "__pycache__", ".git"])
def test_names_of_what_is_left_behind(name: str) -> None:
    assert is_left_behind(name)


@pytest.mark.parametrize("name", ["cat", "a.jpg", "_a.jpg", "thumbs", "eaDir", "recycle", "runs"])
def test_other_names_are_somebodys(name: str) -> None:
    assert not is_left_behind(name)


def test_a_run_folder_has_a_recipe_and_what_training_writes(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").touch()
    assert not holds_results(str(tmp_path))
    (tmp_path / "plan.json").touch()
    assert holds_results(str(tmp_path))


def test_a_folder_of_predictions_has_its_marker(tmp_path: Path) -> None:
    assert not holds_results(str(tmp_path))
    (tmp_path / MARKER).touch()
    assert holds_results(str(tmp_path))


def test_a_folder_of_runs_holds_nothing_else(tmp_path: Path) -> None:
    runs = tmp_path / "mine"
    (runs / "one").mkdir(parents=True)
    assert not holds_runs_alone(str(runs)) and not holds_runs_alone(str(tmp_path / "absent"))
    for name in ("recipe.toml", "run.json"):
        (runs / "one" / name).touch()
    (runs / ".DS_Store").touch()
    (runs / "being made").mkdir()
    assert holds_runs_alone(str(runs))
    (runs / "being made" / "a.jpg").touch()
    assert not holds_runs_alone(str(runs))
    (tmp_path / "runs" / "first").mkdir(parents=True)
    assert holds_runs_alone(str(tmp_path / "runs"))
