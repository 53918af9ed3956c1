"""Sets in which several folders can be the masks, which lie deeper, or whose names differ from the pictures'."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.base.errors import DataError, Question
from lensmith.data.formats.detect import recognise
from lensmith.data.formats.masks.object_masks import object_masks
from lensmith.data.formats.masks.semantic_masks import labelled_pixels
from tests.data.formats.test_rivals import asked


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(path)


def mask(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def square(value: int, dtype: type = np.uint8) -> np.ndarray:
    values = np.zeros((20, 30), dtype=dtype)
    values[5:12, 3:13] = value
    return values


def test_the_mask_of_a_view_beside_the_one_of_vessels(tmp_path: Path):
    """DRIVE: mask/ shows where the picture is, 1st_manual/ what is learned, and its files have other names."""
    for part, first in (("training", 21), ("test", 1)):
        for i in range(first, first + 4):
            photo(tmp_path / f"{part}/images/{i:02}_{part}.tif", i)
            mask(tmp_path / f"{part}/mask/{i:02}_{part}_mask.gif", np.full((20, 30), 255, np.uint8))
            mask(tmp_path / f"{part}/1st_manual/{i:02}_manual1.gif", square(255))
    mask(tmp_path / "test/2nd_manual/01_manual2.gif", square(255))
    with pytest.raises(Question) as told:
        labelled_pixels(str(tmp_path))
    assert [answer.settings[1:] for answer in told.value.answers] == [
        ("data.images=images", "data.masks=mask"), ("data.images=images", "data.masks=1st_manual")]
    opened = labelled_pixels(str(tmp_path), images="images", masks="1st_manual")
    assert {split: len(source) for split, source in opened.splits.items()} == {"train": 4, "test": 4}
    assert opened.splits["train"].targets["mask"].masks[0].path.name == "21_manual1.gif"
    with pytest.raises(DataError, match="data.masks=.*absent is no folder"):
        labelled_pixels(str(tmp_path / "test"), images="images", masks="absent")


def test_names_in_common_are_enough_where_one_folder_is_called_masks(tmp_path: Path):
    for i in range(6):
        photo(tmp_path / f"CXR_png/CHN_{i:04}.png", i)
        if i:
            mask(tmp_path / f"masks/CHN_{i:04}_mask.png", square(255))
    (tmp_path / "ClinicalReadings").mkdir()
    (tmp_path / "ClinicalReadings/CHN_0000.txt").write_text("normal")
    assert recognise(tmp_path) == "masks"
    assert len(labelled_pixels(str(tmp_path)).splits["all"]) == 5


def test_classes_called_mask_and_face_stay_classes(tmp_path: Path):
    for i in range(5):
        photo(tmp_path / f"mask/{i}.png", i)
        photo(tmp_path / f"face/{i}.png", 10 + i)
    assert recognise(tmp_path) == "folder"


def in_upper_byte(folder: Path, pictures: str, numbers: str, classes: str, colours: str | None = None) -> None:
    for i in range(4):
        photo(folder / f"{pictures}/{i:06}_10.png", i)
        values = np.full((20, 30), 7 * 256, np.uint16)
        values[2:6, 2:6], values[10:14, 10:20], values[16:19, 1:9] = 26 * 256 + 1, 24 * 256 + 1 + i, 26 * 256
        mask(folder / f"{numbers}/{i:06}_10.png", values)    # of 16 bits
        mask(folder / f"{classes}/{i:06}_10.png", (values >> 8).astype(np.uint8))
        if colours is not None:
            mask(folder / f"{colours}/{i:06}_10.png", np.dstack([(values >> 8).astype(np.uint8)] * 3))


@pytest.mark.parametrize("folders", [("image_2", "instance", "semantic", "semantic_rgb"),
                                     ("images", "v1.2/instances", "v1.2/labels")])
def test_kitti_and_mapillary_number_objects_by_class_and_number(folders: tuple[str, ...], tmp_path: Path):
    """The road, 7, has no number and is no object; cars without a number, 26, are a crowd."""
    in_upper_byte(tmp_path / "training", *folders)
    photo(tmp_path / f"testing/{folders[0]}/1.png", 9)
    assert recognise(tmp_path) == "object-masks"
    source = next(iter(object_masks(str(tmp_path)).splits.values()))
    assert source.classes["masks"] == ("24", "26")
    value = source.targets["masks"]
    found = [(int(number), *map(int, corners), bool(crowd)) for number, corners, crowd, image in
             zip(value.classes.tolist(), value.corners.tolist(), value.crowd.tolist(), value.image.tolist(),
                 strict=True) if image == 0]
    assert sorted(found) == [(0, 10, 10, 20, 14, False), (1, 1, 16, 9, 19, True), (1, 2, 2, 6, 6, False)]


def test_masks_in_the_alpha(tmp_path: Path):
    for i in range(4):
        photo(tmp_path / f"images/{i}.png", i)
        alpha = np.zeros((20, 30, 4), np.uint8)
        alpha[:, :, :3], alpha[5:12, 3:13, 3] = 255, 255
        mask(tmp_path / f"masks/{i}.png", alpha)
    opened = labelled_pixels(str(tmp_path))
    assert opened.account["pixels"]["255"] == pytest.approx(70 / 600, abs=1e-6)


def test_gray_edges_are_asked_about(tmp_path: Path):
    for i in range(4):
        photo(tmp_path / f"images/{i}.png", i)
        values = square(255)
        values[5, 3:13], values[11, 3:13] = np.arange(20, 120, 10), np.arange(135, 235, 10)
        mask(tmp_path / f"masks/{i}.png", values)
    with pytest.raises(Question, match=r"have 22 values, and all but 3\.3% of their pixels are 0 or 255") as told:
        labelled_pixels(str(tmp_path))
    assert told.value.answers[0].settings == ("data.name=masks", 'data.ids={0-127 = "background", 128-255 = "object"}')
    opened = labelled_pixels(str(tmp_path), ids={"0-127": "background", "128-255": "object"})
    assert opened.account["pixels"]["object"] == pytest.approx(60 / 600, abs=1e-6)


def test_splits_of_isic_by_the_word_that_differs(tmp_path: Path):
    for part, number in (("Training", 4), ("Validation", 2)):
        for i in range(number):
            photo(tmp_path / f"ISIC2018_Task1-2_{part}_Input/ISIC_{part}{i}.png", i)
            mask(tmp_path / f"ISIC2018_Task1_{part}_GroundTruth/ISIC_{part}{i}_segmentation.png", square(255))
    opened = labelled_pixels(str(tmp_path))
    assert {split: len(source) for split, source in opened.splits.items()} == {"train": 4, "valid": 2}


def test_two_folders_of_masks_are_asked_about(tmp_path: Path):
    for i in range(4):
        photo(tmp_path / f"images/{i}.png", i)
        for name in ("masks", "segmentations"):
            mask(tmp_path / f"{name}/{i}.png", square(1))
    assert asked(tmp_path) == ["data.name=masks data.images=images data.masks=masks",
                               "data.name=masks data.images=images data.masks=segmentations"]


def test_masks_in_jpeg_are_told(tmp_path: Path):
    for i in range(4):
        photo(tmp_path / f"images/{i}.png", i)
        mask(tmp_path / f"masks/{i}.jpg", square(255))
    assert "4 masks in a format that changes pixels (JPEG" in labelled_pixels(str(tmp_path)).account["notes"][0]
