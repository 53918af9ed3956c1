"""Files of more than 8 bits: their values come through, whichever file holds them, or they are refused by name."""

import struct
import sys
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.deep_pixels import deep_values
from lensmith.base.picture_errors import BadPicture
from lensmith.base.picture_headers import read_header, readable_picture
from lensmith.base.pictures import PADDING, Form, bring, decode, form_of, refit

GRAY = np.random.default_rng(0).integers(0, 4096, (40, 60)).astype(np.uint16)
COLOURS = np.dstack([GRAY, GRAY // 2, 4095 - GRAY])


def file_of(values: np.ndarray, suffix: str, *settings: int) -> bytes:
    if values.ndim == 3:
        values = values[:, :, [2, 1, 0, 3][: values.shape[2]]]    # OpenCV has blue first
    worked, content = cv2.imencode(suffix, values, settings)
    assert worked
    return content.tobytes()


PNG = file_of(COLOURS, ".png")


def values_of(content: bytes) -> np.ndarray:
    with readable_picture(content) as image:
        return deep_values(content, image)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm", ".jp2"])
def test_gray_values_come_through(suffix: str):
    large = np.tile(GRAY, (5, 5))    # OpenCV writes no small JPEG 2000
    content = file_of(large, suffix, *((cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000) if suffix == ".jp2" else ()))
    header = read_header(content)
    assert header.deep and header.gray and not header.signed
    assert np.abs(values_of(content) - large.astype(int)).max() <= (20 if suffix == ".jp2" else 0)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_come_through(suffix: str, alpha: bool):
    if alpha and suffix == ".ppm":
        pytest.skip("it has no alpha")
    values = np.dstack([COLOURS, GRAY * 16]) if alpha else COLOURS
    content = file_of(values, suffix)
    header = read_header(content)
    assert header.deep and not header.gray
    assert np.array_equal(values_of(content), values)
    form = Form(4 if alpha else 3, 40, 60, bits=16, values=(0, 4095))
    expected = torch.from_numpy(values.astype(np.int32)).permute(2, 0, 1)
    assert torch.equal(decode(content, form)[0].to(torch.int32), expected)


@pytest.mark.parametrize("kind", [np.int16, np.int32])
def test_negative_values_come_through(kind: type):
    values = (GRAY.astype(np.int32) - 2000).astype(kind)
    content = file_of(values, ".tif")
    assert read_header(content).signed and np.array_equal(values_of(content), values)
    form = Form(1, 40, 60, bits=16, values=(-2048, 2047))
    assert torch.equal(decode(content, form)[0].to(torch.int32)[0], torch.from_numpy(values.astype(np.int32)) + 2048)
    assert (form.offset, form.shades, form.level(0), form.level(255)) == (2048, (0, 4095), 0, 4095)


def test_values_that_the_form_does_not_hold_are_refused_by_name():
    content = file_of((GRAY.astype(np.int32) - 2000).astype(np.int16), ".tif")
    said = r"^has values from -2,000 to 2,0\d\d, and those of this set are read from 0 to 65,535: say pictures\.values="
    with pytest.raises(BadPicture, match=said):
        decode(content, Form(1, 40, 60, bits=16, values=(0, 4095)))
    large = file_of(GRAY.astype(np.int32) + 70_000, ".tif")
    with pytest.raises(BadPicture, match="are read from 0 to 65,535"):
        decode(large, Form(1, 40, 60, bits=16, values=(0, 65535)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("colour", [False, True])
def test_they_are_turned_as_their_exif_data_say(orientation: int, colour: bool):
    values = COLOURS if colour else GRAY
    plain = file_of(values, ".png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown, turned = BytesIO(), BytesIO()
    Image.fromarray((values // 16).astype(np.uint8)).save(shown, "PNG", exif=exif)
    chunk = exif.tobytes()[6:]
    # The chunk eXIf behind IHDR, with its own check sum.
    piece = struct.pack(">I", len(chunk)) + b"eXIf" + chunk + struct.pack(">I", zlib.crc32(b"eXIf" + chunk))
    turned.write(plain[:33] + piece + plain[33:])
    size = (60, 40) if orientation >= 5 else (40, 60)
    form = Form(3 if colour else 1, *size, bits=16, values=(0, 4095))
    deep, place = decode(turned.getvalue(), form)
    flat, _ = decode(shown.getvalue(), Form(3 if colour else 1, *size))
    assert place.size == size and torch.equal(deep.to(torch.int32) // 16, flat.to(torch.int32))


def test_several_pages_are_refused_and_overviews_are_none():
    worked, content = cv2.imencodemulti(".tif", [GRAY, GRAY, GRAY])
    assert worked
    with pytest.raises(BadPicture, match=r"^has 3 pages, of which one alone would be read: save each as a file of its"):
        read_header(content.tobytes())
    picture, overview = Image.fromarray(GRAY), Image.fromarray(GRAY[::2, ::2])
    overview.encoderinfo = {"tiffinfo": {254: 1}}
    written = BytesIO()
    picture.save(written, "TIFF", save_all=True, append_images=[overview])
    assert read_header(written.getvalue()).deep
    animation = BytesIO()
    Image.new("L", (8, 8)).save(animation, "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 90)])
    assert not read_header(animation.getvalue()).deep


def test_without_the_extra_colours_of_other_formats_are_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    content = file_of(COLOURS, ".tif")
    monkeypatch.setitem(sys.modules, "cv2", None)
    form = Form(3, 40, 60, bits=16, values=(0, 4095))
    with pytest.raises(BadPicture, match=r"^is a TIFF of 16-bit colours, which Pillow cuts to 8 bits; pip install "
                                         r"\"lensmith\[deep\]\" reads it, or save it as PNG$"):
        decode(content, form)
    assert decode(PNG, form)[0].dtype == torch.uint16    # for which none is needed


def test_a_png_that_cannot_be_read_is_refused_by_name():
    form = Form(3, 40, 60, bits=16, values=(0, 4095))
    with pytest.raises(BadPicture, match="is truncated"):
        decode(PNG[:-2000], form)
    interlaced = PNG[:28] + b"\1" + struct.pack(">I", zlib.crc32(PNG[12:28] + b"\1")) + PNG[33:]
    with pytest.raises(BadPicture, match="is an interlaced PNG of 16-bit colours, of which Pillow reads 8 bits; "):
        decode(interlaced, form)


@pytest.mark.parametrize("strategy", [cv2.IMWRITE_PNG_STRATEGY_DEFAULT, cv2.IMWRITE_PNG_STRATEGY_FILTERED])
@pytest.mark.parametrize("filters", range(6))
def test_every_filter_of_a_png_is_undone(strategy: int, filters: int):
    smooth = (np.add.outer(np.arange(40), np.arange(60))[:, :, None] * np.array([50, 300, 7]) % 65536).astype(np.uint16)
    content = file_of(smooth, ".png", cv2.IMWRITE_PNG_STRATEGY, strategy, cv2.IMWRITE_PNG_FILTER, 8 << filters)
    assert np.array_equal(values_of(content), smooth)


def test_pictures_of_8_bits_are_spread_over_the_values_and_padding_is_gray():
    flat = BytesIO()
    Image.new("L", (20, 10), 51).save(flat, "PNG")
    form = Form(1, 10, 20, bits=16, values=(0, 4095))
    assert set(decode(flat.getvalue(), form)[0].flatten().tolist()) == {819}
    padded = decode(flat.getvalue(), Form(1, 20, 20, "pad", 16, values=(-1024, 1023)))[0]
    assert padded[0, 0, 0].item() == round(PADDING * 2047 / 255) and padded[0, 10, 10].item() == 409
    clipped = decode(flat.getvalue(), Form(1, 20, 20, "pad", 16))[0]    # as before there were values
    assert (clipped[0, 0, 0].item(), clipped[0, 10, 10].item()) == (PADDING * 257, 51 * 257)


def test_deep_pictures_are_cut_to_8_bits_by_their_own_white():
    form = Form(1, 40, 60, values=(0, 4095))
    cut = decode(file_of(GRAY, ".png"), form)[0]
    assert torch.equal(cut[0], torch.from_numpy(np.rint(GRAY * (255 / 4095)).astype(np.uint8)))
    colours = decode(PNG, Form(3, 40, 60, values=(0, 4095)))[0]
    assert torch.equal(colours[2], torch.from_numpy(np.rint((4095 - GRAY) * (255 / 4095)).astype(np.uint8)))


def test_the_ways_to_a_deep_tensor_agree():
    form = Form(1, 20, 30, bits=16, values=(0, 4095))
    by_file = decode(file_of(GRAY, ".png"), form)[0]
    by_image = bring(Image.fromarray(GRAY), form)[0]
    whole = decode(file_of(GRAY, ".png"), Form(1, 40, 60, bits=16, values=(0, 4095)))[0]
    assert torch.equal(by_file.view(torch.int16), by_image.view(torch.int16))
    assert torch.equal(by_file.view(torch.int16), refit(whole, form).view(torch.int16))
    # Unless something has to be shifted, a form without values gives the same.
    clipped = decode(file_of(GRAY, ".png"), Form(1, 20, 30, bits=16))[0]
    assert torch.equal(by_file.view(torch.int16), clipped.view(torch.int16))


@pytest.mark.parametrize("form", [Form(3, 8, 9), Form(1, 8, 9, "pad", 16, "bicubic", (-5, 900), 7)])
def test_a_form_is_kept_as_json(form: Form):
    kept = form.as_json()
    assert form_of(kept) == form and ("values" in kept) == (form.values is not None)
