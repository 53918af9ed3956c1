"""Pixels that are Pillow's: the same as a copy's, there while they are looked at, and none where it lends none.

The oracle is NumPy's copy of the picture.
"""

import gc

import numpy as np
import pytest
from PIL import Image

from lensmith.base.pictures import Form, bring
from lensmith.base.pillow_memory import borrowed


def picture(height: int, width: int, mode: str = "RGB") -> Image.Image:
    drawn = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(drawn).convert(mode)


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (375, 500)])
def test_they_are_those_of_the_picture(size: tuple[int, int]):
    image = picture(*size)
    lent = borrowed(image)
    assert lent is not None and lent.shape == (*size, 4)
    assert (lent[:, :, :3] == np.asarray(image)).all()


def test_they_stay_when_the_picture_is_gone():
    image = picture(300, 400)
    wanted, lent = np.asarray(image).copy(), borrowed(image)
    assert lent is not None
    part = lent[10:290]
    image.close()
    del image, lent
    gc.collect()
    others = [Image.new("RGB", (400, 300), (1, 2, 3)) for _ in range(20)]    # would take the memory that is free
    assert (part[:, :, :3] == wanted[10:290]).all()
    assert len(others) == 20


def test_none_of_other_modes_and_none_where_pillow_does_not_lend(monkeypatch: pytest.MonkeyPatch):
    assert [borrowed(picture(5, 5, mode)) for mode in ("L", "RGBA", "CMYK", "F", "1")] == [None] * 5

    def in_pieces(self: Image.Image) -> tuple[object, object]:
        raise ValueError("Image is in multiple array blocks, use imaging_new_block for zero copy")

    monkeypatch.setattr(Image.Image, "__arrow_c_array__", in_pieces)
    assert borrowed(picture(5, 5)) is None
    monkeypatch.delattr(Image.Image, "__arrow_c_array__")
    assert borrowed(picture(5, 5)) is None


def test_a_picture_too_large_for_one_piece_is_none():
    assert borrowed(Image.new("RGB", (2_100, 2_100))) is None    # 17.6 MB


@pytest.mark.parametrize("form", [Form(3, 32, 32), Form(3, 40, 64, "pad"), Form(3, 60, 80),
                                  Form(3, 32, 48, "squash", interpolation="bicubic")])
def test_a_picture_is_brought_to_the_same_pixels_with_them_as_without(form: Form, monkeypatch: pytest.MonkeyPatch):
    image = picture(60, 80)
    lent = bring(image, form)[0]
    monkeypatch.delattr(Image.Image, "__arrow_c_array__")
    assert lent.is_contiguous() and (lent == bring(image, form)[0]).all()
