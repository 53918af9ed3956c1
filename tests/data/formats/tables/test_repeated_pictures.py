"""Several rows of one picture: joined, contradicting, in two splits, never divided."""

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats.tables.table import open_table
from lensmith.data.sources.findings import findings
from lensmith.values.labels import UNKNOWN


def write(folder, *rows, head="path,label"):
    (folder / "list.csv").write_text("\n".join([head, *rows]) + "\n")
    return str(folder / "list.csv")


MANY = [f"{i}.png,{'xy'[i % 2]}" for i in range(30)]


def test_a_few_contradictions_are_unknown_and_said(tmp_path):
    parts = open_table(write(tmp_path, *MANY, "4.png,y", "6.png,", "7.png,y"))
    assert len(parts.splits["all"]) == 29 and tmp_path / "4.png" not in parts.splits["all"].paths
    one = {"count": 1, "pictures": ["4.png"]}
    assert (parts.account["contradictions"], parts.account["without_target"], parts.account["duplicates"]) == (
        one, one, 3)
    assert [finding.sentence() for finding in findings({"source": parts.account})] == [
        "1 of 30 rows without any target, left out", "3 of 30 rows naming a picture that another row names",
        "1 of 30 pictures of which rows say different things, not known there"]


def test_many_contradictions_are_another_table(tmp_path):
    rows = [f"{i}.png,{label}" for i in range(6) for label in ("x", "y")]
    with pytest.raises(DataError, match=r"list\.csv says different things of one picture: 6 pictures of 6 have several "
                                        r"values in 'label', as 0\.png \(x, y\)\. Leave one line each, or say "
                                        r"data\.kind=tags where a picture has several labels"):
        open_table(write(tmp_path, *rows))
    tags = open_table(write(tmp_path, *rows, "6.png,x"), kind="tags").splits["all"].targets["tags"]
    assert tags.present.tolist() == [[1, 1]] * 6 + [[1, 0]]


def test_several_targets_are_joined_each_for_itself(tmp_path):
    rows = [f"{i}.png,{'xy'[i % 2]},{'uv'[i % 2]}" for i in range(20)]
    parts = open_table(write(tmp_path, *rows, "20.png,x,", "20.png,,v", "3.png,x,v", head="path,kind,colour"))
    source = parts.splits["all"]
    row = source.paths.index(tmp_path / "20.png")
    assert len(source) == 21
    assert (source.targets["kind"].index[row], source.targets["colour"].index[row]) == (0, 1)
    assert source.targets["kind"].index[3] == UNKNOWN and source.targets["colour"].index[3] == 1


def test_a_picture_in_two_splits_stays_in_the_later_one_unless_many_are(tmp_path):
    rows = [f"{row},{'test' if i % 3 else 'train'}" for i, row in enumerate(MANY)]
    parts = open_table(write(tmp_path, *rows, "0.png,x,test", head="path,label,split"))
    assert tmp_path / "0.png" in parts.splits["test"].paths and tmp_path / "0.png" not in parts.splits["train"].paths
    assert parts.account["kept_in_later_split"] == {"count": 1, "pictures": ["0.png"]}
    assert "1 of 30 pictures in two splits of the table, kept in the later of train, valid and test" in [
        finding.sentence() for finding in findings({"source": parts.account})]
    with pytest.raises(DataError, match=r"line 3: 0\.png is in split 'test' here and in 'train' above, one of 30 "
                                        r"pictures in two splits: a picture belongs to one\. Take the lines out, or "):
        open_table(write(tmp_path, *[f"{row},{split}" for row in MANY for split in ("train", "test")],
                         head="path,label,split"))


def test_a_picture_in_two_groups_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 32: 0\.png is in group 'b' here and in another above"):
        open_table(write(tmp_path, *[f"{row},a" for row in MANY], "0.png,x,b", head="path,label,group"))
