"""Pictures that the tests of several modules draw."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def textured():
    """Draw a picture of a height and width: smooth colours with a dark frame, where what is off by a part of a pixel
    shows in every fit."""
    def drawn(height, width):
        y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
        picture = np.stack([160 + 80 * np.sin(9 * x + 4 * y), 255 * x, 255 * y], axis=2).clip(0, 255).astype(np.uint8)
        picture[height // 3 : height // 2, width // 4 : width // 3] = (10, 20, 30)
        return Image.fromarray(picture)

    return drawn
