"""Sets of pictures with masks as a recipe opens them."""

import json
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.detect import recognise
from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.masks.semantic_masks import labelled_pixels
from lensmith.data.sources.fitting import fit_source
from lensmith.data.sources.picture_form import settle_form, survey
from lensmith.recipe import schema as recipes
from lensmith.recipe.open_data import open_data
from lensmith.recipe.sections import resolve
from lensmith.values.semantic_mask import Mask

GIVEN = os.environ.get("LENSMITH_DATA", "")


def write(folder: Path, masks: dict[str, np.ndarray], *, images: str = "images/{}.jpg", to: str = "masks/{}.png",
          palette: list[int] | None = None) -> None:
    for name, ids in masks.items():
        picture, mask = folder / images.format(name), folder / to.format(name)
        for file in (picture, mask):
            file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", ids.shape[1::-1], (90, 90, 90)).save(picture)
        image = Image.fromarray(ids)
        if palette is not None:
            image.putpalette(palette)
        image.save(mask)


def halves(first: int, second: int) -> np.ndarray:
    """Ids of a picture of 12 x 8 pixels: the left half `first`, the right half `second`."""
    return np.repeat(np.array([[first] * 6 + [second] * 6], dtype=np.uint8), 8, axis=0)


def classes_of(source) -> torch.Tensor:
    """uint8 [n, 8, 12]: the masks of a source, at their own size."""
    found = survey(source)
    value = fit_source(source, found.headers, settle_form([found])).targets["mask"]
    assert isinstance(value, Mask)
    return value.classes


def test_ids_that_occur_are_the_classes_in_order(tmp_path: Path):
    write(tmp_path, {"a": halves(3, 10), "b": halves(10, 255), "c": halves(7, 3)})
    parts = labelled_pixels(str(tmp_path))
    source = parts.splits["all"]
    assert source.classes == {"mask": ("3", "7", "10")} and len(source) == 3
    masks = classes_of(source)
    assert masks[:, 0, [0, 11]].tolist() == [[0, 2], [2, 255], [1, 0]]
    assert parts.account == {
        "folder": str(tmp_path), "pictures": {"all": 3}, "layout": "folders", "classes_from": "the ids that occur",
        "ids": {"3": [3], "7": [7], "10": [10]}, "void": [255],
        "pixels": {"3": 0.333333, "7": 0.166667, "10": 0.333333, "(void)": 0.166667},
        "void_alone": {"count": 0, "pictures": []}, "unlabelled": {"count": 0, "taken_as": "leave", "pictures": []},
        "masks_without_picture": {"count": 0, "files": []}, "in_no_split": 0,
        "ignored_folders": [],
        "notes": ["void, neither learned nor measured, are the ids 255 of the masks: 16.7% of their pixels "
                  "(data.void)"]}


def test_settings_name_the_ids(tmp_path: Path):
    write(tmp_path, {"a": halves(1, 2), "b": halves(2, 3)}, to="trimaps/{}.png")
    parts = labelled_pixels(str(tmp_path), ids={"1": "pet", "2": "rest", "3": "void"})
    assert parts.splits["all"].classes == {"mask": ("pet", "rest")} and parts.account["void"] == [3]
    assert classes_of(parts.splits["all"])[:, 0, [0, 11]].tolist() == [[0, 1], [1, 255]]
    merged = labelled_pixels(str(tmp_path), ids={"1": "pet", "3": "pet", "2": "rest"}).splits["all"]
    assert classes_of(merged)[:, 0, [0, 11]].tolist() == [[0, 1], [1, 0]]
    declared = labelled_pixels(str(tmp_path), void=2).splits["all"]
    assert declared.classes["mask"] == ("1", "3") and (classes_of(declared)[0, 0, [0, 11]].tolist() == [0, 255])


def test_palettes_and_lists_of_colours(tmp_path: Path):
    """Masks in colours and in a palette say the same, in the order of the list."""
    palette = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [0, 0, 0] * 253
    write(tmp_path, {"a": halves(1, 2), "b": halves(0, 1)}, palette=palette)
    assert labelled_pixels(str(tmp_path)).splits["all"].classes == {"mask": ("0", "1", "2")}
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nRoad,0,128,0\nSky,128,0,0\nVoid,0,0,0\n")
    by_palette = labelled_pixels(str(tmp_path)).splits["all"]
    for file in (tmp_path / "masks").iterdir():
        Image.open(file).convert("RGB").save(file)
    parts = labelled_pixels(str(tmp_path))
    assert parts.splits["all"].classes == {"mask": ("Road", "Sky")}
    assert parts.account["classes_from"] == str(tmp_path / "class_dict.csv")
    masks = classes_of(parts.splits["all"])
    assert masks[:, 0, [0, 11]].tolist() == [[1, 0], [255, 1]]
    assert torch.equal(masks, classes_of(by_palette))
    (tmp_path / "class_dict.csv").unlink()
    with pytest.raises(DataError, match=f"^mask {tmp_path}/masks/a.png is in colours .RGB., and nothing says which"):
        labelled_pixels(str(tmp_path))


