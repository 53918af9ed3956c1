"""Files that are named as they lay elsewhere, and where they are found."""

import os
from pathlib import Path

import pytest

from lensmith.data.formats.located import Finder


@pytest.mark.parametrize("name", ["images/train/a.png", "images\\train\\a.png", "data/images/train/a.png",
                                  "C:\\Users\\me\\set\\images\\train\\a.png", "/home/me/set/images/train/a.png",
                                  "../images/train/a.png", "./images/train/a.png"])
def test_a_file_is_found_by_its_last_steps(name: str, tmp_path: Path) -> None:
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "images/train/a.png").touch()
    finder = Finder([tmp_path / "elsewhere", tmp_path])
    assert finder.find(name) == tmp_path / "images/train/a.png"
    assert finder.find(name.replace("a.png", "b.png")) is None
    assert finder.find("images/train/a.png") == tmp_path / "images/train/a.png"


def test_what_is_there_as_it_is_named_comes_first(tmp_path: Path) -> None:
    for name in ("a/b/1.png", "b/1.png", "1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    finder = Finder([tmp_path])
    assert finder.find("x/b/1.png") == tmp_path / "b/1.png"
    assert finder.find("a/b/1.png") == tmp_path / "a/b/1.png"


def test_so_many_steps_have_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert Finder([tmp_path], keep=2, exists=os.path.isdir).find("../test/images") is None
    assert Finder([tmp_path], keep=1, exists=os.path.isdir).find("../test/images") == tmp_path / "images"
