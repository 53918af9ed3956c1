"""JPEG files that are decoded at a half, a quarter or an eighth of their size: what is seen, and where it lies."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import PADDING, Form, bring, decode

# What a camera does to the upright picture before it stores it with this orientation (EXIF 2.3, tag 0x0112).
HELD = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270}


def whole(data, form):
    """Decoded at its own size, as a file that is no JPEG would be."""
    with Image.open(io.BytesIO(data)) as image:
        return bring(ImageOps.exif_transpose(image), form)


def jpeg(upright, orientation=1):
    """The file of an upright picture as a camera held that way writes it."""
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    held = upright if orientation == 1 else upright.transpose(HELD[orientation])
    held.save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize(("size", "edge"), [((203, 331), 48), ((417, 217), 25), ((640, 480), 224)])
def test_a_jpeg_decoded_at_less_than_its_size_looks_as_if_decoded_whole(orientation, fit, size, edge, textured):
    form = Form(3, edge, edge + 7, fit)
    data = jpeg(textured(*size), orientation)
    (image, place), (wanted, wanted_place) = decode(data, form, name=""), whole(data, form)
    assert place == wanted_place and place.size == size
    off = (image.int() - wanted.int()).abs().float()
    # Where the turned file's crop is not shifted by the part of a pixel that it is, one of the three fails.
    assert 0 < off.mean() < 0.9 and off.max() < 45
    assert (image.float() - wanted.float()).mean((1, 2)).abs().max() < 0.3


@pytest.mark.parametrize(("size", "form", "scale"), [
    ((448, 448), Form(3, 224, 224), 2), ((447, 448), Form(3, 224, 224), 1), ((448, 700), Form(1, 224, 224, "crop"), 2),
    ((2000, 1792), Form(3, 224, 224), 8), ((1791, 2000), Form(3, 224, 224), 4),
    ((448, 900), Form(3, 224, 224, "pad"), 4),
    ((448, 447), Form(3, 224, 224, "squash"), 1), ((500, 375), Form(3, 224, 224), 1), ((90, 33), Form(3, 4, 4), 8),
    ((900, 448), Form(3, 200, 450, "squash"), 1), ((9, 9), Form(3, 1, 1), 8), ((15, 15), Form(1, 2, 2), 4)])
def test_a_jpeg_is_decoded_as_small_as_the_form_allows(size, form, scale, textured, monkeypatch):
    asked, draft = [], JpegImageFile.draft

    def noted(image, mode, wanted):
        draft(image, mode, wanted)
        asked.append(image.size)

    monkeypatch.setattr(JpegImageFile, "draft", noted)
    height, width = size
    for orientation in (1, 6):
        asked.clear()
        data = jpeg(textured(*size), orientation)
        image, place = decode(data, form, name="")
        assert tuple(image.shape) == (form.channels, *form.size) and place.size == size
        least = (-(-width // scale), -(-height // scale))
        assert asked == ([] if scale == 1 else [least if orientation == 1 else least[::-1]])
        if scale == 1:
            assert torch.equal(image, whole(data, form)[0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_lies_in_a_jpeg_that_is_decoded_small_is_found_where_the_place_says(orientation):
    picture = np.zeros((243, 317), np.uint8)
    picture[100:120, 150:190] = 255    # its centre is the corner point (170, 110)
    for fit in ("crop", "pad", "squash"):
        image, place = decode(jpeg(Image.fromarray(picture), orientation), Form(1, 30, 28, fit))
        weight = np.where(image[0].numpy() == PADDING, 0, image[0].numpy()).astype(float)
        weight[weight < 20] = 0
        rows, columns = np.indices(weight.shape) + 0.5
        found = ((columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum())
        assert found == pytest.approx((170 * place.fit[0] + place.fit[2], 110 * place.fit[1] + place.fit[3]), abs=0.06)


def test_a_jpeg_cut_short_is_bad_at_any_scale(textured):
    data = jpeg(textured(400, 400))
    for edge in (40, 90, 190, 300):
        with pytest.raises(BadPicture, match="truncated"):
            decode(data[: len(data) * 2 // 3], Form(3, edge, edge))