def test_cityscapes_and_voc_have_their_splits(tmp_path: Path):
    city = tmp_path / "city"
    for split, name in (("train", "a"), ("val", "b")):
        write(city, {name: halves(7, 4)}, images=f"leftImg8bit/{split}/x/{{}}_leftImg8bit.png",
              to=f"gtFine/{split}/x/{{}}_gtFine_labelIds.png")
    parts = labelled_pixels(str(city))
    assert set(parts.splits) == {"train", "valid"} and parts.splits["train"].classes["mask"][:2] == ("road", "sidewalk")
    assert classes_of(parts.splits["valid"])[0, 0, [0, 11]].tolist() == [0, 255]
    voc = tmp_path / "voc"
    write(voc, {name: halves(0, 15) for name in "abc"}, images="JPEGImages/{}.jpg", to="SegmentationClass/{}.png")
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("b\n")
    parts = labelled_pixels(str(voc))
    assert {split: len(part) for split, part in parts.splits.items()} == {"train": 1, "valid": 1}
    assert parts.account["in_no_split"] == 1


def test_objects_are_painted(tmp_path: Path):
    Image.new("L", (12, 8)).save(tmp_path / "a.png")
    shapes = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 4, "name": "cat"}],
              "annotations": [{"image_id": 1, "category_id": 4, "segmentation": [[6, 0, 12, 0, 12, 8, 6, 8]]}]}
    (tmp_path / "set.json").write_text(json.dumps(shapes))
    by_coco = labelled_pixels(str(tmp_path / "set.json"))
    assert by_coco.splits["all"].classes == {"mask": ("background", "cat")} and by_coco.account["layout"] == "coco"
    yolo = tmp_path / "yolo"
    (yolo / "images").mkdir(parents=True)
    (yolo / "labels").mkdir()
    Image.new("L", (12, 8)).save(yolo / "images" / "a.png")
    (yolo / "labels" / "a.txt").write_text("0 0.5 0 1 0 1 1 0.5 1\n")
    (yolo / "data.yaml").write_text("train: images\nnames: [cat]\n")
    by_yolo = labelled_pixels(str(yolo))
    assert by_yolo.splits["train"].classes == by_coco.splits["all"].classes
    assert torch.equal(classes_of(by_yolo.splits["train"]), classes_of(by_coco.splits["all"]))
    assert classes_of(by_yolo.splits["train"])[0, 0].tolist() == [0] * 6 + [1] * 6
    (yolo / "labels" / "a.txt").write_text("")
    with pytest.raises(DataError, match=f"^{yolo} holds no object with an outline: there is nothing to learn$"):
        labelled_pixels(str(yolo))


def test_pictures_without_mask_are_told_or_refused(tmp_path: Path):
    write(tmp_path, {"a": halves(0, 1), "b": halves(0, 1), "c": halves(0, 1)})
    (tmp_path / "masks" / "b.png").unlink()
    (tmp_path / "images" / "c.jpg").unlink()
    parts = labelled_pixels(str(tmp_path))
    assert len(parts.splits["all"]) == 1
    assert parts.account["unlabelled"] == {"count": 1, "taken_as": "leave", "pictures": ["images/b.jpg"]}
    assert parts.account["masks_without_picture"] == {"count": 1, "files": ["masks/c.png"]}
    with pytest.raises(DataError, match=f"^1 picture without mask: {tmp_path}/images/b.jpg. Label them, or say "
                                        r"data.unlabelled=leave \(they are left out\)$"):
        labelled_pixels(str(tmp_path), unlabelled="refuse")
    with pytest.raises(UserError, match=r"^data.unlabelled=empty is for objects; a picture without a mask of pixels"):
        labelled_pixels(str(tmp_path), unlabelled="empty")
    (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "z.png")
    with pytest.raises(DataError, match=f"^{tmp_path} holds 2 pictures and 2 masks, none of one name: accepted are im"):
        labelled_pixels(str(tmp_path))


