"""The list of pictures that a set is used without: written, read, and refused where it is of other pictures."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError, UserError
from lensmith.data.sources.leave_out import read_leave_out, without_listed, write_leave_out
from lensmith.recipe.open_data import open_splits
from lensmith.recipe.sections import resolve


@pytest.fixture
def opened(tmp_path: Path, picture):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for i in range(3):
                picture(f"set/{split}/{name}/{i}.png")
    return open_splits(resolve({"data": {"name": "folder", "path": str(tmp_path / "set")}}, trusted=False))


def test_a_list_is_read_as_it_was_written(tmp_path: Path):
    rows = [("train/a,b/1.png", "leak"), ("=cmd.png", "blank"), ("train/a,b/1.png", "dark"), ("ä.png", "")]
    write_leave_out(tmp_path / "list.csv", rows)
    assert read_leave_out(tmp_path / "list.csv") == {"train/a,b/1.png": "leak; dark", "=cmd.png": "blank", "ä.png": ""}
    assert (tmp_path / "list.csv").read_text(encoding="utf-8").splitlines()[0] == "picture,reason"


def test_a_list_is_never_written_over(tmp_path: Path):
    (tmp_path / "list.csv").write_text("mine")
    with pytest.raises(UserError, match=r"list\.csv exists, and is not written over.*--write-list"):
        write_leave_out(tmp_path / "list.csv", [])
    with pytest.raises(UserError, match="there is no folder .*none"):
        write_leave_out(tmp_path / "none" / "list.csv", [])


def test_the_listed_pictures_are_left_out_and_counted(tmp_path: Path, opened):
    write_leave_out(tmp_path / "list.csv", [("train/cat/1.png", "blurred"), ("test/dog/0.png", "leak")])
    without = without_listed(opened, tmp_path / "list.csv")
    assert [without.splits["train"].name(i) for i in range(5)] == [
        f"train/{name}/{i}.png" for name, i in (("cat", 0), ("cat", 2), ("dog", 0), ("dog", 1), ("dog", 2))]
    assert without.splits["train"].targets["label"].index.tolist() == [0, 0, 1, 1, 1]
    assert len(without.splits["test"]) == 5
    assert without.account["listed_to_leave_out"] == {"count": 2, "pictures": ["train/cat/1.png (blurred)",
                                                                             "test/dog/0.png (leak)"]}


def test_a_list_of_other_pictures_is_refused(tmp_path: Path, opened):
    write_leave_out(tmp_path / "list.csv", [("train/cat/1.png", ""), ("train/cow/1.png", ""), ("x.png", "")])
    with pytest.raises(DataError, match=r"names 2 pictures that the set does not hold \(train/cow/1.png, x.png\): it "
                                        r"is a list of other pictures; write one of this set with `lensmith check"):
        without_listed(opened, tmp_path / "list.csv")


def test_a_list_of_a_whole_split_is_refused(tmp_path: Path, opened):
    write_leave_out(tmp_path / "list.csv", [(name, "") for name in
                                            (f"test/{folder}/{i}.png" for folder in ("cat", "dog") for i in range(3))])
    with pytest.raises(DataError, match="names every picture of the split test"):
        without_listed(opened, tmp_path / "list.csv")


@pytest.mark.parametrize(("content", "message"), [
    (None, r"cannot be read \(there is no such file\): name a list that `lensmith check"),
    (b"train/cat/1.png\n", "is no list of pictures: its first line must be `picture,reason`"),
    (b"", "is no list of pictures"),
    (b"\xff\xfe\x00", "not UTF-8"),
    (b"picture,reason\n\"" + b"a" * 200_000, "is no table"),
])
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes | None, message: str):
    if content is not None:
        (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_leave_out(tmp_path / "list.csv")
