"""Objects with their pixels as rows, JSON and COCO results, which its own library reads."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from lensmith.ship.answers import ANSWERS, instance_masks
from lensmith.ship.answers.by_target import by_names, targets_in_words
from lensmith.values.instance_masks import Masks, pack_bits

NAMES = ("cat", "dog")


def found() -> tuple[Masks, torch.Tensor]:
    pixels = torch.zeros(2, 20, 37, dtype=torch.bool)
    pixels[0, 3:9, 4:30] = pixels[1, 10:, 30:] = True
    pixels[0, 5, 7] = False
    corners = torch.tensor([[4.0, 3, 30, 9], [29.5, 9.25, 37, 20]])
    return Masks(corners, torch.tensor([1, 0]), torch.tensor([0.9, 0.5]), bits=pack_bits(pixels)), pixels


def test_rows_and_json_count_the_pixels():
    masks, _ = found()
    assert instance_masks.as_json(masks, NAMES)["objects"] == [
        {"label": "dog", "score": 0.9, "corners": [4.0, 3.0, 30.0, 9.0], "pixels": 155},
        {"label": "cat", "score": 0.5, "corners": [29.5, 9.25, 37.0, 20.0], "pixels": 70}]
    rows = ANSWERS["masks"].as_rows("a.png", masks, NAMES)
    assert rows[1] == {"file": "a.png", "label": "cat", "score": 0.5, "x0": 29.5, "y0": 9.25, "x1": 37.0, "y1": 20.0,
                       "pixels": 70}
    nothing = masks.chosen(torch.zeros(2, dtype=torch.bool))
    assert instance_masks.as_rows("a.png", nothing, NAMES) == [dict.fromkeys(rows[0], "") | {"file": "a.png"}]
    assert not by_names({"masks": masks})
    assert targets_in_words({"masks": masks}, {"masks": NAMES}, 3) == "dog 90.0 %, cat 50.0 %"


# Of pycocotools' own code.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_coco_reads_the_pixels_as_they_are():
    masks, pixels = found()
    results = instance_masks.coco_segmentations(["b.png", "a.png"], [masks, masks], [(20, 37), (20, 37)])
    assert [row["image_id"] for row in results] == [1, 1, 2, 2]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, "images": [{"id": number, "height": 20, "width": 37} for number in (1, 2)],
                        "annotations": [], "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}
        coco.createIndex()
        read = coco.loadRes(results)
    for number, one in enumerate(read.loadAnns(read.getAnnIds(imgIds=[2]))):
        assert np.array_equal(read.annToMask(one).astype(bool), pixels[number].numpy())
        assert one["area"] == pixels[number].sum()
