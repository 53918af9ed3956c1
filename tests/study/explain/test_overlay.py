"""A map drawn over its picture."""

import numpy as np
import torch
from PIL import Image

from lensmith.study.explain.overlay import by_strongest, with_map


def test_warm_speaks_for_cold_against_and_nothing_leaves_gray():
    picture = Image.new("RGB", (30, 20), (90, 140, 40))
    found = torch.zeros(20, 30)
    found[:, :10], found[:, 20:] = 2.0, -1.0
    pixels = np.asarray(with_map(picture, found)).astype(int)
    gray = np.asarray(picture.convert("L"))[0, 0]
    assert (pixels[:, 10:20] == gray).all()
    assert (pixels[:, :10, 0] > pixels[:, :10, 2]).all() and (pixels[:, 20:, 2] > pixels[:, 20:, 0]).all()


def test_what_the_network_did_not_see_stays_gray_and_an_object_is_framed():
    picture = Image.new("L", (300, 200), 50)
    found = torch.full((200, 300), float("nan"))
    pixels = np.asarray(with_map(picture, found, corners=(10.0, 20.0, 60.0, 80.0)))
    assert (pixels[20, 10:60] == 255).all() and (pixels[100:, 100:] == 50).all()
    assert float(by_strongest(found).abs().max()) == 0


def test_single_strong_pixels_do_not_hide_the_rest():
    found = torch.full((100, 100), 1.0)
    found[0, 0] = 1000
    assert float(by_strongest(found)[50, 50]) == 1 and float(by_strongest(found).max()) == 1
