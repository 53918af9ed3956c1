"""Objects with their pixels, from YOLO's polygons and COCO's shapes to masks of the network's pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_masks

from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import Form, bring_classes
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.formats.boxes.coco import coco
from lensmith.data.formats.boxes.yolo import yolo
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.data.sources import outlined_objects as object_masks
from lensmith.data.sources.fitting import fit_source
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.picture_form import survey
from lensmith.values.instance_masks import Masks, pack_bits

LEFT = "0 0 0.5 0 0.5 1 0 1"    # of the picture, in shares
BELOW = [0, 5, 20, 5, 20, 10, 0, 10]    # of a picture of 20 x 10, in pixels

# Of pycocotools' own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def yolo_set(folder: Path, picture, labels: dict[str, str]) -> Path:
    (folder / "labels").mkdir(exist_ok=True)
    for name in ("a", "b"):
        picture(f"images/{name}.png", width=20, height=10)
    for name, text in labels.items():
        (folder / "labels" / f"{name}.txt").write_text(text)
    (folder / "data.yaml").write_text("train: images\nnames: {2: cat, 5: dog}\n")
    return folder


def coco_file(folder: Path, picture, annotations: list[dict]) -> Path:
    for name in ("a", "b"):
        picture(f"images/{name}.png", width=20, height=10)
    images = [{"id": i, "file_name": f"{name}.png", "width": 20, "height": 10} for i, name in enumerate("ab", 1)]
    file = folder / "set.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations,
                                "categories": [{"id": 17, "name": "cat"}, {"id": 3, "name": "car"}]}))
    return file


def masks_of(parts, form: Form) -> Masks:
    source, = parts.splits.values()
    value = fit_source(source, survey(source).headers, form).targets["masks"]
    assert isinstance(value, Masks)
    return value


def test_polygons_of_yolo_are_the_pixels_of_objects(tmp_path, picture):
    parts = yolo(str(yolo_set(tmp_path, picture, {"a": f"2 {LEFT}\n5 0.25 0.5 1 0.5 1 1 0.25 1\n"})), outlines=True)
    source, = parts.splits.values()
    assert source.classes == {"masks": ("cat", "dog")} and tuple(source.targets) == ("masks",)
    masks = masks_of(parts, Form(3, 10, 20, "squash"))
    left, below = np.zeros((2, 10, 20), dtype=bool)
    left[:, :10], below[5:, 5:] = True, True
    assert np.array_equal(masks.pixels()[:, :, :20].numpy(), np.stack((left, below)))
    assert masks.corners.tolist() == [[0, 0, 10, 10], [5, 5, 20, 10]] and masks.classes.tolist() == [0, 1]
    assert masks.image.tolist() == [0, 0] and masks.area is None


def test_shapes_of_coco_are_the_pixels_of_objects_crowds_too(tmp_path, picture):
    drawn = np.zeros((10, 20), dtype=np.uint8)
    drawn[2:7, 3:9] = 1
    runs = coco_masks.encode(np.asfortranarray(drawn))
    listed = [int(one) for one in np.diff(np.flatnonzero(np.diff(drawn.T.ravel(), prepend=2, append=2)))]
    two = [[0, 0, 4, 0, 4, 4, 0, 4], [10, 0, 14, 0, 14, 4, 10, 4]]
    parts = coco(str(coco_file(tmp_path, picture, [
        {"image_id": 2, "category_id": 3, "bbox": [0, 0, 14, 4], "segmentation": two, "area": 31},
        {"image_id": 2, "category_id": 17, "bbox": [3, 2, 6, 5],
         "segmentation": {"size": [10, 20], "counts": runs["counts"].decode()}},
        {"image_id": 1, "category_id": 17, "bbox": [3, 2, 6, 5], "iscrowd": 1,
         "segmentation": {"size": [10, 20], "counts": listed}},
        {"image_id": 1, "category_id": 17, "bbox": [1, 2, 6, 5]}])), outlines=True)
    assert parts.account["without_outline"] == 1 and parts.account["crowd"] == 1
    masks = masks_of(parts, Form(3, 10, 20, "squash"))
    pair = np.zeros((10, 20), dtype=bool)
    pair[:4, :4] = pair[:4, 10:14] = True
    assert np.array_equal(masks.pixels()[:, :, :20].numpy(), np.stack((drawn > 0, pair, drawn > 0)))
    assert masks.crowd.tolist() == [True, False, False] and masks.image.tolist() == [0, 1, 1]
    assert masks.area.tolist() == [30, 31, 30] and masks.classes.tolist() == [1, 0, 1]


@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
def test_runs_come_into_the_form_as_masks_of_pixels_do(tmp_path, picture, fit):
    """Of objects that the form's cut leaves; polygons, whose edges need no pixels, nearly so."""
    rng = np.random.default_rng(0)
    pixels = rng.random((10, 20)) < 0.5
    runs = coco_masks.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
    parts = coco(str(coco_file(tmp_path, picture, [
        {"image_id": 1, "category_id": 3, "bbox": [0, 0, 20, 10],
         "segmentation": {"size": [10, 20], "counts": runs}}])), outlines=True)
    form = Form(3, 33, 47, fit)
    found = masks_of(parts, form)
    wanted = bring_classes(pixels.astype(np.uint8), form, padding=0) > 0
    assert np.array_equal(found.pixels()[0, :, :47].numpy(), wanted)


