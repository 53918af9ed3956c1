"""The canonical decode: every kind of picture, every kind of broken file, and where a pixel of the file ends up."""

import io
import os
import random
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import BadPicture, read_file, read_header
from lensmith.base.pictures import PADDING, Form, bring, decode, to_pil

UPRIGHT = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3    # no symmetry


def stored(upright):
    """What a camera stores so that a viewer who honours the orientation sees `upright` (EXIF 2.3, tag 0x0112)."""
    return {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1),
            6: np.rot90(upright, 1), 7: upright[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(upright, -1)}


STORED = stored(UPRIGHT)


def exact(array, channels=None, bits=8):
    """The form in which nothing is resized."""
    return Form(channels or (array.shape[2] if array.ndim == 3 else 1), *array.shape[:2], bits=bits)


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(height=40, width=50, seed=0):
    """Something that compresses like a photo and differs everywhere."""
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def png_that_declares(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(200))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_lossless_rgb_comes_through_bit_for_bit(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    image, place = decode(encoded(Image.fromarray(UPRIGHT), kind, **options), exact(UPRIGHT))
    assert image.dtype == torch.uint8 and np.array_equal(image.numpy(), UPRIGHT.transpose(2, 0, 1))
    assert place.size == (6, 4) and place.fit == (1, 1, 0, 0)


def test_gray_stays_one_channel_and_is_repeated_in_a_colour_run():
    gray = UPRIGHT[:, :, 0]
    data = encoded(Image.fromarray(gray))
    assert read_header(data).gray
    assert np.array_equal(decode(data, exact(gray))[0].numpy(), gray[None])
    assert np.array_equal(decode(data, exact(gray, 3))[0].numpy(), np.stack([gray] * 3))


def test_colour_becomes_gray_by_the_luma_weights_of_bt601():
    colour, _ = decode(encoded(Image.fromarray(UPRIGHT)), exact(UPRIGHT, 1))
    luma = UPRIGHT @ np.array([0.299, 0.587, 0.114])
    assert np.abs(colour[0].numpy() - luma).max() <= 1


def test_one_bit_pictures_are_black_and_white():
    bits = UPRIGHT[:, :, 0] > 100
    image, _ = decode(encoded(Image.fromarray(bits)), exact(bits))
    assert np.array_equal(image[0].numpy(), np.where(bits, 255, 0))


def test_transparent_pixels_show_white_and_half_transparent_ones_are_blended():
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[:, :, 0] = 200
    rgba[:, :, 3] = [0, 128, 255]
    image, _ = decode(encoded(Image.fromarray(rgba)), exact(rgba, 3))
    red, green = image[0, 0].tolist(), image[1, 0].tolist()
    assert (red[0], green[0]) == (255, 255) and (red[2], green[2]) == (200, 0)
    assert red[1] == pytest.approx(200 * 128 / 255 + 255 * 127 / 255, abs=1)
    assert green[1] == pytest.approx(255 * 127 / 255, abs=1)


def test_alpha_is_kept_in_a_run_of_four_channels():
    rgba = np.dstack([UPRIGHT, UPRIGHT[:, :, 0]])
    assert np.array_equal(decode(encoded(Image.fromarray(rgba)), exact(rgba))[0].numpy(), rgba.transpose(2, 0, 1))


def test_gray_with_alpha_is_no_gray_picture_and_shows_white_where_transparent():
    both = Image.merge("LA", (Image.new("L", (4, 4), 10), Image.new("L", (4, 4), 0)))
    data = encoded(both)
    assert not read_header(data).gray
    assert (decode(data, Form(1, 4, 4))[0] == 255).all()


def palette_picture():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    return image


def test_palette_pictures_give_the_colours_of_the_palette():
    image, _ = decode(encoded(palette_picture()), Form(3, 1, 2))
    assert image[:, 0].T.tolist() == [[10, 20, 30], [200, 100, 50]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_shows_white(kind):
    image, _ = decode(encoded(palette_picture(), kind, transparency=1), Form(3, 1, 2))
    assert image[:, 0].T.tolist() == [[10, 20, 30], [255, 255, 255]]


def test_a_gray_png_with_a_transparent_value_shows_white_there():
    data = encoded(Image.fromarray(np.array([[7, 90]], np.uint8)), transparency=7)
    assert not read_header(data).gray
    assert decode(data, Form(1, 1, 2))[0].flatten().tolist() == [255, 90]


def test_cmyk_is_converted_by_its_inks():
    inks = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [0, 128, 64, 100]]], np.uint8)
    image, _ = decode(encoded(Image.fromarray(inks, mode="CMYK"), "TIFF"), Form(3, 1, 4))
    paper = 255 - inks[..., :3].astype(float)
    wanted = paper * (255 - inks[..., 3:].astype(float)) / 255
    assert np.abs(image.permute(1, 2, 0).numpy() - wanted).max() <= 1


