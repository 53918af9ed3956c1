"""Label Studio's brushes: what an encoder by the description of the format packs is read, and what is none is named."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.brush_rle import brush_mask
from lensmith.data.formats.boxes.label_studio import label_studio
from lensmith.data.formats.detect import recognise


def packed(mask: np.ndarray, *, lengths: tuple[int, ...] = (3, 4, 8, 16), seed: int = 0) -> list[int]:
    """The bytes of a mask by the description of rle-pack, written as text of 0 and 1: the format lets an encoder choose
    where blocks end and of which kind they are, which is drawn here."""
    draw = random.Random(seed)
    values = np.repeat(mask.ravel().astype(int) * 255, 4).tolist()
    text = f"{len(values):032b}{8 - 1:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    at = 0
    while at < len(values):
        run = 1
        while at + run < len(values) and values[at + run] == values[at]:
            run += 1
        which = draw.randrange(4)
        most = min(len(values) - at, 1 << lengths[which])
        if draw.random() < 0.7:
            number = min(run, most)
            text += f"1{which:02b}{number - 1:0{lengths[which]}b}{values[at]:08b}"
        else:
            number = draw.randint(1, min(most, 40))
            text += f"0{which:02b}{number - 1:0{lengths[which]}b}"
            text += "".join(f"{value:08b}" for value in values[at : at + number])
        at += number
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6),
       st.sampled_from([(3, 4, 8, 16), (1, 1, 1, 1), (2, 5, 7, 11)]))
def test_what_is_packed_is_read(height: int, width: int, seed: int, lengths: tuple[int, ...]):
    mask = np.random.default_rng(seed).random((height, width)) < 0.4
    assert (brush_mask(packed(mask, lengths=lengths, seed=seed), (height, width), "x") == mask).all()


@pytest.mark.parametrize(("codes", "said"), [
    ("abc", "the rle of a brush is a list of bytes, 0 to 255"), ([1, 256], "is a list of bytes"),
    ([0, 0, 0, 4], r"has 4 values, and 3 x 2 pixels of four channels are 24: export it as JSON again"),
    ([], "ends before its last pixel; was it cut off"), (packed(np.eye(2, 3) > 0)[:-2], "ends before its last pixel")])
def test_what_is_no_mask_is_named(codes: object, said: str):
    with pytest.raises(DataError, match=f"^task 3: .*{said}"):
        brush_mask(codes, (2, 3), "task 3")


def test_an_export_with_brushes_gives_boxes_and_outlines(tmp_path: Path):
    """A brush has the box around its pixels; one that has painted nothing, and one without its pixels, are counted."""
    Image.new("RGB", (40, 20)).save(tmp_path / "a.png")
    mask = np.zeros((20, 40), dtype=bool)
    mask[3:9, 5:12] = mask[12, 30] = True

    def result(**value: object) -> dict[str, object]:
        return {"original_width": 40, "original_height": 20, "type": "brushlabels", "value": value}

    results = [result(format="rle", rle=packed(mask), brushlabels=["cat"]),
               result(format="rle", rle=packed(mask & False), brushlabels=["dog"]),
               result(format="brush", touches=[], brushlabels=["dog"]),
               result(x=25, y=50, width=50, height=50, rectanglelabels=["dog"])]
    (tmp_path / "t.json").write_text(json.dumps([{"id": 1, "data": {"image": "a.png"},
                                                   "annotations": [{"result": results}]}]))
    assert recognise(tmp_path) == "label-studio"
    opened = label_studio(str(tmp_path))
    boxes = opened.splits["all"].targets["boxes"]
    assert opened.splits["all"].classes == {"boxes": ("cat", "dog")} and boxes.classes.tolist() == [0, 1]
    assert boxes.corners.tolist() == [[5, 3, 31, 13], [10, 10, 30, 20]]
    assert opened.account["shapes_without_box"] == 1 and opened.account["dropped"]["without_area"]["count"] == 1
    masks = label_studio(str(tmp_path), outlines=True).splits["all"].targets["masks"]
    assert len(masks.classes) == 1 and (masks.outlines[0][0].inside() == mask).all()


def test_brushes_alone_are_known_by_their_format(tmp_path: Path):
    """Where the masks are so large that the kind of the label stands far behind."""
    (tmp_path / "t.json").write_text(json.dumps([{"data": {"image": "a.png"}, "annotations": [{"result": [
        {"value": {"format": "rle", "rle": [0] * 40_000, "brushlabels": ["cat"]}}]}]}]))
    assert recognise(tmp_path / "t.json") == "label-studio"
