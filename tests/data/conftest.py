"""What the tests of formats need: picture files of a size."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Draw = Callable[..., Path]


@pytest.fixture
def picture(tmp_path: Path) -> Draw:
    """Write a gray picture below the test's folder; -> its path."""

    def write(name: str, *, width: int = 200, height: int = 100) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (width, height), 90).save(path)
        return path

    return write
