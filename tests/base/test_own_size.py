"""A picture at its own size: the form's channels and depth, and no resizing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lensmith.base.pictures import OWN, Form, decode


def test_a_picture_keeps_its_size(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    for form in (Form(3, 20, 20), Form(3, 20, 20, fit="pad"), Form(1, 96, 64)):
        picture, place = decode(tmp_path / "small.png", replace(form, fit=OWN))
        assert picture.shape == (form.channels, 50, 70) and place.size == (50, 70) and place.fit == (1.0, 1.0, 0.0, 0.0)
        if form.channels == 3:
            assert torch.equal(picture, torch.from_numpy(pixels).permute(2, 0, 1))
    Image.fromarray(pixels.repeat(9, 0).repeat(9, 1)).save(tmp_path / "large.jpg")    # which is not decoded at a half
    assert decode(tmp_path / "large.jpg", Form(3, 20, 20, fit=OWN))[0].shape == (3, 450, 630)