def test_ids_outside_the_list_are_named_before_training(tmp_path: Path):
    write(tmp_path, {"a": halves(0, 1), "b": halves(1, 9)})
    with pytest.raises(DataError) as told:
        labelled_pixels(str(tmp_path), classes=["sky", "road"])
    assert str(told.value) == (f"mask {tmp_path}/masks/b.png holds the id 9 at x=6, y=0, which is none of the ids of "
                               "data.classes (0, 1): add it there, or say what it is with data.ids or data.void")


def test_masks_that_are_void_alone_are_counted(tmp_path: Path):
    write(tmp_path, {"a": halves(0, 1), "b": halves(255, 255)})
    assert labelled_pixels(str(tmp_path)).account["void_alone"] == {"count": 1, "pictures": ["images/b.jpg"]}
    with pytest.raises(DataError, match=rf"^every mask of {tmp_path} is void alone \(the ids \[0, 1, 255\]\): there is "
                                        "nothing to learn; say which ids are void with data.void or data.ids$"):
        labelled_pixels(str(tmp_path), ids={"0": "void", "1": "void", "255": "void", "2": "cat", "3": "dog"})


def test_folders_and_settings_that_do_not_fit_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=f"^{tmp_path} holds no pictures with masks: accepted are images/ with masks/"):
        labelled_pixels(str(tmp_path))
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=f"^{tmp_path} holds no pictures with masks: "):
        labelled_pixels(str(tmp_path))
    with pytest.raises(DataError, match=f"^{tmp_path} holds no picture: accepted are"):
        labelled_pixels(str(tmp_path), images="images", masks="masks")
    with pytest.raises(UserError, match=r"^data.masks='masks' is given without data.images: name both folders$"):
        labelled_pixels(str(tmp_path), masks="masks")
    (tmp_path / "masks" / "a.png").touch()
    with pytest.raises(UserError, match=r"^data.images='images' is given without data.masks: name both folders$"):
        labelled_pixels(str(tmp_path), images="images")
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(UserError, match=rf"^data.void is for masks of pixels, and {tmp_path} holds none: leave it out"):
        labelled_pixels(str(tmp_path), void=3)
    for void in (-1, [0, 70_000]):
        with pytest.raises(UserError, match=r"^data.void=.* is not possible: accepted are ids, 0 to 65535$"):
            labelled_pixels(str(tmp_path), images="images", masks="masks", void=void)
    with pytest.raises(DataError, match=f"^{tmp_path}/mask does not exist. Did you mean 'masks'"):
        labelled_pixels(str(tmp_path / "mask"))
    with pytest.raises(UserError, match=r"^data.classes='list.txt' must be a list of names here, where objects are"):
        labelled_pixels(str(tmp_path), classes="list.txt")


def test_a_recipe_names_the_settings_and_a_changed_mask_is_noticed(tmp_path: Path):
    write(tmp_path, {name: halves(1, 2) for name in "abcdefghijkl"})
    data = {"name": "masks", "path": str(tmp_path), "ids": {"1": "pet", "2": "rest"}}
    recipe, streamed = (resolve({"data": data, "loading": {"memory": share}}, trusted=False) for share in (0.4, 0.0))
    first = open_data(recipe)
    assert open_data(streamed).account["fingerprint"] == first.account["fingerprint"]
    assert json.loads(json.dumps(first.account))["source"]["ids"] == {"pet": [1], "rest": [2]}
    assert tomllib.loads(recipes.as_toml(recipe))["data"]["ids"] == {"1": "pet", "2": "rest"}
    assert open_data(recipe).account["fingerprint"] == first.account["fingerprint"]
    changed = tmp_path / "masks" / Path(first.account["files"]["train"][0]).with_suffix(".png").name
    Image.fromarray(halves(2, 1)).save(changed)
    assert open_data(recipe).account["fingerprint"] != first.account["fingerprint"]


def test_a_picture_that_cannot_be_read_leaves_with_its_mask(tmp_path: Path):
    write(tmp_path, {name: halves(i, 9) for i, name in enumerate("abcdef")})
    (tmp_path / "images" / "c.jpg").write_text("no picture")
    found = open_data(resolve({"data": {"name": "masks", "path": str(tmp_path)},
                               "split": {"valid": 0.0, "test": 0.0}}, trusted=False))
    assert [one["file"] for one in found.account["dropped"]] == ["images/c.jpg"]
    assert found.splits["train"].targets["mask"].classes[:, 0, 0].tolist() == [0, 1, 3, 4, 5]


