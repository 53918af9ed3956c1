"""What is measured of many pictures at a time, by Pillow one by one."""

import numpy as np
import pytest
from PIL import Image

from lensmith.study.check.measures import COLOURS, EDGE, measured, squared

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(("height", "width", "apart"), [
    (32, 32, 0), (28, 28, 0), (40, 48, 0), (128, 170, 0), (7, 5, 0), (1, 9, 0), (300, 512, 0), (30, 40, 1),
    (100, 30, 1)])
@pytest.mark.parametrize("edge", [EDGE, COLOURS])
def test_a_square_is_the_one_that_pillow_makes(height: int, width: int, apart: int, edge: int):
    planes = DRAW.integers(0, 256, (3, height, width), dtype=np.uint8)
    expected = np.stack([np.asarray(Image.fromarray(plane).resize((edge, edge), Image.Resampling.BILINEAR))
                         for plane in planes])
    assert np.abs(squared(planes, edge).astype(int) - expected).max() <= apart


@pytest.mark.parametrize("channels", [1, 3])
def test_many_at_a_time_are_measured_as_one(channels: int):
    pictures = DRAW.integers(0, 256, (5, channels, 20, 30), dtype=np.uint8)
    pictures[3] = 77    # flat
    together = measured(pictures)
    for i, picture in enumerate(pictures):
        alone, image = measured(picture[None]), Image.fromarray(picture.transpose(1, 2, 0).squeeze())
        light = image.convert("YCbCr").getchannel(0) if channels == 3 else image
        counts = np.array(light.histogram()).cumsum()
        assert together.darkest[i] == np.searchsorted(counts, 0.01 * counts[-1])
        assert together.lightest[i] == np.searchsorted(counts, 0.99 * counts[-1])
        assert together.contrast[i] == pytest.approx(np.asarray(light, float).std(), rel=1e-5)
        assert np.isnan(together.sharpness[i]) == (i == 3)
        for name in ("light", "colours", "darkest", "lightest", "contrast", "sharpness"):
            if getattr(alone, name) is not None:
                assert np.array_equal(getattr(alone, name)[0], getattr(together, name)[i], equal_nan=True), name
    assert (together.colours is None) == (channels == 1)
