"""Masks on the way that pictures take: stored values untouched, and each pixel where its picture's goes."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.base.picture_headers import BadPicture, read_header
from lensmith.base.pictures import Form, bring_classes, decode, fit_of, read_stored

SIZES = [(37, 80), (80, 37), (64, 64), (5, 3), (200, 201)]


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", SIZES)
def test_a_pixel_has_the_class_at_its_centre(size: tuple[int, int], fit: str):
    """Against the way back by Place.fit, pixel by pixel."""
    own = np.random.default_rng(0).integers(0, 21, size).astype(np.uint8)
    form = Form(3, 48, 32, fit)
    scale_x, scale_y, left, top = fit_of(size, form)
    found = bring_classes(own, form, padding=255)
    assert found.shape == form.size and found.dtype == np.uint8
    for row in range(form.height):
        for column in range(form.width):
            x, y = (column + 0.5 - left) / scale_x, (row + 0.5 - top) / scale_y
            inside = 0 <= x < size[1] and 0 <= y < size[0]
            assert found[row, column] == (own[math.floor(y + 1e-9), math.floor(x + 1e-9)] if inside else 255)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_mask_covers_what_its_picture_shows(tmp_path: Path, fit: str, orientation: int):
    """A white shape in a picture that EXIF data turn, and its mask as a viewer sees it."""
    shape = np.zeros((90, 140), dtype=np.uint8)
    shape[20:50, 30:120], shape[50:80, 30:60] = 255, 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = {1: shape, 3: shape[::-1, ::-1], 6: np.rot90(shape), 8: np.rot90(shape, -1)}[orientation]
    file = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=exif)
    header = read_header(file)
    assert (header.height, header.width) == shape.shape
    form = Form(1, 64, 64, fit)
    picture, _ = decode(file, form)
    mask = bring_classes((shape > 0).astype(np.uint8), form, padding=255)
    seen = mask != 255
    differs = ((picture[0].numpy() > 127) != (mask == 1)) & seen
    assert differs.mean() < 0.01    # at the edges, where the picture is between white and black


def test_what_is_stored_is_not_converted(tmp_path: Path):
    palette = Image.new("P", (2, 2))
    palette.putpalette([9, 9, 9] * 256)
    palette.putdata([0, 1, 2, 3])
    palette.save(tmp_path / "p.png")
    deep = np.array([[0, 300], [40_000, 65_535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.asarray(read_stored(tmp_path / "p.png")).tolist() == [[0, 1], [2, 3]]
    assert np.array_equal(np.asarray(read_stored(tmp_path / "deep.png")), deep)


def test_a_stored_picture_is_upright_and_a_damaged_one_is_told(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (30, 20)).save(tmp_path / "turned.png", exif=exif)
    assert read_stored(tmp_path / "turned.png").size == (20, 30)
    (tmp_path / "cut.png").write_bytes((tmp_path / "turned.png").read_bytes()[:60])
    with pytest.raises(BadPicture):
        read_stored(tmp_path / "cut.png")
    with pytest.raises(BadPicture, match="does not exist"):
        read_stored(tmp_path / "absent.png")
