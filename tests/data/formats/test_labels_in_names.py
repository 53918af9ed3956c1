"""Which part of the names of files is taken for a label, and which for a camera's number."""

import re

import pytest

from lensmith.data.formats.labels_in_names import suggested_pattern


@pytest.mark.parametrize(("called", "pattern"), [
    ("{}_{:03d}.jpg", r"(.+)_\d+"), ("{}.{}.jpg", r"(.+)\.\d+"), ("{}-{}.png", r"(.+)\-\d+"),
    ("{} {}.JPG", r"(.+) \d+"), ("{}{:04d}.jpeg", r"([^0-9]+)\d+"), ("{} ({}).jpg", r"(.+) \(\d+\)")])
def test_a_label_before_a_number(called: str, pattern: str) -> None:
    names = [called.format(label, number) for label in ("cat", "dog") for number in range(5)]
    assert suggested_pattern(names) == pattern
    assert {re.search(pattern, name)[1] for name in names} == {"cat", "dog"}


def test_a_label_behind_a_number() -> None:
    assert suggested_pattern([f"{number}_{label}.jpg" for label in ("cat", "big dog") for number in range(5)]) \
        == r"^\d+_(.+)\."


@pytest.mark.parametrize("names", [
    [], ["a.jpg", "b.jpg"], [f"{i}.jpg" for i in range(9)], [f"IMG_{i}.jpg" for i in range(9)],
    [f"{camera}_{i}.jpg" for camera in ("IMG", "DSC") for i in range(9)],
    [f"{camera}{i}.jpg" for camera in ("IMG_", "DSCN") for i in range(9)],
    [f"IMG_{day}_{i}.jpg" for day in (20240101, 20240102) for i in range(9)],
    [f"cat_{i}.jpg" for i in range(9)],                                        # one label alone
    [f"{word}_{i}.jpg" for i, word in enumerate("abcdefgh")],                   # a label for each picture
    [*(f"cat_{i}.jpg" for i in range(5)), *(f"dog_{i}.jpg" for i in range(5)), "x.jpg"]])
def test_other_names_hold_no_label(names: list[str]) -> None:
    assert suggested_pattern(names) is None
