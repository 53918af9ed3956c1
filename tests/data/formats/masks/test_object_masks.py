"""Objects with a mask each, and masks that number their objects: which are whose, their pixels, and the training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import Form
from lensmith.data.formats.detect import recognise
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.object_folders import object_layout
from lensmith.data.formats.masks.object_masks import object_masks
from lensmith.data.formats.masks.semantic_masks import labelled_pixels
from lensmith.data.sources.fitting import fit_source

OBJECTS = [(2, 3, 9, 8), (12, 1, 20, 15)]    # x0 y0 x1 y1 of the objects in every picture
SIZE = (16, 24)                              # height, width


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def picture(seed: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(90, 120, (*SIZE, 3), dtype=np.uint8)
    for x0, y0, x1, y1 in OBJECTS:
        pixels[y0:y1, x0:x1] = (220, 40, 40)
    return pixels


def mask_of(*numbers: tuple[int, int]) -> np.ndarray:
    """A mask with the objects of these numbers, each with its value."""
    mask = np.zeros(SIZE, dtype=np.uint8)
    for number, value in numbers:
        x0, y0, x1, y1 = OBJECTS[number]
        mask[y0:y1, x0:x1] = value
    return mask


def a_folder_each(root: Path, count: int = 3) -> Path:
    for i in range(count):
        save(root / f"id{i}/images/id{i}.png", picture(i))
        for number in range(len(OBJECTS)):
            save(root / f"id{i}/masks/{i}{number}c.png", mask_of((number, 255)))
    return root


def several_each(root: Path, name: str) -> Path:
    for i in range(3):
        save(root / f"images/p{i}.png", picture(i))
        for number in range(len(OBJECTS)):
            save(root / f"masks/{name.format(i=i, number=number)}.png", mask_of((number, 255)))
    return root


def numbered(root: Path, masks: str = "instances", mode: str = "L", name: str = "p{}") -> Path:
    for i in range(3):
        save(root / f"images/p{i}.png", picture(i))
        values = mask_of((0, 1), (1, 2))
        if mode == "I;16":
            values = values.astype(np.uint16) * 300
        if mode == "RGB":
            values = np.stack([values * 70, values * 20, 0 * values], axis=2)
        save(root / f"{masks}/{name.format(i)}.png", values)
    return root


MADE = {
    "a folder for each": a_folder_each,
    "numbers behind names": lambda root: several_each(root, "p{i}_{number}"),
    "numbers behind a word": lambda root: several_each(root, "p{i}_mask_{number}"),
    "folders called as pictures": lambda root: several_each(root, "p{i}/{number}"),
    "numbers of objects": numbered,
    "deep numbers": lambda root: numbered(root, mode="I;16"),
    "colours": lambda root: numbered(root, mode="RGB"),
    "of VOC": lambda root: numbered(root, masks="SegmentationObject"),
    "instance masks": lambda root: numbered(root, masks="instance_masks", name="p{}_instance"),
}


@pytest.mark.parametrize("how", MADE)
def test_every_object_is_found_with_its_pixels(how: str, tmp_path: Path):
    root = MADE[how](tmp_path / "set")
    assert recognise(root) == "object-masks"
    source = object_masks(str(root)).splits["all"]
    objects = source.targets["masks"]
    assert len(source) == 3 and source.classes == {"masks": ("object",)}
    assert objects.image.tolist() == [0, 0, 1, 1, 2, 2]
    assert sorted(map(tuple, objects.corners.tolist()[:2])) == sorted(OBJECTS)
    form = Form(3, *SIZE)
    headers = [read_header(path) for path in source.paths]
    masks = fit_source(source, headers, form).targets["masks"]
    pixels = np.unpackbits(masks.bits[:2].numpy(), axis=2)[:, :, : SIZE[1]]
    assert sorted(int(each.sum()) for each in pixels) == sorted((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in OBJECTS)
    assert list(object_masks(str(root), outlines=False).splits["all"].targets) == ["boxes"]


def test_splits_and_a_part_without_masks(tmp_path: Path):
    a_folder_each(tmp_path / "stage1_train")
    for i in range(2):
        save(tmp_path / f"stage1_test/t{i}/images/t{i}.png", picture(i))
    opened = object_masks(str(tmp_path))
    assert list(opened.splits) == ["train"] and opened.account["ignored_folders"] == ["stage1_test"]


def test_what_has_no_mask_or_no_pixel_is_counted(tmp_path: Path):
    root = a_folder_each(tmp_path / "set", count=4)
    for file in (root / "id3/masks").iterdir():
        file.unlink()
    save(root / "id0/masks/none.png", mask_of())
    account = object_masks(str(root)).account
    assert account["unlabelled"]["pictures"] == ["id3/images/id3.png"] and account["empty_masks"]["count"] == 1
    assert len(object_masks(str(root), unlabelled="empty").splits["all"]) == 4
    with pytest.raises(DataError, match=r"1 picture without mask of an object: .*id3.png"):
        object_masks(str(root), unlabelled="refuse")


def test_void_beside_numbers_is_no_object(tmp_path: Path):
    root = numbered(tmp_path)
    mask = mask_of((0, 1), (1, 2))
    mask[0] = 255
    save(root / "instances/p0.png", mask)
    assert len(object_masks(str(root)).splits["all"].targets["masks"].classes) == 6


def test_one_mask_of_all_objects_is_learned_by_name(tmp_path: Path):
    opened = labelled_pixels(str(a_folder_each(tmp_path / "set")))
    source = opened.splits["all"]
    assert source.classes == {"mask": ("background", "object")}
    assert (source.targets["mask"].masks[0].read(SIZE) == np.minimum(mask_of((0, 1), (1, 1)), 1)).all()
    assert labelled_pixels(str(tmp_path / "set"), classes=["cell"]).splits["all"].classes["mask"][1] == "cell"


def test_folders_are_named_by_settings(tmp_path: Path):
    root = numbered(tmp_path, masks="nuclei")
    assert object_layout(Listing(root)) is None
    opened = object_masks(str(root), images="images", masks="nuclei", classes=["nucleus"])
    assert opened.splits["all"].classes == {"masks": ("nucleus",)}
    for settings, said in [({"images": "images"}, "data.images and data.masks name the folders"),
                           ({"images": "images", "masks": "nuclei", "classes": ["a", "b"]},
                            r"data.classes=\['a', 'b'\] names classes, and nothing tells the class of an object here: "
                            "a folder of masks of classes beside that of numbers does, or files called"),
                           ({"images": "images", "masks": "nuclei", "ids": {"1": "a"}}, "data.ids=.* names classes"),
                           ({"images": "images", "masks": "none"}, "data.masks=.*none is no folder"),
                           ({}, "holds no masks of objects: accepted are <id>/images with <id>/masks for each")]:
        with pytest.raises((DataError, UserError), match=said):
            object_masks(str(root), **settings)


def test_masks_with_ids_of_classes_stay_masks(tmp_path: Path):
    assert recognise(numbered(tmp_path, masks="masks")) == "masks"
    assert len(object_masks(str(tmp_path)).splits["all"].targets["masks"].classes) == 6


def test_instances_learn_from_a_folder_for_each_picture(tmp_path: Path, command):
    root = a_folder_each(tmp_path / "set", count=12)
    ended = command("train", root, "--epochs", 1, "--plan", "exact", "--backbone", "csp", "backbone.width=8", "--size",
                    64, "--batch", 4, "--runs", tmp_path / "runs", "--name", "one", "-q")
    assert ended.code == 0, ended.err
    assert 'name = "instances"' in (tmp_path / "runs/one/recipe.toml").read_text()
    boxes = command("data", "show", root)
    assert boxes.code == 0 and "object" in boxes.out
