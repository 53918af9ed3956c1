"""Colour pixels of four bytes: the same bytes as NumPy's transposition moves, the same pixels as PyTorch's planes."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from lensmith.base.packed_pixels import pixels_of, planes_of, resized, scaled


def planes(channels: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (channels, height, width), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 20)])
def test_planes_are_put_together_and_taken_apart(size: tuple[int, int]):
    whole = planes(3, *size)
    pixels = pixels_of(whole)
    assert (pixels[:, :, :3] == whole.transpose(1, 2, 0)).all() and not pixels[:, :, 3].any()
    pixels[:, :, 3] = 255    # what Pillow has there
    assert (planes_of(pixels) == whole).all()


def test_a_part_of_a_picture_is_put_together_too():
    whole = planes(3, 40, 50)
    assert (pixels_of(whole[:, 3:20, 7:31])[:, :, :3] == whole[:, 3:20, 7:31].transpose(1, 2, 0)).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(40, 40), (1, 2), (7, 90), (100, 3)])
def test_a_picture_is_scaled_as_its_planes_are(channels: int, size: tuple[int, int]):
    whole = torch.from_numpy(planes(channels, 31, 50))
    for part in (whole, whole[:, 2:3, 4:5], whole[:, 5:30, 10:21]):
        wanted = interpolate(part[None], size, mode="bilinear", align_corners=False)[0]
        assert torch.equal(scaled(part, size), wanted)


def test_a_picture_is_scaled_to_a_single_pixel():
    whole = torch.from_numpy(planes(3, 31, 31))    # as planes they end in an assertion of PyTorch 2.15
    assert torch.equal(scaled(whole, (1, 1))[:, 0, 0], whole[:, 15, 15])


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_pixels_are_resized_as_their_planes_are(mode: str):
    whole = planes(4, 60, 80)
    for size in ((24, 24), (1, 1), (90, 17)):
        wanted = interpolate(torch.from_numpy(whole)[None], size, mode=mode, antialias=True)[0].numpy()
        found = resized(np.ascontiguousarray(whole.transpose(1, 2, 0)), size, mode=mode, antialias=True)
        assert (found.transpose(2, 0, 1) == wanted).all() and found.flags.c_contiguous