def test_an_object_too_small_for_a_pixel_has_one_and_a_letterbox_none(tmp_path, picture):
    parts = yolo(str(yolo_set(tmp_path, picture, {
        "a": "2 0.41 0.41 0.42 0.41 0.42 0.42\n5 -0.2 -0.9 1.2 -0.9 1.2 1.9 -0.2 1.9\n"})), outlines=True)
    masks = masks_of(parts, Form(3, 16, 16, "pad"))
    assert masks.mask(0).nonzero().tolist() == [[7, 6]]
    whole = masks.mask(1)
    assert whole[4:12].all() and not whole[:4].any() and not whole[12:].any()


def test_objects_outside_are_left_out_with_their_outlines_and_counted(tmp_path, picture):
    parts = yolo(str(yolo_set(tmp_path, picture, {
        "a": f"2 1.2 0.1 1.4 0.1 1.4 0.6\n5 {LEFT}\n", "b": f"2 {LEFT}\n2 {LEFT}\n"})), outlines=True)
    dropped = parts.account["dropped"]
    assert dropped["outside"] == {"count": 1, "pictures": ["images/a.png"]} and dropped["duplicates"]["count"] == 1
    masks = masks_of(parts, Form(3, 10, 20, "squash"))
    assert masks.classes.tolist() == [1, 0] and masks.pixels()[:, :, :10].all() and not masks.pixels()[:, :, 10:].any()
    source = parts.splits["train"].subset([1])
    one = fit_source(source, survey(source).headers, Form(3, 10, 20, "squash")).targets["masks"]
    assert one.image.tolist() == [0] and torch.equal(one.bits, pack_bits(masks.pixels()[1:]))


@pytest.mark.parametrize(("text", "said"), [
    ("2 0.1 0.1 0.5 0.5 0.2\n", "6 columns; accepted are 5"),
    ("2 0.1 0.1 0.5 0.5\n", "a box, and the points of a polygon are expected where masks are learned: learn the boxes "
                            "with task.name=detection"),
    ("2 30 10 90 10 90 50\n", "30 looks like pixels: fractions of the picture's width and height, 0 to 1, are "
                              "expected"),
])
def test_lines_of_yolo_that_are_no_polygon_are_named(tmp_path, picture, text, said):
    folder = yolo_set(tmp_path, picture, {"a": f"2 {LEFT}\n{text}"})
    with pytest.raises(DataError) as error:
        yolo(str(folder), outlines=True)
    assert f"a.txt, line 2: {said}" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("segmentation", "said"), [
    ([[1, 1, 5, 5]], "4 numbers for a polygon: x and y of at least three points are expected"),
    ([[1, 1, 5, 5, 1e9, 2]], "the polygon holds 1e+09, which is no place in a picture"),
    ({"size": [10, 20], "counts": [20, 30]}, "the RLE covers 50 pixels, and 20 x 10 are 200"),
])
def test_shapes_of_coco_that_cannot_be_are_named(tmp_path, picture, segmentation, said):
    file = coco_file(tmp_path, picture, [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5],
                                          "segmentation": segmentation}])
    with pytest.raises(DataError) as error:
        coco(str(file), outlines=True)
    assert f"annotations[0]: {said}" in str(error.value) and "\n" not in str(error.value)


