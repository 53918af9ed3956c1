"""The rows of each split, told before decoding, are those that training gets."""

from pathlib import Path

import numpy as np
import pytest

from lensmith.data.sources.picture_form import survey
from lensmith.recipe import schema as recipes
from lensmith.recipe.divide_rows import divided_rows
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.open_data import open_data, open_splits
from lensmith.recipe.sections import SECTIONS, resolve
from tests.study.check.conftest import drawn


def compare(source: Path | str, *settings: str) -> dict[str, int]:
    """That both ways give the same files to the same splits; -> how many."""
    recipe = resolve(recipes.override(recipe_for(str(source)), settings, SECTIONS), trusted=False)
    expected = {split: [each.place(i).file for i in range(len(each))] for split, each in
                open_data(recipe).splits.items()}
    opened = open_splits(recipe)
    paths = [each.place(i).file for each in opened.splits.values() for i in range(len(each))]
    bad = {split: np.array([header is None for header in survey(each).headers], dtype=bool)
           for split, each in opened.splits.items()}
    rows, _ = divided_rows(opened, bad, recipe)
    assert {split: [paths[row] for row in of_split.tolist()] for split, of_split in rows.items()} == expected
    return {split: len(of_split) for split, of_split in rows.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("cat", "dog", "cow")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(12):
            drawn(100 * number + i, 16, 16).save(tmp_path / "set" / name / f"p{i // 3}_{i}.png")
        content = (tmp_path / "set" / name / "p0_0.png").read_bytes()
        for i in range(4):
            (tmp_path / "set" / name / f"p9_{i}.png").write_bytes(content)    # the same contents stay together
        (tmp_path / "set" / name / "bad.png").write_bytes(b"no picture")
    return tmp_path / "set"


def test_a_set_without_splits(folder: Path):
    assert sum(compare(folder).values()) == 48
    compare(folder, "split.seed=7", "split.valid=0.2", "split.test=0.3")
    compare(folder, "split.folds=4", "split.fold=2", "split.test=0")


def test_groups(folder: Path):
    for path in folder.glob("*/bad.png"):
        path.unlink()    # it has no group
    compare(folder, "data.group='^(p[0-9]+)_'")


def test_a_set_that_brings_splits_with_copies_in_two(tmp_path: Path):
    for split, number in (("train", 9), ("test", 4)):
        for k, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(number):
                drawn(1000 * (split == "test") + 100 * k + i, 16, 16).save(tmp_path / split / name / f"{i}.png")
    copy = (tmp_path / "test" / "cat" / "1.png").read_bytes()
    (tmp_path / "train" / "cat" / "same.png").write_bytes(copy)
    assert sum(compare(tmp_path).values()) == 26    # the copy in train is left out


def test_pictures_in_memory():
    assert sum(compare("shapes", "data.count=90", "data.size=20").values()) == 90