def test_a_cmyk_jpeg_decodes_to_its_colour():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    image, _ = decode(data, Form(3, 16, 16))
    assert np.abs(image.float().mean((1, 2)).numpy() - [255, 0, 0]).max() < 6


DEEP = np.array([[0, 1, 257, 30000], [65535, 65278, 40000, 128]], np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_kept_as_uint16(kind):
    data = encoded(Image.fromarray(DEEP), kind)
    header = read_header(data)
    assert header.deep and header.gray
    image, _ = decode(data, exact(DEEP, bits=16))
    assert image.dtype == torch.uint16 and np.array_equal(image[0].numpy(), DEEP)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_scaled_to_eight(kind, channels):
    image, _ = decode(encoded(Image.fromarray(DEEP), kind), exact(DEEP, channels))
    assert image.dtype == torch.uint8 and image.shape[0] == channels
    assert np.array_equal(image[-1].numpy(), np.round(DEEP / 257).astype(np.uint8))


def test_sixteen_bit_gray_in_a_colour_run_of_sixteen_bits_is_repeated():
    image, _ = decode(encoded(Image.fromarray(DEEP)), exact(DEEP, 3, bits=16))
    assert np.array_equal(image.numpy(), np.stack([DEEP] * 3))


def test_eight_bits_fill_the_range_of_sixteen():
    gray = np.array([[0, 1, 255]], np.uint8)
    image, _ = decode(encoded(Image.fromarray(gray)), exact(gray, bits=16))
    assert image.flatten().tolist() == [0, 257, 65535]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_exif_orientation_gives_the_same_upright_picture(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(STORED[orientation])), kind, exif=exif)
    header = read_header(data)
    assert (header.height, header.width) == (6, 4)
    image, place = decode(data, exact(UPRIGHT))
    assert np.array_equal(image.numpy(), UPRIGHT.transpose(2, 0, 1)) and place.size == (6, 4)


def test_a_jpeg_with_an_orientation_is_turned_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = photo()
    data = encoded(upright.rotate(90, expand=True), "JPEG", quality=95, exif=exif)
    image, _ = decode(data, Form(3, upright.height, upright.width))
    assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - np.asarray(upright)).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_a_truncated_file_is_bad(kind, tmp_path):
    data = encoded(photo(), kind)
    (tmp_path / "cut").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadPicture):
        decode(tmp_path / "cut", Form(3, 40, 50))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_a_header_is_read_without_the_body(kind):
    noise = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    header = read_header(data[: len(data) // 2] if kind != "WEBP" else data)    # WebP is refused where it is not whole
    assert (header.height, header.width) == (90, 70)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_reason_says_that_a_file_is_truncated(kind):
    data = encoded(photo(), kind)
    with pytest.raises(BadPicture, match="truncated"):
        decode(data[: len(data) * 2 // 3], Form(3, 40, 50))


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "is empty (0 bytes)"),
    (b"This is a list of pictures, not a picture.\n", "is not a picture in a format that Pillow reads"),
    (b"\x89PNG\r\n\x1a\n", "is not a picture in a format that Pillow reads"),
])
@pytest.mark.parametrize("reads", [read_header, lambda source: decode(source, Form(3, 8, 8))])
def test_what_is_no_picture_is_bad_and_says_why(content, reason, reads, tmp_path):
    file = tmp_path / "cat.jpg"
    file.write_bytes(content)
    for source in (file, content):
        with pytest.raises(BadPicture) as caught:
            reads(source)
        assert str(caught.value).startswith(reason)


def test_a_missing_file_and_a_folder_are_bad(tmp_path):
    with pytest.raises(BadPicture, match=r"^does not exist$"):
        decode(tmp_path / "cat.jpg", Form(3, 8, 8))
    with pytest.raises(BadPicture):
        decode(tmp_path, Form(3, 8, 8))


@pytest.mark.parametrize("edge", [20_000, 16_000, 13_400])
@pytest.mark.parametrize("reads", [read_header, lambda source: decode(source, Form(3, 8, 8))])
def test_a_tiny_file_that_declares_a_huge_picture_is_refused_before_it_is_decoded(edge, reads):
    data = png_that_declares(edge, edge)
    assert len(data) < 400
    with pytest.raises(BadPicture, match=r"declares (too many pixels|.* at most 178,000,000 are accepted)"):
        reads(data)


def test_a_bad_picture_is_a_data_error_with_exit_code_3():
    assert issubclass(BadPicture, DataError) and BadPicture.code == 3


def test_floating_point_pixels_are_refused():
    with pytest.raises(BadPicture, match="floating-point"):
        decode(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), Form(1, 4, 4))


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_bytes_and_path_decode_alike(fit, kind, tmp_path):
    data = encoded(photo(), kind)
    (tmp_path / "photo").write_bytes(data)
    form = Form(3, 24, 24, fit)
    one, other = decode(data, form, name="photo"), decode(tmp_path / "photo", form, name="photo")
    assert torch.equal(one[0], other[0]) and one[1] == other[1]


