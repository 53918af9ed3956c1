"""Pictures of the same contents: found by their bytes, kept in one split, told, and refused where that is asked for."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.data.formats.class_folders import class_folders
from lensmith.data.sources.split import _together
from lensmith.data.store.same_contents import refuse_repeats, same_contents, without_repeats
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.open_data import Data, open_data
from lensmith.recipe.schema import override
from lensmith.recipe.sections import SECTIONS, resolve


def drawn(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)


def folders(root: Path, *, count: int = 20, split: str = "", first: int = 0) -> Path:
    """Class folders of pictures that all differ."""
    for number, name in enumerate(("cat", "dog")):
        for i in range(count):
            drawn(root / split / name / f"{i:02d}.png", first + 100 * number + i)
    return root


def opened(source: Path, *overrides: str) -> Data:
    return open_data(resolve(override({"data": recipe_for(source)["data"]}, overrides, SECTIONS), trusted=False))


def test_copies_stay_in_one_split_and_all_else_stays_where_it_was(tmp_path: Path) -> None:
    plain = opened(folders(tmp_path / "plain")).account["files"]
    copies = folders(tmp_path / "copies")
    for i in range(20):
        shutil.copy(copies / "cat" / f"{i:02d}.png", copies / "cat" / f"{i:02d} copy.png")
    account = opened(copies).account
    split_of = {file: split for split, files in account["files"].items() for file in files}
    assert all(split_of[f"cat/{i:02d}.png"] == split_of[f"cat/{i:02d} copy.png"] for i in range(20))
    assert set(account["files"]) == {"train", "valid", "test"}
    assert account["source"]["same_contents"]["count"] == 20 and len(split_of) == 60
    assert "same_contents" not in opened(tmp_path / "plain").account["source"]
    assert opened(tmp_path / "plain").account["files"] == plain


def test_a_set_of_one_picture_alone_is_still_divided(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        for i in range(10):
            drawn(tmp_path / name / f"{i}.png", number)
    splits = opened(tmp_path).account["splits"]
    assert set(splits) == {"train", "valid", "test"} and splits["train"]["per_class"].keys() == {"cat", "dog"}


def test_two_labels_are_told(tmp_path: Path) -> None:
    folders(tmp_path)
    for i in range(3):
        shutil.copy(tmp_path / "cat" / f"{i:02d}.png", tmp_path / "dog" / f"also {i}.png")
    source = opened(tmp_path).account["source"]
    assert source["two_labels"] == {"count": 6, "pictures": [
        "cat/00.png", "cat/01.png", "cat/02.png", "dog/also 0.png", "dog/also 1.png", "dog/also 2.png"]}
    with pytest.raises(DataError, match=r"6 pictures with the contents of one that has another label: cat/00.png, .* "
                                        r"\.\.\.\. Mend or remove them, or take them as they are with"):
        opened(tmp_path, "pictures.on_bad=refuse")


def test_a_picture_in_two_splits_stays_in_the_later_one(tmp_path: Path) -> None:
    folders(tmp_path, split="train")
    folders(tmp_path, split="test", count=5, first=1000)
    for i in range(4):
        shutil.copy(tmp_path / "train" / "cat" / f"{i:02d}.png", tmp_path / "test" / "cat" / f"leak {i}.png")
    account = opened(tmp_path, "split.valid=0").account
    assert account["source"]["in_later_split"] == {"count": 4, "pictures": [f"train/cat/{i:02d}.png" for i in range(4)]}
    assert (account["splits"]["train"]["count"], account["splits"]["test"]["count"]) == (36, 14)
    with pytest.raises(DataError, match=r"4 pictures in two splits of the set: train/cat/00.png"):
        opened(tmp_path, "split.valid=0", "pictures.on_bad=refuse")


def test_a_split_that_is_another_one_again_stays_and_is_told(tmp_path: Path) -> None:
    folders(tmp_path, split="train")
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    account = opened(tmp_path).account
    assert account["splits"]["train"]["count"] == account["splits"]["valid"]["count"] == 40
    assert account["source"]["in_two_splits"]["count"] == 40


def test_the_last_picture_of_a_class_stays_in_train(tmp_path: Path) -> None:
    folders(tmp_path, split="train", count=6)
    drawn(tmp_path / "train" / "owl" / "0.png", 7777)
    folders(tmp_path, split="test", count=3, first=1000)
    drawn(tmp_path / "test" / "owl" / "0.png", 7777)
    sources = class_folders(str(tmp_path)).splits
    same = same_contents(sources)
    assert not same.leaving("train", sources["train"]).any() and same.in_later("train").sum() == 1
    rest, _ = without_repeats(sources, same)
    assert [len(source) for source in rest.values()] == [13, 7]
    assert same.account(sources)["in_two_splits"] == {"count": 1, "pictures": ["train/owl/0.png"]}


def test_only_files_of_one_length_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lensmith.data.store import same_contents as module

    folders(tmp_path, count=3)
    for number, path in enumerate(sorted(tmp_path.rglob("*.png"))):
        path.write_bytes(path.read_bytes() + b"x" * number * 2000)
    monkeypatch.setattr(module, "contents_of", lambda *args, **more: pytest.fail("read"))
    assert same_contents(class_folders(str(tmp_path)).splits).of_training() is None


def test_what_is_alike_moves_only_where_train_and_every_split_keep_something() -> None:
    strata = np.array([0, 0, 0, 0, 1, 1])
    numbers = np.array([0, 1, 0, 2, 0, 1])
    apart = np.arange(6)
    assert _together(numbers, apart, strata, None).tolist() == numbers.tolist()
    alike = np.array([0, 0, 2, 3, 4, 4])    # the last two are all of stratum 1, and then the last of valid
    assert _together(numbers, alike, strata, None).tolist() == [0, 0, 0, 2, 0, 1]
    assert _together(np.array([0, 1]), np.array([0, 0]), np.array([0, 0]), None).tolist() == [0, 1]


def test_coco_and_lists_that_name_a_picture_twice_are_refused_where_asked() -> None:
    with pytest.raises(DataError, match="1 picture listed twice: a.png. Mend or remove them"):
        refuse_repeats({"listed_twice": {"count": 1, "pictures": ["a.png"]}})
    refuse_repeats({"listed_twice": {"count": 0, "pictures": []}})