def test_run_lengths_of_another_size_than_the_picture_are_named(tmp_path, picture):
    file = coco_file(tmp_path, picture, [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5],
                                          "segmentation": {"size": [20, 10], "counts": [100, 100]}}])
    with pytest.raises(DataError, match=r"annotations\[0\]: the RLE is of 10 x 20 pixels \(width x height\), "
                                        "and the picture has 20 x 10"):
        masks_of(coco(str(file), outlines=True), Form(3, 10, 20, "squash"))


def test_a_set_of_boxes_alone_says_what_to_do(tmp_path, picture):
    file = coco_file(tmp_path, picture, [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5]}] * 3)
    with pytest.raises(DataError, match="lists 3 objects, none with an outline, which masks are learned from: learn "
                                        "the boxes with task.name=detection"):
        coco(str(file), outlines=True)


def test_masks_that_do_not_fit_into_the_memory_are_refused(tmp_path, picture, monkeypatch):
    parts = yolo(str(yolo_set(tmp_path, picture, {"a": f"2 {LEFT}\n"})), outlines=True)
    monkeypatch.setattr(object_masks, "free_memory", lambda: 1000)
    with pytest.raises(UserError, match=r"the masks of 1 object, 640 x 640 pixels each, take 0 MB, more than 50% of "
                                        "the free memory, and are kept there: take a smaller pictures.size"):
        masks_of(parts, Form(3, 640, 640, "pad"))


def test_without_outlines_a_set_gives_boxes_as_ever(tmp_path, picture):
    parts = yolo(str(yolo_set(tmp_path, picture, {"a": f"2 {LEFT}\n5 0.5 0.5 0.2 0.2\n"})))
    assert tuple(parts.splits["train"].targets) == ("boxes",)


@pytest.mark.parametrize("settings", [
    {"flip": True}, {"zoom": [0.6, 1.4], "flip": True}, {"mosaic": 1.0, "zoom": [0.6, 1.4], "flip": True},
    {"rotate": 20.0}, {"resized_crop": [0.4, 0.9], "flip": True}, {"crop_padding": 4, "flip": True}, {"shrink": [0.5]}],
    ids=lambda settings: "-".join(settings))
def test_masks_follow_their_pictures(settings):
    """Pictures that are white where an object is: what the masks cover is white after whatever is done to both."""
    drawn = shapes(48, 64, outlines=True).splits["train"]
    masks = drawn.targets["masks"]
    white = masks.pixels().to(torch.uint8)[:, None].expand(-1, 3, -1, -1) * 255
    whole = InMemory(white.contiguous(), {"masks": masks}, {"masks": drawn.classes["masks"]}, places=drawn.places)
    augment = Augment(**settings, seed=3, classes=whole.classes, length=len(whole), epochs=4)
    for batch in Loader(whole, 8, shuffle=True, augment=augment):
        moved = batch.targets["masks"]
        assert moved.image.tolist() == sorted(moved.image.tolist()) and len(moved.bits) == len(moved.classes)
        covered = torch.zeros(batch.images.shape[0], *batch.images.shape[2:], dtype=torch.bool)
        for row, image in enumerate(moved.image.tolist()):
            covered[image] |= moved.mask(row)[:, : covered.shape[2]]
        seen = batch.images[:, 0] > 127
        if "crop_padding" in settings or "rotate" in settings:    # what is mirrored in at the edges is no object
            seen &= covered
        assert covered.any() and (seen == covered).float().mean() > (0.96 if "shrink" in settings else 0.98)