def test_a_place_is_named_as_asked_or_by_the_path(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(photo()))
    assert decode(tmp_path / "a.png", Form(3, 8, 8))[1].file == str(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", Form(3, 8, 8), name="a.png")[1].file == "a.png"


def test_the_middle_is_cut_out_of_a_wide_picture():
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 255
    image, place = bring(Image.fromarray(wide), Form(3, 4, 4, "crop"))
    assert (image == 255).all() and place.fit == (1, 1, -4, 0)


def test_a_letterbox_keeps_the_whole_picture_on_gray():
    image, place = bring(Image.new("RGB", (8, 4), (255, 0, 0)), Form(3, 8, 8, "pad"))
    assert (image[0, 2:6] == 255).all() and (image[1, 2:6] == 0).all()
    assert (image[:, :2] == PADDING).all() and (image[:, 6:] == PADDING).all() and place.fit == (1, 1, 0, 2)


def test_the_letterbox_of_sixteen_bits_is_the_same_gray():
    image, _ = bring(Image.fromarray(np.full((2, 4), 9, np.uint16)), Form(1, 4, 4, "pad", bits=16))
    assert image[0, 0].tolist() == [PADDING * 257] * 4 and image[0, 1].tolist() == [9] * 4


@settings(max_examples=150, deadline=None)
@given(size=st.tuples(st.integers(1, 90), st.integers(1, 90)), target=st.tuples(st.integers(1, 64), st.integers(1, 64)),
       fit=st.sampled_from(["crop", "pad", "squash"]))
def test_the_place_maps_the_files_corners_to_the_network_and_back(size, target, fit):
    height, width = size
    image, place = bring(Image.new("L", (width, height), 200), Form(1, *target, fit))
    assert tuple(image.shape) == (1, *target) and place.size == size
    scale_x, scale_y, shift_x, shift_y = place.fit
    left, top, right, bottom = shift_x, shift_y, width * scale_x + shift_x, height * scale_y + shift_y
    if fit == "squash":
        assert (left, top, right, bottom) == pytest.approx((0, 0, target[1], target[0]))
    elif fit == "crop":    # whole pixels: all along one axis, the middle of the other, in the network's proportions
        part = np.array([target[1] / scale_x, target[0] / scale_y])
        before = np.array([-left / scale_x, -top / scale_y])
        after = np.array([width, height]) - part - before
        assert (part, before) == (pytest.approx(part.round()), pytest.approx(before.round(), abs=1e-6))
        assert before.min() >= -1e-6 and after.min() >= -1e-6 and min((before + after).round()) == 0
        assert ((after - before).round() >= 0).all() and ((after - before).round() <= 1).all()
        exact_part = np.minimum([width, height], [height * target[1] / target[0], width * target[0] / target[1]])
        assert (np.abs(part - np.maximum(exact_part, 1)) <= 0.5 + 1e-6).all()
    else:    # lies inside it, on whole pixels, and only there is the picture
        inside = np.zeros(target, bool)
        inside[round(top) : round(bottom), round(left) : round(right)] = True
        assert (left, top, right, bottom) == pytest.approx(tuple(map(round, (left, top, right, bottom))))
        assert left >= 0 and top >= 0 and right <= target[1] + 1e-6 and bottom <= target[0] + 1e-6
        assert np.array_equal(image[0].numpy() == 200, inside)
    back = ((left - shift_x) / scale_x, (bottom - shift_y) / scale_y)
    assert back == pytest.approx((0, height), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(size=st.tuples(st.integers(24, 90), st.integers(24, 90)), fit=st.sampled_from(["crop", "pad", "squash"]),
       spot=st.tuples(st.floats(0.35, 0.65), st.floats(0.35, 0.65)))
def test_what_lies_in_the_file_is_found_where_the_place_says(size, fit, spot):
    height, width = size
    row, column = round(spot[0] * height), round(spot[1] * width)
    picture = np.zeros(size, np.uint8)
    picture[row - 2 : row + 2, column - 2 : column + 2] = 255    # its centre is the corner point (column, row)
    image, place = bring(Image.fromarray(picture), Form(1, 48, 56, fit))
    weight = np.where(image[0].numpy() == PADDING, 0, image[0].numpy()).astype(float)
    if not weight.any() or not 4 < column * place.fit[0] + place.fit[2] < 52:
        return    # cut off
    if not 4 < row * place.fit[1] + place.fit[3] < 44:
        return
    rows, columns = np.indices(weight.shape) + 0.5
    found = ((columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum())
    assert found == pytest.approx((column * place.fit[0] + place.fit[2], row * place.fit[1] + place.fit[3]), abs=0.8)


@pytest.mark.parametrize("size", [(90, 131), (17, 9), (24, 36), (301, 160)])
@pytest.mark.parametrize("form", [Form(3, 40, 40), Form(1, 40, 40), Form(3, 33, 48, "pad"), Form(1, 24, 36, "squash")])
def test_a_picture_is_resized_as_pillow_does_the_same_part(size, form, textured):
    picture = textured(*size)
    image, place = bring(picture, form)
    scale_x, scale_y, shift_x, shift_y = place.fit
    edges = (-shift_x / scale_x, -shift_y / scale_y, (form.width - shift_x) / scale_x,
             (form.height - shift_y) / scale_y)    # in the file
    left, top, right, bottom = (max(0, min(round(edge), size[1 - i % 2])) for i, edge in enumerate(edges))
    fitted = round((right - left) * scale_x), round((bottom - top) * scale_y)
    wanted = picture.convert("L" if form.channels == 1 else "RGB").crop((left, top, right, bottom)).resize(
        fitted, Image.Resampling.BILINEAR)
    ground = Image.new(wanted.mode, form.size[::-1], (PADDING,) * form.channels if form.channels > 1 else PADDING)
    ground.paste(wanted, ((form.width - fitted[0]) // 2, (form.height - fitted[1]) // 2))
    off = np.atleast_3d(np.asarray(ground)).transpose(2, 0, 1).astype(int) - image.numpy()
    assert np.abs(off).max() <= 1 and image.is_contiguous()


@pytest.mark.parametrize("textured", [True, False])
def test_bicubic_pictures_are_those_of_pillow_and_others_than_bilinear_ones(textured):
    rng = np.random.default_rng(2)
    values = rng.integers(0, 256, (90, 140, 3), np.uint8) if textured else np.full((90, 140, 3), 77, np.uint8)
    form = Form(3, 40, 60, "squash", interpolation="bicubic")
    found = bring(Image.fromarray(values), form)[0]
    expected = np.asarray(Image.fromarray(values).resize((60, 40), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1
    assert textured != torch.equal(found, bring(Image.fromarray(values), Form(3, 40, 60, "squash"))[0])
    deep = Image.fromarray(rng.integers(0, 65536, (90, 140), np.uint16))
    sixteen = bring(deep, Form(1, 40, 60, "squash", bits=16, interpolation="bicubic"))[0][0].numpy()
    floats = np.asarray(Image.fromarray(np.asarray(deep).astype(np.float32)).resize((60, 40), Image.Resampling.BICUBIC))
    assert np.array_equal(sixteen, np.rint(np.clip(floats, 0, 65535)).astype(np.uint16))


def test_the_number_of_threads_changes_no_pixel():
    threads, found = torch.get_num_threads(), []
    forms = Form(3, 224, 224), Form(1, 300, 290, "pad")
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append([bring(photo(375, 500), form)[0] for form in forms])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for images in found[1:] for one, other in zip(found[0], images, strict=True))


def test_an_opaque_picture_with_alpha_is_resized_as_without(textured):
    picture = textured(50, 61)
    with_alpha, without = bring(picture, Form(4, 24, 24))[0], bring(picture, Form(3, 24, 24))[0]
    assert torch.equal(with_alpha[:3], without) and (with_alpha[3] == 255).all()


def test_the_colour_of_what_is_transparent_does_not_show_when_resized():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, ::2] = (255, 0, 0, 255)
    rgba[:, 1::2] = (0, 255, 0, 0)
    image, _ = bring(Image.fromarray(rgba), Form(4, 4, 4))
    assert (image[0] == 255).all() and (image[1] == 0).all() and ((image[3] > 100) & (image[3] < 155)).all()


def test_what_a_picture_becomes_is_no_longer_its_own():
    picture = Image.new("RGB", (6, 6), (9, 9, 9))
    for form in (Form(3, 6, 6), Form(3, 4, 6), Form(3, 3, 3)):
        image, _ = bring(picture, form)
        image.fill_(200)
        assert np.asarray(picture).max() == 9 and (bring(picture, form)[0] == 9).all()


def test_sixteen_bits_of_gray_are_opaque_in_a_run_with_alpha():
    for bits, most in ((8, 255), (16, 65535)):
        image, _ = bring(Image.fromarray(DEEP), exact(DEEP, 4, bits=bits))
        assert (image[3].int() == most).all() and torch.equal(image[0].int(), image[2].int())
        assert image[0].int().max() > 0


def test_a_path_that_cannot_be_looked_at_gives_its_reason(tmp_path, monkeypatch):
    (tmp_path / "plain").write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    said = {tmp_path / ("long" * 80 + ".png"): "cannot be read (File name too long)",
            tmp_path / "plain" / "a.png": "cannot be read (Not a directory)",
            tmp_path / "folder.png": "is not a file", tmp_path / "pipe.png": "is not a file",
            tmp_path / "gone.png": "does not exist"}
    for path, reason in said.items():
        for reads in (read_header, read_file, lambda path: decode(path, exact(DEEP))):
            with pytest.raises(BadPicture) as caught:
                reads(path)
            assert str(caught.value) == reason

    def denied(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", denied)    # as in a folder that may not be entered
    for reads in (read_header, read_file):
        with pytest.raises(BadPicture, match=r"^may not be read \(permission denied\)$"):
            reads(tmp_path / "forbidden" / "a.png")


def test_the_bytes_of_a_file_decode_as_the_file(tmp_path):
    path = tmp_path / "a.jpg"
    photo().save(path)
    assert torch.equal(decode(read_file(path), exact(UPRIGHT))[0], decode(path, exact(UPRIGHT))[0])


def test_a_picture_goes_to_pillow_and_comes_back():
    image = torch.from_numpy(UPRIGHT.transpose(2, 0, 1).copy())
    assert torch.equal(bring(to_pil(image), exact(UPRIGHT))[0], image)
    assert np.array_equal(np.asarray(to_pil(torch.from_numpy(DEEP)[None])), DEEP // 257)


def only_bad(data):
    """Decoding gives a picture of the form, or a BadPicture in one line; nothing else."""
    form = Form(3, 16, 20, "pad")
    for reads in (read_header, lambda source: decode(source, form)):
        reason, found = "", None
        try:
            found = reads(data)
        except BadPicture as error:
            reason = str(error)
        assert (found is None) == bool(reason) and "\n" not in reason
        assert not isinstance(found, tuple) or tuple(found[0].shape) == (3, 16, 20)


PICTURES = [encoded(photo(), "JPEG"), encoded(photo(), "PNG"), encoded(photo(), "GIF"), encoded(photo(), "TIFF"),
            encoded(palette_picture(), "PNG", transparency=1), encoded(photo(), "WEBP"), encoded(photo(), "BMP")]
# Warnings of Pillow about odd files are not what is tested here.
quiet = pytest.mark.filterwarnings("ignore")


@quiet
@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", *(one[:24] for one in PICTURES)]), st.binary(max_size=300))
def test_random_bytes_give_a_bad_picture_and_nothing_else(beginning, rest):
    only_bad(beginning + rest)


def mutated(data, draw):
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8, 40])):
        at = draw.randrange(len(changed) if draw.random() < 0.5 else min(200, len(changed)))
        changed[at] = draw.randrange(256)
    return bytes(changed[: draw.randrange(len(changed))] if draw.random() < 0.2 else changed)


@quiet
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(PICTURES) - 1), st.integers(0, 2**32))
def test_damaged_pictures_give_a_picture_or_a_bad_picture(which, seed):
    only_bad(mutated(PICTURES[which], random.Random(seed)))


@quiet
@pytest.mark.slow
def test_twenty_thousand_damaged_pictures_give_a_picture_or_a_bad_picture():
    draw = random.Random(1)
    for _ in range(20_000):
        only_bad(mutated(draw.choice(PICTURES), draw))
