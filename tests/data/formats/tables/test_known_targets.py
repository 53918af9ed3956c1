"""The columns of a table that a trained network is measured on."""

from pathlib import Path

import pytest

from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.tables.known_targets import known_target
from lensmith.data.formats.tables.read_table import Rows


def table(header: str, *lines: str) -> Rows:
    return Rows(Path("t.csv"), header.split(","), [line.split(",") for line in lines], list(range(2, 2 + len(lines))))


@pytest.mark.parametrize(("known", "rows", "wanted"), [
    ({"label": ("cat", "dog")}, table("label", "dog", "dog"), (["label"], "label")),
    # A column with one class in every line is no constant, and one with a class that is not known is another's.
    ({"label": ("cat", "dog")}, table("breed,place", "dog,garden", "dog,garden", "dog,garden"), (["breed"], "label")),
    ({"label": ("cat", "dog")}, table("label,guess", "dog,cat", "dog,dog"), (["label"], "label")),
    ({"label": ("cat", "dog")}, table("a,b", "dog,cat", "dog,dog"), (None, "auto")),
    ({"label": ("cat", "dog")}, table("breed", "nan", ""), (None, "auto")),
    ({"label": ("nan", "dog")}, table("breed", "nan", "nan"), (["breed"], "label")),    # a class of that name
    ({"label": ("a", "b")}, table("b,a", "0,1", "0,1"), (["a", "b"], "label")),         # a column for each class
    ({"tags": ("a", "b")}, table("b,a,c", "0,1,5", "0,1,6"), (["a", "b"], "tags")),
    ({"tags": ("a", "b")}, table("words", "a b", "a"), (None, "tags")),
    ({"numbers": ("age",)}, table("age,room", "3,1", "4,2"), (["age"], "numbers")),
    ({"numbers": ("age",)}, table("years", "3", "4"), (None, "numbers")),
    ({"boxes": ("cat", "dog")}, table("kind,x0", "dog,1", "dog,2"), (["kind"], "boxes")),
    ({"masks": ("cat", "dog")}, table("kind,x0", "owl,1", "dog,2"), (None, "auto")),
    ({"mask": ("0", "1")}, table("mask", "a.png", "b.png"), (None, "auto")),
    ({"age": ("age",), "breed": ("cat", "dog")}, table("breed,age,x", "dog,3,1"), (["age", "breed"], "auto")),
    ({"age": ("age",), "breed": ("cat", "dog")}, table("breed,x", "dog,1"), (None, "auto")),
])
def test_the_columns_are_those_of_what_the_network_knows(known, rows: Rows, wanted):
    assert known_target(rows, rows.header, KnownClasses(known)) == wanted
