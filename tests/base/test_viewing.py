"""How pictures look when they are shown to a person."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.picture_headers import BadPicture
from lensmith.base.viewing import open_viewable, viewable


@pytest.mark.parametrize(("shape", "size"), [
    ((1, 28, 28), (112, 112)), ((3, 1, 3), (96, 32)), ((3, 96, 50), (50, 96)), ((4, 20, 40), (120, 60)),
    ((1, 150, 150), (150, 150)), ((3, 400, 800), (192, 96)), ((2, 32, 32), (96, 96)), ((13, 32, 32), (96, 96)),
])
def test_pictures_are_brought_to_a_size_one_can_see(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    assert viewable(torch.zeros(shape, dtype=torch.uint8), least=96, most=192).size == size


def test_tiny_pictures_are_enlarged_without_blur() -> None:
    image = torch.tensor([[[0, 255], [255, 0]]], dtype=torch.uint8)
    assert np.array_equal(np.array(viewable(image, least=96, most=192)),
                          np.kron([[0, 255], [255, 0]], np.ones((48, 48))))


def test_sixteen_bits_are_stretched_to_what_the_picture_uses_and_alpha_is_not() -> None:
    deep = torch.tensor([[[100, 4100, 2100]]], dtype=torch.int32)
    assert np.array(viewable(deep.to(torch.uint16), least=1, most=9)).tolist() == [[0, 255, 127]]
    plain = torch.full((1, 2, 2), 257 * 80, dtype=torch.int32).to(torch.uint16)    # one value only: as bright as it is
    assert (np.array(viewable(plain, least=1, most=9)) == 80).all()
    see_through = torch.cat((deep, deep, deep, torch.full_like(deep, 257 * 128))).to(torch.uint16)
    assert np.array(viewable(see_through, least=1, most=9))[0].tolist() == [[0] * 3 + [128], [255] * 3 + [128],
                                                                              [127] * 3 + [128]]


def test_a_deep_gray_file_is_neither_black_nor_white(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 40 * 30).astype(np.uint16).reshape(40, 30)    # a 12-bit camera's
    Image.fromarray(values).save(tmp_path / "deep.png")
    shown = np.array(open_viewable(tmp_path / "deep.png", least=10, most=100)).astype(float)
    assert np.abs(shown - values / 4095 * 255).max() <= 1


def test_a_file_is_shown_as_the_network_gets_it(tmp_path: Path) -> None:
    Image.new("RGBA", (30, 20), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (np.array(open_viewable(tmp_path / "clear.png", least=10, most=100)) == 255).all()    # shows white
    turned = Image.new("RGB", (30, 20), "red")
    turned.paste("blue", (0, 0, 15, 20))
    exif = Image.Exif()
    exif[0x0112] = 6    # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    upright = open_viewable(tmp_path / "turned.png", least=10, most=100)
    assert upright.size == (20, 30) and upright.getpixel((10, 2)) == (0, 0, 255)
    Image.new("CMYK", (900, 300)).save(tmp_path / "print.jpg")
    large = open_viewable(tmp_path / "print.jpg", least=10, most=100)
    assert large.size == (100, 33) and np.array(large).min() > 250


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(BadPicture, match="is not a picture"):
        open_viewable(tmp_path / "no.png", least=10, most=100)
