"""Masks read from files: what pixels say, and how they come to batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import Form
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.sources import mask_files
from lensmith.data.sources.fitting import fit_source
from lensmith.data.sources.mask_files import Coding, MaskFiles, PixelMask, ids_in, ids_of
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.split import fingerprint
from lensmith.data.store.at_once import decode_all
from lensmith.values.boxes import Boxes
from lensmith.values.semantic_mask import Mask

CODING = Coding.of({0: 0, 7: 1}, [9], colours=None, listed="the ids of one list (0, 7)")
SIZES = [(40, 80), (80, 40), (64, 64), (31, 61), (100, 37), (64, 64)]


def pictures(folder: Path) -> Files:
    """White shapes on black, each with its mask: 7 on the shape, 0 beside it, 9 in a corner of it."""
    paths, masks = [], []
    for number, (height, width) in enumerate(SIZES):
        ids = np.zeros((height, width), dtype=np.uint8)
        ids[height // 3 :, width // 4 : width * 2 // 3] = 7
        paths.append(folder / f"{number}.png")
        Image.fromarray(np.where(ids == 7, 255, 0).astype(np.uint8)).save(paths[-1])
        ids[-4:, width * 2 // 3 - 4 : width * 2 // 3] = 9
        masks.append(PixelMask(folder / f"{number}_mask.png", CODING))
        Image.fromarray(ids).save(masks[-1].path)
    return Files(paths, {"mask": MaskFiles(tuple(masks))}, {"mask": ("rest", "shape")}, root=folder)


def ready(source: Files, form: Form) -> Files:
    return fit_source(source, [read_header(path) for path in source.paths], form)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_masks_lie_on_their_pictures(tmp_path: Path, fit: str):
    form = Form(1, 64, 64, fit)
    source = pictures(tmp_path)
    kept = decode_all(ready(source, form), form, keep=True).source
    mask = kept.targets["mask"]
    assert isinstance(mask, Mask) and mask.classes.dtype == torch.uint8 and mask.classes.shape == (6, 64, 64)
    known = mask.classes != 255
    assert (((kept.images[:, 0] > 127) == (mask.classes == 1)) | ~known).float().mean() > 0.98
    assert known.flatten(1).any(1).all() and (mask.classes[0] == 255).any()
    assert isinstance(source.targets["mask"], MaskFiles)    # the source that was given stays as it was


def test_the_ground_of_a_letterbox_is_void(tmp_path: Path):
    mask = ready(pictures(tmp_path), Form(1, 64, 64, "pad")).targets["mask"]
    assert isinstance(mask, Mask)
    assert (mask.classes[0, :16] == 255).all() and (mask.classes[0, 48:] == 255).all()
    assert not (mask.classes[0, 16:40] == 255).any() and not (mask.classes[2, :60] == 255).any()


def test_masks_of_the_right_size_are_taken_as_they_are(tmp_path: Path):
    source = pictures(tmp_path).subset([2, 5])
    mask = ready(source, Form(1, 64, 64)).targets["mask"]
    own = np.asarray(Image.open(tmp_path / "2_mask.png"))
    assert isinstance(mask, Mask)
    assert np.array_equal(mask.classes[0].numpy(), np.select([own == 7, own == 9], [1, 255], 0))


def test_boxes_beside_a_mask_are_moved_and_the_mask_is_moved_once(tmp_path: Path):
    source = pictures(tmp_path)
    form = Form(1, 64, 64, "pad")
    alone = ready(source, form).targets["mask"]
    corners = torch.tensor([[0, 0, width, height] for height, width in SIZES]).float()
    source.targets["boxes"] = Boxes(corners, torch.zeros(6).long(), image=torch.arange(6))
    both = ready(source, form).targets
    assert torch.equal(both["mask"].classes, alone.classes)
    assert both["boxes"].corners[0].tolist() == [0, 16, 64, 48]


def test_kept_and_streamed_batches_are_the_same(tmp_path: Path):
    form = Form(1, 64, 64, "pad")
    source = ready(pictures(tmp_path), form)
    names = source.classes
    batches = []
    for data in (decode_all(source, form, keep=True).source, source.shaped(form)):
        augment = Augment(seed=3, classes=names, length=6, epochs=1, flip=True, rotate=20.0, zoom=None)
        plain = list(Loader(data, 4, shuffle=True, seed=3))
        turned = list(Loader(data, 4, shuffle=True, seed=3, augment=augment))
        batches.append([*plain, *turned])
    for kept, streamed in zip(*batches, strict=True):
        assert torch.equal(kept.images, streamed.images)
        assert torch.equal(kept.targets["mask"].classes, streamed.targets["mask"].classes)


@pytest.mark.parametrize("settings", [{"flip": True}, {"crop_padding": 6}, {"rotate": 30.0},
                                      {"resized_crop": [0.3, 0.8], "flip": True}, {"zoom": [0.7, 1.4]}])
def test_a_mask_of_bytes_moves_with_its_picture(tmp_path: Path, settings):
    form = Form(1, 64, 64, "squash")
    data = decode_all(ready(pictures(tmp_path), form), form, keep=True).source
    augment = Augment(seed=1, classes=data.classes, length=6, epochs=1, **settings)
    batch = next(iter(Loader(data, 6, augment=augment)))
    mask, plain = batch.targets["mask"].classes, data.targets["mask"].classes
    assert not torch.equal(mask, plain.to(mask.dtype))
    known = mask != 255
    assert known.float().mean() > 0.4 and set(mask.unique().tolist()) <= {0, 1, 255}
    assert ((batch.images[:, 0] > 127) == (mask == 1))[known].float().mean() > 0.96


def test_another_pixel_of_a_mask_is_another_set(tmp_path: Path):
    source, form = pictures(tmp_path), Form(1, 64, 64)
    before = fingerprint({"train": ready(source, form)}, {"train": "the pictures"})
    assert fingerprint({"train": ready(source, form)}, {"train": "the pictures"}) == before
    ids = np.array(Image.open(tmp_path / "2_mask.png"))
    ids[30, 5] = 7
    Image.fromarray(ids).save(tmp_path / "2_mask.png")
    assert fingerprint({"train": ready(source, form)}, {"train": "the pictures"}) != before


def test_a_mask_of_another_size_is_named(tmp_path: Path):
    source = pictures(tmp_path)
    Image.new("L", (50, 40)).save(tmp_path / "1_mask.png")
    with pytest.raises(DataError) as told:
        ready(source, Form(1, 64, 64))
    assert str(told.value) == (f"mask {tmp_path}/1_mask.png is 50 x 40 pixels (width x height), and its picture "
                               "40 x 80: a mask has the size of its picture")
    Image.new("L", (80, 40)).save(tmp_path / "1_mask.png")
    with pytest.raises(DataError, match=r"its picture 40 x 80: a mask has the size of its picture"):
        ready(source, Form(1, 64, 64))


def test_an_id_that_is_no_class_is_named_with_its_place(tmp_path: Path):
    source = pictures(tmp_path)
    ids = np.zeros((80, 40), dtype=np.uint8)
    ids[50, 12:] = 3
    Image.fromarray(ids).save(tmp_path / "1_mask.png")
    with pytest.raises(DataError) as told:
        ready(source, Form(1, 64, 64))
    assert str(told.value) == (f"mask {tmp_path}/1_mask.png holds the id 3 at x=12, y=50, which is none of the ids of "
                               "one list (0, 7): add it there, or say what it is with data.ids or data.void")


def test_masks_that_memory_cannot_hold_are_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(mask_files, "free_memory", lambda: 40_000)
    with pytest.raises(UserError) as told:
        ready(pictures(tmp_path), Form(1, 64, 64))
    assert str(told.value) == ("6 masks of 64 x 64 pixels take 0 MB, more than 50% of the free memory, and are kept "
                               "there: take a smaller pictures.size")


def test_files_of_every_kind_of_pixel(tmp_path: Path):
    values = np.array([[0, 1, 2], [7, 200, 255]], dtype=np.uint8)
    gray = Image.fromarray(values)
    palette = Image.fromarray(values)
    palette.putpalette([value for one in range(256) for value in (255 - one, one, 0)])    # makes it one of a palette
    assert palette.mode == "P"
    for name, image in {"L": gray, "P": palette, "LA": gray.convert("LA"), "RGB": gray.convert("RGB"),
                        "RGBA": gray.convert("RGBA")}.items():
        image.save(tmp_path / f"{name}.png")
        assert ids_of(tmp_path / f"{name}.png", None).tolist() == values.tolist(), name
    Image.fromarray(values > 1).save(tmp_path / "1.png")
    assert ids_of(tmp_path / "1.png", None).tolist() == [[0, 0, 1], [1, 1, 1]]
    Image.fromarray(values.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert ids_of(tmp_path / "deep.png", None)[1, 1] == 200 * 257
    colours = {(255 - one, one, 0): one for one in values.ravel().tolist()}
    for name, image in {"P": palette, "RGB": palette.convert("RGB"), "RGBA": palette.convert("RGBA")}.items():
        image.save(tmp_path / f"coloured {name}.png")
        assert ids_of(tmp_path / f"coloured {name}.png", colours).tolist() == values.tolist(), name
    assert ids_in([tmp_path / "L.png", tmp_path / "1.png"], None) == [dict.fromkeys(values.ravel().tolist(), 1),
                                                                      {0: 2, 1: 4}]


def test_pixels_that_say_no_class_are_named(tmp_path: Path):
    colours = Image.new("RGB", (4, 3), (9, 9, 9))
    colours.putpixel((2, 1), (1, 2, 3))
    colours.save(tmp_path / "a.png")
    Image.new("F", (4, 3)).save(tmp_path / "f.tif")
    Image.fromarray(np.full((2, 2), 70_000, dtype=np.int32)).save(tmp_path / "i.tif")
    (tmp_path / "cut.png").write_bytes(b"")
    for name, known, said in (
            ("a.png", None, "is in colours (RGB), and nothing says which class each of them is: put a class_dict.csv "
                            "with the columns name,r,g,b into the set's folder, or name such a file with data.classes"),
            ("a.png", {(9, 9, 9): 0}, "holds the colour 1,2,3 at x=2, y=1, which is none of the list of classes: add "
                                      "it there, or mend the mask (was it resized, or a JPEG?)"),
            ("f.tif", None, "has pixels of the kind F: save it as gray or palette PNG, where each pixel is the number "
                            "of its class"),
            ("i.tif", None, "holds the id 70000: accepted are 0 to 65,535"),
            ("cut.png", None, "is empty (0 bytes): mend it, or take it away"),
            ("none.png", None, "does not exist: mend it, or take it away")):
        with pytest.raises(DataError) as told:
            ids_of(tmp_path / name, known)
        assert str(told.value) == f"mask {tmp_path}/{name} {said}"


def test_masks_are_taken_by_rows(tmp_path: Path):
    files = pictures(tmp_path).targets["mask"]
    assert isinstance(files, MaskFiles)
    assert [one.path.name for one in files.take(torch.tensor([4, 1])).masks] == ["4_mask.png", "1_mask.png"]
    assert files[3].masks == files.masks[3:4] and files.to("cpu") == files


def test_a_jpeg_in_black_and_white_is_brought_to_its_ids(tmp_path: Path):
    mask = np.zeros((60, 90), dtype=np.uint8)
    mask[13:41, 22:67] = 255
    for mode in ("L", "RGB"):
        Image.fromarray(mask).convert(mode).save(tmp_path / f"{mode}.jpg")
        assert (ids_of(tmp_path / f"{mode}.jpg", None) == mask).mean() > 0.999
    Image.new("L", (9, 9)).save(tmp_path / "empty.jpg")
    assert not ids_of(tmp_path / "empty.jpg", None).any()


@pytest.mark.parametrize(("ids", "mode", "said"), [
    ((0, 1, 2), "L", "values up to"), ((0, 128, 255), "L", "values up to 255"), ((0, 255), "colour", "colours")])
def test_a_jpeg_that_can_hold_other_ids_is_refused(ids: tuple[int, ...], mode: str, said: str, tmp_path: Path):
    mask = np.zeros((60, 90), dtype=np.uint8)
    for i, id_ in enumerate(ids):
        mask[20 * i : 20 * i + 20] = id_
    picture = mask if mode == "L" else np.stack([mask, 0 * mask, 0 * mask], axis=2)
    Image.fromarray(picture).save(tmp_path / "m.jpg")
    with pytest.raises(DataError, match=f"mask .*m.jpg is in a format that changes the values of pixels, and holds .*"
                                        f"{said}.*, where only black and white would be certain: save masks as PNG"):
        ids_of(tmp_path / "m.jpg", None)