@pytest.mark.skipif(not GIVEN, reason="LENSMITH_DATA is not set: no coco128, no pets3")
def test_real_sets_are_opened():
    pets = labelled_pixels(f"{GIVEN}/pets3", ids={"1": "pet", "2": "rest", "3": "void"})
    assert len(pets.splits["all"]) == 600 and pets.splits["all"].classes == {"mask": ("pet", "rest")}
    assert 0.2 < pets.account["pixels"]["pet"] < 0.4 and pets.account["void_alone"]["count"] == 0
    stuff = labelled_pixels(f"{GIVEN}/coco128/semantic_segmentation")
    assert {split: len(part) for split, part in stuff.splits.items()} == {"train": 100, "valid": 100}
    assert stuff.account["void"] == [0] and "grass-merged" in stuff.splits["train"].classes["mask"]
    things = labelled_pixels(f"{GIVEN}/coco128/instance_segmentation")
    names = things.splits["train"].classes["mask"]
    assert len(things.splits["train"]) == 100 and names[:2] == ("background", "person") and len(names) == 81
    # The same pictures, and in both every pixel of a person is one: the outlines are those that the masks are made of.
    part = things.splits["train"].subset(range(12))
    rows = [stuff.splits["train"].paths.index(path) for path in part.paths]
    painted, given = classes_of_size(part), classes_of_size(stuff.splits["train"].subset(rows))
    person = painted == 1, given == stuff.splits["train"].classes["mask"].index("person")
    assert person[1].any() and (person[0] & person[1]).sum() / (person[0] | person[1]).sum() > 0.85


def classes_of_size(source) -> torch.Tensor:
    found = survey(source)
    value = fit_source(source, found.headers, settle_form([found], size=320, channels=3)).targets["mask"]
    assert isinstance(value, Mask)
    return value.classes


def test_masks_that_a_network_is_measured_on_have_its_classes(tmp_path: Path):
    """Its ids where the set lists none; the set's own list where it has one."""
    write(tmp_path, {"a": halves(4, 4), "b": halves(4, 9)})
    known = KnownClasses({"mask": ("rest", "pet")}, {"0": "rest", "4": "pet", "9": "void"})
    parts = labelled_pixels(str(tmp_path), known=known)
    assert parts.splits["all"].classes == {"mask": ("rest", "pet")} and parts.account["void"] == [9]
    assert classes_of(parts.splits["all"])[:, 0, [0, 11]].tolist() == [[1, 1], [1, 255]]
    (tmp_path / "classes.txt").write_text("\n".join(f"class {i}" for i in range(10)))
    assert len(labelled_pixels(str(tmp_path), known=known).splits["all"].classes["mask"]) == 10


def test_roboflows_export_of_masks_has_its_class_names(tmp_path: Path):
    """Pictures with masks beside them in folders of splits, each with a _classes.csv of pixel values."""
    for split in ("train", "valid", "test"):
        write(tmp_path / split, {"a_jpg.rf.1f": halves(0, 1), "b_jpg.rf.2e": halves(2, 0)}, images="{}.jpg",
              to="{}_mask.png")
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, big cat\n2, dog\n")
    assert recognise(tmp_path) == "masks"
    parts = labelled_pixels(str(tmp_path))
    assert {name: len(source) for name, source in parts.splits.items()} == {"train": 2, "valid": 2, "test": 2}
    assert parts.splits["train"].classes == {"mask": ("background", "big cat", "dog")}
    assert classes_of(parts.splits["train"])[:, 0, [0, 11]].tolist() == [[0, 1], [2, 0]]
    assert parts.account["classes_from"].endswith("_classes.csv")
    assert len(labelled_pixels(str(tmp_path / "train")).splits["all"]) == 2    # one of its folders alone
    (tmp_path / "valid/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, dog\n2, big cat\n")
    with pytest.raises(DataError, match="_classes.csv name other classes: make them agree"):
        labelled_pixels(str(tmp_path))
    for text in ("1 cat", "x, cat", "1,", "1, cat\n1, dog"):
        for split in ("train", "valid", "test"):
            (tmp_path / split / "_classes.csv").write_text(f"pixel value,class\n{text}\n")
        with pytest.raises(DataError, match=r"_classes.csv, line [23]: '.*' is no value of pixels with the name of"):
            labelled_pixels(str(tmp_path))
    for split in ("train", "valid", "test"):    # of its classification, a column for each class: no names of pixels
        (tmp_path / split / "_classes.csv").write_text("filename,cat,dog\na_jpg.rf.1f.jpg,1,0\n")
    assert labelled_pixels(str(tmp_path)).splits["train"].classes == {"mask": ("0", "1", "2")}
