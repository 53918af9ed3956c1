"""Which values are black and white, and what is said of pictures of more than 8 bits."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lensmith.base.errors import UserError
from lensmith.data.sources.deep_values import cut_in_words, deep_in_words, given_values, values_of_files
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import settle_form, survey


def deep(folder: Path, *largest: int, lowest: int = 0, name: str = "deep") -> Files:
    """Pictures of 16 bits with values from `lowest` to each of `largest`."""
    paths = []
    for i, high in enumerate(largest):
        values = np.linspace(lowest, high, 64).round().reshape(8, 8)
        paths.append(folder / f"{name}{i}{'.tif' if lowest < 0 else '.png'}")
        assert cv2.imwrite(str(paths[-1]), values.astype(np.int16 if lowest < 0 else np.uint16))
    return Files(paths, {}, {}, root=folder)


@pytest.mark.parametrize(("largest", "lowest", "values"), [
    ((300, 380), 0, (0, 511)), ((4095, 9), 0, (0, 4095)), ((60_000,), 0, (0, 65535)), ((3,), 0, (0, 255)),
    ((3000, 100), -1000, (-4096, 4095)), ((100,), -1024, (-1024, 1023)), ((32_000,), -32_768, (-32768, 32767)),
    ((-5,), -100, (-256, 255))])
def test_they_are_as_many_bits_as_the_pictures_use(tmp_path, largest, lowest, values):
    source = deep(tmp_path, *largest, lowest=lowest)
    assert values_of_files([source], [survey(source).headers]) == values


def test_of_files_without_deep_ones_there_are_none(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    source = Files([tmp_path / "a.png", tmp_path / "b.png"], {}, {}, root=tmp_path)
    assert values_of_files([source], [survey(source).headers]) is None
    assert deep_in_words([], bits=8, values=None) == ""


def test_most_pictures_decide_the_bits_and_the_others_are_told(tmp_path):
    source = deep(tmp_path, 400, 380)
    Image.new("L", (8, 8), 90).save(tmp_path / "flat.png")
    mixed = Files([*source.paths, tmp_path / "flat.png"], {}, {}, root=tmp_path)
    found = survey(mixed)
    values = values_of_files([mixed], [found.headers])
    form = settle_form([found], values=values)
    assert (form.bits, form.values) == (16, (0, 511))
    assert deep_in_words(found.headers, bits=16, values=values) == (
        "2 of 3 pictures have more than 8 bits a channel, where 0 is black and 511 white (pictures.values), and the "
        "others are spread over them")
    few = [*found.headers, *[found.headers[2]] * 3]
    assert settle_form([type(found)(few, [])], values=values).bits == 8
    assert deep_in_words(few, bits=8, values=values) == (
        "2 of 6 pictures have more than 8 bits a channel and are cut to 8, where 0 is black and 511 white "
        "(pictures.values); pictures.bits=16 keeps them")
    assert settle_form([found]).bits == 8    # as before there were values: all of them decide


@pytest.mark.parametrize("values", [[1], [5, 5], [0, 70_000], [-40_000, 0], [-1, 65_535]])
def test_values_that_cannot_be_are_refused(values):
    with pytest.raises(UserError, match=r"pictures\.values=.* is not possible: accepted are the values of 16-bit "):
        given_values(values)
    assert given_values([-1024, 3071]) == (-1024, 3071)


def test_more_pixels_than_the_setting_accepts_are_bad(tmp_path):
    Image.new("L", (100, 90)).save(tmp_path / "a.png")
    source = Files([tmp_path / "a.png"], {}, {}, root=tmp_path)
    assert not survey(source, 9_000).bad
    assert survey(source, 8_999).bad[0].reason == \
        "declares 100 x 90 pixels; at most 8,999 are accepted (pictures.most_pixels)"


def test_an_avif_of_more_bits_than_are_read_is_told(tmp_path):
    values = np.linspace(0, 1023, 3 * 32 * 32).reshape(32, 32, 3).astype(np.uint16)
    for bits in (10, 12):
        try:
            written = cv2.imwrite(str(tmp_path / f"{bits}.avif"), values, [cv2.IMWRITE_AVIF_DEPTH, bits])
        except cv2.error:
            written = False
        if not written:
            pytest.skip("this OpenCV writes no AVIF")
    Image.new("RGB", (32, 32), (9, 99, 200)).save(tmp_path / "8.avif")
    headers = survey(Files([tmp_path / f"{bits}.avif" for bits in (8, 10, 12)], {}, {}, root=tmp_path)).headers
    assert [(header.deep, header.cut) for header in headers] == [(False, False), (False, True), (False, True)]
    assert cut_in_words(headers) == ("2 pictures of 10 or 12 bits a channel (AVIF), of which 8 are read: 16-bit PNG "
                                     "keeps all of them")
    assert cut_in_words(headers[:1]) == ""
