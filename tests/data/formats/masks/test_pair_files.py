"""Which file is the mask of which picture, in every layout."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError, Question
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.pair_files import find_masks, recognise_masks

YAML = "train:\n  images: ../photos/train\n  masks: m/train\nval:\n  images: ../photos/val\n  masks: m/val\n" \
       "classes: {0: a, 1: b}\n"
# Files, and by split the pictures and masks that belong together.
CASES: dict[str, tuple[list[str], dict[str, list[tuple[str, str]]]]] = {
    "images and masks": (["images/a.jpg", "images/b.png", "masks/a.png", "masks/b.png"],
                         {"all": [("images/a.jpg", "masks/a.png"), ("images/b.png", "masks/b.png")]}),
    "endings": (["images/a.jpg", "images/b.jpg", "masks/a_mask.png", "masks/b_L.png"],
                {"all": [("images/a.jpg", "masks/a_mask.png"), ("images/b.jpg", "masks/b_L.png")]}),
    "splits below": (["images/train/a.jpg", "images/val/b.jpg", "masks/train/a.png", "masks/val/b.png"],
                     {"train": [("images/train/a.jpg", "masks/train/a.png")],
                      "valid": [("images/val/b.jpg", "masks/val/b.png")]}),
    "splits above": (["train/images/a.jpg", "train/masks/a.png", "test/images/b.jpg", "test/masks/b.png"],
                     {"train": [("train/images/a.jpg", "train/masks/a.png")],
                      "test": [("test/images/b.jpg", "test/masks/b.png")]}),
    "labels": (["images/x/a.jpg", "labels/x/a.png"], {"all": [("images/x/a.jpg", "labels/x/a.png")]}),
    "pets": (["images/a.jpg", "annotations/list.txt", "annotations/trimaps/a.png", "annotations/xmls/a.xml"],
             {"all": [("images/a.jpg", "annotations/trimaps/a.png")]}),
    "trimaps": (["images/a.jpg", "trimaps/a.png"], {"all": [("images/a.jpg", "trimaps/a.png")]}),
    "voc": (["JPEGImages/a.jpg", "SegmentationClass/a.png", "Annotations/a.xml"],
            {"all": [("JPEGImages/a.jpg", "SegmentationClass/a.png")]}),
    "camvid": (["train/a.png", "trainannot/a.png", "val/b.png", "valannot/b.png", "test/c.png", "testannot/c.png"],
               {"train": [("train/a.png", "trainannot/a.png")], "valid": [("val/b.png", "valannot/b.png")],
                "test": [("test/c.png", "testannot/c.png")]}),
    "camvid in colours": (["train/a.png", "train_labels/a_L.png", "val/b.png", "val_labels/b_L.png"],
                          {"train": [("train/a.png", "train_labels/a_L.png")],
                           "valid": [("val/b.png", "val_labels/b_L.png")]}),
    "cityscapes": (["leftImg8bit/train/aachen/a_leftImg8bit.png", "leftImg8bit/val/bonn/b_leftImg8bit.png",
                    *(f"gtFine/{place}_gtFine_{kind}.png" for place in ("train/aachen/a", "val/bonn/b")
                      for kind in ("color", "instanceIds", "labelIds"))],
                   {"train": [("leftImg8bit/train/aachen/a_leftImg8bit.png",
                               "gtFine/train/aachen/a_gtFine_labelIds.png")],
                    "valid": [("leftImg8bit/val/bonn/b_leftImg8bit.png", "gtFine/val/bonn/b_gtFine_labelIds.png")]}),
    "beside": (["a.jpg", "a.png", "in/b.jpeg", "in/b.png"], {"all": [("a.jpg", "a.png"), ("in/b.jpeg", "in/b.png")]}),
    "beside with an ending": (["train/a.png", "train/a_mask.png", "val/b.jpg", "val/b_mask.gif"],
                              {"train": [("train/a.png", "train/a_mask.png")],
                               "valid": [("val/b.jpg", "val/b_mask.gif")]}),
}


def write(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("case", CASES)
def test_pictures_find_their_masks(case: str, tmp_path: Path):
    names, expected = CASES[case]
    write(tmp_path, names)
    layout = find_masks(tmp_path)
    assert layout is not None
    found = {split: [(path.relative_to(tmp_path).as_posix(), mask.relative_to(tmp_path).as_posix())
                     for path, mask in zip(part.paths, part.masks, strict=True)]
             for split, part in layout.splits.items()}
    assert found == expected
    assert not any(part.without_mask or part.orphans for part in layout.splits.values())
    assert recognise_masks(Listing(tmp_path)).supports > 0


def test_a_description_names_the_folders(tmp_path: Path):
    root = tmp_path / "set"
    write(tmp_path, ["photos/train/a.jpg", "photos/val/b.jpg", "set/m/train/a.png", "set/m/val/b.png"])
    (root / "config.yaml").write_text(YAML)
    for path in (root, root / "config.yaml"):
        layout = find_masks(path)
        assert layout is not None and layout.config == root / "config.yaml"
        assert layout.splits["train"].paths == [tmp_path / "photos/train/a.jpg"]
        assert layout.splits["valid"].masks == [root / "m/val/b.png"]
    assert recognise_masks(Listing(root)).sentence == "config.yaml"


def test_folders_are_named_by_settings(tmp_path: Path):
    write(tmp_path, ["photos/train/a.jpg", "ids/train/a.png", "images/a.jpg", "masks/a.png"])
    layout = find_masks(tmp_path, images="photos", masks="ids")
    assert layout is not None and layout.splits["train"].masks == [tmp_path / "ids/train/a.png"]
    with pytest.raises(DataError, match=f"^data.masks={tmp_path}/none is no folder$"):
        find_masks(tmp_path, images="photos", masks="none")


def test_what_has_no_partner_is_listed(tmp_path: Path):
    write(tmp_path, ["images/train/a.jpg", "images/train/bare.jpg", "images/test/c.jpg", "masks/train/a.png",
                     "masks/train/orphan.png"])
    layout = find_masks(tmp_path)
    assert layout is not None
    assert layout.splits["train"].without_mask == [tmp_path / "images/train/bare.jpg"]
    assert layout.splits["train"].orphans == [tmp_path / "masks/train/orphan.png"]
    assert layout.splits["test"].without_mask == [tmp_path / "images/test/c.jpg"] and not layout.splits["test"].paths


def test_lists_of_voc_divide_it(tmp_path: Path):
    write(tmp_path, [*(f"JPEGImages/{name}.jpg" for name in "abcdef"),
                     *(f"SegmentationClass/{name}.png" for name in "abcd")])
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\ne\n")
    (lists / "val.txt").write_text("c\n")
    layout = find_masks(tmp_path)
    assert layout is not None and layout.name == "voc" and layout.in_no_split == 1
    assert {split: [path.stem for path in part.paths] for split, part in layout.splits.items()} == \
        {"train": ["a", "b"], "valid": ["c"]}
    assert [path.stem for path in layout.splits["train"].without_mask] == ["e"]


def test_training_ids_of_cityscapes_are_preferred(tmp_path: Path):
    write(tmp_path, ["leftImg8bit/train/x/a_leftImg8bit.png", "gtFine/train/x/a_gtFine_labelIds.png"])
    ids = find_masks(tmp_path)
    assert ids is not None and ids.listed is not None and ids.void is not None
    assert len(ids.listed.names) == 19 and ids.listed.names[26] == "car" and {0, 9, 30, 255} <= set(ids.void)
    assert not set(ids.void) & set(ids.listed.names)
    write(tmp_path, ["gtFine/train/x/a_gtFine_labelTrainIds.png"])
    trained = find_masks(tmp_path)
    assert trained is not None and trained.listed is not None and trained.void is not None
    assert trained.splits["train"].masks[0].name == "a_gtFine_labelTrainIds.png"
    assert list(trained.listed.names) == list(range(19)) and trained.listed.names[13] == "car"
    assert list(trained.listed.names.values()) == list(ids.listed.names.values()) and 255 in trained.void


def test_masks_that_are_no_masks_are_named(tmp_path: Path):
    write(tmp_path, ["images/a.jpg", "images/b.jpg", "masks/b.png", "masks/b.bmp"])
    with pytest.raises(DataError, match=r"masks/b.bmp and .*masks/b.png are masks of one name: take one away$"):
        find_masks(tmp_path)


@pytest.mark.parametrize(("text", "said"), [
    ("train:\n  masks: m\n", "train has no images: the folder of the images is expected there"),
    ("train:\n  images: i\n  masks: [m, n]\n", "train has no masks: the folder of the masks is expected there"),
    ("train:\n  images: i\n  masks: n\n", "train: masks: there is no folder .*/n$"),
    ("some:\n  images: i\n  masks: m\n", "names no train with its folders `images` and `masks`")])
def test_a_description_that_cannot_be_followed_is_named(text: str, said: str, tmp_path: Path):
    write(tmp_path, ["i/a.jpg", "m/a.png"])
    (tmp_path / "set.yaml").write_text(text)
    with pytest.raises(DataError, match=rf"set.yaml:? {said}"):
        find_masks(tmp_path)


@pytest.mark.parametrize("names", [["cat/a.png", "dog/b.png"], ["a.png", "b.png"], ["a.jpg", "b.jpg", "notes.txt"],
                                   ["images/a.png", "labels/a.txt"], ["train/cat/a.png", "train/dog/b.png"],
                                   ["a.jpg", "a.png", *(f"{i}.jpg" for i in range(20))]])
def test_what_speaks_of_no_masks(names: list[str], tmp_path: Path):
    write(tmp_path, names)
    assert recognise_masks(Listing(tmp_path)).supports == 0


@pytest.mark.parametrize(("images", "masks"), [
    ("image", "label"), ("Images", "Masks"), ("img", "gt"), ("imgs", "GT"), ("photos", "ground_truth"),
    ("JPEGImages", "annotation"), ("Original", "Ground Truth"), ("input", "target"), ("x", "y"),
    ("images", "segmentations"),
    ("CXR_png", "CXR_masks"), ("train_images", "train_masks"), ("CFD_image", "CFD_label"), ("PNGImages", "PedMasks"),
    ("701_StillsRaw_full", "LabeledApproved_full"), ("image_2", "semantic"), ("imagesTr", "labelsTr")])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_folders_under_any_usual_name(images: str, masks: str, suffix: str, tmp_path: Path):
    write(tmp_path, [*(f"{images}/{i}.jpg" for i in range(3)), *(f"{masks}/{i}{suffix}" for i in range(3))])
    layout = find_masks(tmp_path)
    assert layout is not None and len(layout.splits) == 1
    pairs = next(iter(layout.splits.values()))
    assert [path.name for path in pairs.paths] == ["0.jpg", "1.jpg", "2.jpg"] and not pairs.without_mask
    assert {mask.parent.name for mask in pairs.masks} == {masks}
    assert recognise_masks(Listing(tmp_path)).supports > 0


@pytest.mark.parametrize(("picture", "mask"), [
    ("a_1", "a_1_mask"), ("a_1", "a_1_seg"), ("a_1", "a_1_segmentation"), ("a_1", "a_1_GT"),
    ("img_1", "mask_1"), ("image1", "label1"), ("1_sat", "1_mask"), ("ISIC_01", "ISIC_01_Segmentation"),
    ("case 1 (2)", "case 1 (2)_mask"), ("a-1", "mask-a-1"), ("um_000001", "um_gt_000001")])
def test_names_of_pictures_and_masks(picture: str, mask: str, tmp_path: Path):
    write(tmp_path / "folders", [f"image/{picture}.jpg", f"gt/{mask}.png", "image/other.jpg", "gt/other.png"])
    write(tmp_path / "beside", [f"{picture}.jpg", f"{mask}.png"])
    for folder, where in (("folders", "gt"), ("beside", ".")):
        layout = find_masks(tmp_path / folder)
        assert layout is not None and tmp_path / folder / where / f"{mask}.png" in layout.splits["all"].masks
        assert not layout.splits["all"].without_mask


def test_splits_above_and_beside_folders_of_usual_names(tmp_path: Path):
    write(tmp_path / "above", ["Training/image/a.jpg", "Training/label/a.png", "Testing/image/b.jpg",
                               "Testing/label/b.png", "notes/x.png"])
    layout = find_masks(tmp_path / "above")
    assert layout is not None and list(layout.splits) == ["test", "train"] and layout.left_out == ["notes"]
    write(tmp_path / "beside", ["train_images/a.jpg", "train_masks/a.png", "val_images/b.jpg", "val_masks/b.png"])
    layout = find_masks(tmp_path / "beside")
    assert layout is not None and sorted(layout.splits) == ["train", "valid"]
    write(tmp_path / "below", ["image/train/a.jpg", "label/train/a.png", "image/val/b.jpg", "label/val/b.png"])
    layout = find_masks(tmp_path / "below")
    assert layout is not None and sorted(layout.splits) == ["train", "valid"]
    assert all(len(pairs.paths) == 1 for pairs in layout.splits.values())


@pytest.mark.parametrize("names", [
    ["with_mask/1.png", "without_mask/1.png"], ["mask/1.png", "no_mask/1.png"], ["image/1.png", "label/2.png"],
    ["gt/1.png", "fiat/1.png"], ["train/mask/1.png", "train/no_mask/1.png"], ["label/1.png", "bottle/1.png"]])
def test_classes_that_are_called_like_masks(names: list[str], tmp_path: Path):
    write(tmp_path, names)
    assert recognise_masks(Listing(tmp_path)).supports == 0


def test_two_folders_that_can_be_the_masks_are_asked_about(tmp_path: Path):
    write(tmp_path, ["image/a.jpg", "label/a.png", "gt/a.png"])
    with pytest.raises(Question, match=f"holds several folders that can be the masks, gt, label: `lensmith train "
                                       f"{tmp_path} data.name=masks data.images=image data.masks=gt` takes gt; "):
        find_masks(tmp_path)
