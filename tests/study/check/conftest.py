"""Drawn sets with planted faults, and what the checks say of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.recipe import schema as recipes
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.sections import SECTIONS, resolve
from lensmith.study.check import CHECKS
from lensmith.study.check.finding import Finding
from lensmith.study.check.known_set import KnownSet, know


def drawn(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    """A picture with light, shade and details, unlike that of any other seed."""
    draw = np.random.default_rng(seed)
    coarse, fine = (draw.uniform(0, 255, (rows, columns, 3)).astype(np.uint8) for rows, columns in ((4, 5), (12, 14)))
    blended = [np.asarray(Image.fromarray(array).resize((width, height), Image.Resampling.BICUBIC), np.float64)
               for array in (coarse, fine)]
    return Image.fromarray((0.6 * blended[0] + 0.4 * blended[1]).astype(np.uint8))


def write_class_set(root: Path, numbers: dict[str, int], width: int = 48, height: int = 40, *,
                    digits: int = 2) -> Path:
    """A set of the classes cat and dog with so many pictures of each in every split, none like another; `digits` is how
    many the names of the files have."""
    seed = 0
    for split, number in numbers.items():
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                seed += 1
                drawn(seed, width, height).save(folder / f"{i:0{digits}}.png")
    return root


@pytest.fixture
def class_set(tmp_path: Path) -> Path:
    """train and test of two classes, 12 and 6 pictures of each, none like another."""
    return write_class_set(tmp_path / "set", {"train": 12, "test": 6})


@pytest.fixture
def known() -> Callable[..., KnownSet]:
    """What is known of a set: `known(path, "data.classes=...")`."""

    def know_it(path: Path, *settings: str) -> KnownSet:
        recipe = recipes.override(recipe_for(str(path)), settings, SECTIONS)
        return know(resolve(recipe, trusted=False), source=str(path))

    return know_it


@pytest.fixture
def found(known: Callable[..., KnownSet]) -> Callable[..., dict[str, list[Finding]]]:
    """The findings of all checks on a set, by kind."""

    def find(path: Path, *settings: str) -> dict[str, list[Finding]]:
        by_kind: dict[str, list[Finding]] = {}
        the_set = known(path, *settings)
        for name, check in CHECKS.items():
            for finding in check.find(the_set):
                assert finding.check == name and finding.kind in check.kinds
                assert finding.number >= 1 and finding.sentence and not finding.sentence.endswith(".")
                by_kind.setdefault(finding.kind, []).append(finding)
        return by_kind

    return find


def names(finding: Finding) -> list[str]:
    """The names of the files of all groups, without their folders."""
    return [picture.path.rpartition("/")[2] for group in finding.groups for picture in group.pictures]
