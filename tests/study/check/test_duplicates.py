"""Duplicates: the same contents, and what is nearly the same after each of the usual changes; imagehash agrees."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lensmith.study.check.duplicates import near_pairs, same_pairs
from tests.study.check.conftest import drawn, names


def changed(image: Image.Image, change: str) -> Image.Image:
    width, height = image.size
    if change == "mirrored":
        return ImageOps.mirror(image)
    if change == "cropped":
        return image.crop((width // 10, 0, width, height - height // 10))
    if change == "cropped and enlarged":
        return image.crop((2, 1, width - 2, height - 3)).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
    if change == "brighter":
        return image.point(lambda value: min(255, int(value * 1.2)))
    if change == "darker":
        return image.point(lambda value: int(value * 0.8))
    if change == "all":
        return ImageOps.mirror(image.crop((1, 2, width - 3, height - 1))).point(lambda value: int(value * 0.8))
    return image


@pytest.mark.parametrize("change", ["mirrored", "cropped", "cropped and enlarged", "brighter", "darker", "re-encoded",
                                    "all"])
def test_near_duplicates_across_splits_are_a_leak(class_set: Path, found, change: str):
    for i in range(3):
        image = Image.open(class_set / "train" / "dog" / f"{i:02}.png")
        changed(image, change).save(class_set / "test" / "dog" / f"copy{i}.jpg", quality=40)
    leak, = found(class_set)["leak"]
    assert leak.severity == "error" and leak.number == 3 and "(train and test)" in leak.sentence
    pairs = {tuple(picture.path for picture in group.pictures) for group in leak.groups}
    assert pairs == {(f"train/dog/{i:02}.png", f"test/dog/copy{i}.jpg") for i in range(3)}
    # Of a leak the training picture is left out: what is measured stays as it was.
    assert sorted(picture.path for picture in leak.leave_out) == [f"train/dog/{i:02}.png" for i in range(3)]


def test_the_same_contents_within_a_split_and_with_two_labels(class_set: Path, found):
    content = (class_set / "train" / "dog" / "00.png").read_bytes()
    (class_set / "train" / "dog" / "again.png").write_bytes(content)
    (class_set / "train" / "cat" / "wrong.png").write_bytes(content)
    kinds = found(class_set)
    assert kinds["duplicate"][0].number == 2 and sorted(set(names(kinds["duplicate"][0]))) == [
        "00.png", "again.png", "wrong.png"]
    contradiction, = kinds["contradiction"]
    assert contradiction.severity == "error" and "with two labels" in contradiction.sentence
    assert set(contradiction.groups[0].captions) == {"cat", "dog"}
    assert "near-duplicate" not in kinds and "leak" not in kinds


def test_exact_copies_in_two_splits_of_the_set_are_told(class_set: Path, found):
    content = (class_set / "train" / "dog" / "00.png").read_bytes()
    (class_set / "test" / "dog" / "copy.png").write_bytes(content)
    leak, = found(class_set)["leak"]
    assert leak.severity == "warning" and "the later of train, valid and test alone" in leak.sentence


def test_a_near_copy_of_a_picture_that_is_left_out_is_one_of_its_copy(class_set: Path, found):
    """The training picture is in test too, where it stays: its near copy in train leaks that one."""
    image = class_set / "train" / "dog" / "00.png"
    (class_set / "test" / "dog" / "same.png").write_bytes(image.read_bytes())
    ImageOps.mirror(Image.open(image)).save(class_set / "train" / "dog" / "near.png")
    severities = {(finding.severity, tuple(sorted(names(finding)))) for finding in found(class_set)["leak"]}
    assert severities == {("error", ("near.png", "same.png")), ("warning", ("00.png", "same.png"))}


def test_pairs_agree_with_imagehash_on_re_encoded_pictures(class_set: Path, known):
    """Independent oracle: perceptual hashes (Zauner 2010) of the same files find the same pairs."""
    imagehash = pytest.importorskip("imagehash")
    for i in range(5):
        Image.open(class_set / "train" / "cat" / f"{i:02}.png").save(class_set / "test" / "cat" / f"copy{i}.jpg",
                                                                     quality=60)
    the_set = known(class_set)
    hashes = [imagehash.phash(Image.open(class_set / path), hash_size=16).hash.ravel() for path in the_set.paths]
    distances = np.array([[(a != b).sum() for b in hashes] for a in hashes])
    expected = {(int(a), int(b)) for a, b in np.argwhere(distances < 40) if a < b}
    pairs = near_pairs(the_set)
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected and len(expected) == 5
    assert not len(same_pairs(the_set).first)


def test_simple_pictures_that_fit_each_other_are_no_copies(known):
    """Drawn shapes of which a few kinds lie at many places: at 0.95 hundreds of pairs would fit."""
    the_set = known("shapes", "data.count=300", "data.size=40")
    assert len(near_pairs(the_set).first) <= 6


def test_a_set_of_two_pictures(tmp_path: Path, known):
    for seed, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        drawn(seed).save(tmp_path / name / "0.png")
    the_set = known(tmp_path, "split.valid=0", "split.test=0")
    assert not len(near_pairs(the_set).first)
