"""Which columns are set aside, with the reason, and which are learned."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats.tables.column_roles import columns_to_learn, set_aside
from lensmith.data.formats.tables.read_table import Rows


def column(name: str, *cells: str) -> Rows:
    return Rows(Path("t.csv"), [name], [[cell] for cell in cells], list(range(2, 2 + len(cells))))


@pytest.mark.parametrize(("rows", "reason"), [
    (column("", "0", "1"), "an index"), (column("Unnamed: 0", "7", "3"), "an index"),
    (column("ID", "a", "b"), "an index"),
    (column("row id", "4", "3"), "an index"), (column("frame", "0", "1", "2"), "it counts the lines from 0"),
    (column("frame", "1", "2", "3"), "it counts the lines from 1"), (column("frame", "2", "3", "4"), None),
    (column("frame", "0", "1"), None), (column("patient_id", "p4", "p1", "p7"), "an identifier, another in each line"),
    (column("patient_id", "p4", "p4", "p7"), None), (column("other", "a.png", "b.JPG"), "it names files"),
    (column("mask", "a.png", "b.png"), None), (column("source", "web", "web", "web"), "every line holds 'web'"),
    (column("source", "1", "1", "1"), None), (column("note", "", "", "nan"), "it is empty"),
    (column("label", "0", "1", "2"), None), (column("age", "30", "20", "10"), None)])
def test_a_column_is_set_aside_for_a_reason(rows: Rows, reason: str | None):
    assert set_aside(rows, rows.header) == ({} if reason is None else {rows.header[0]: reason})


def table(header: str, *rows: str) -> Rows:
    return Rows(Path("t.csv"), header.split(","), [row.split(",") for row in rows], list(range(2, 2 + len(rows))))


@pytest.mark.parametrize(("rows", "learned"), [
    (table("age,Label", "3,a", "4,b"), ["Label"]), (table("age,size", "3,1", "4,2"), ["age", "size"]),
    (table("label_id,label_name", "0,cat", "1,dog"), ["label_name"]),
    (table("class_id,class", "0,cat", "1,dog"), ["class"]),
    (table("age,class_name", "3,a", "4,b"), ["class_name"]), (table("age,tags", "3,a", "4,b"), ["tags"]),
    (table("label,class", "0,cat", "0,dog", "1,dog"), ["label", "class"])])
def test_the_column_that_is_called_after_labels_is_learned_else_all(rows: Rows, learned: list[str]):
    assert columns_to_learn(rows, rows.header, {}) == learned


def test_nothing_to_learn_is_said_with_what_was_set_aside():
    rows = table("id,frame", "1,2", "2,1")
    with pytest.raises(DataError, match=r"has no column to learn: 'id', 'frame' are set aside \('id': an index\)\. "):
        columns_to_learn(rows, rows.header, {"id": "an index", "frame": "it counts"})
    with pytest.raises(DataError, match="has no column to learn beside id, frame: a column label"):
        columns_to_learn(rows, [], {})
