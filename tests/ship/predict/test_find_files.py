"""What a caller from Python names: files and Pillow pictures, one or several."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import UserError
from lensmith.ship.predict.find_files import named_sources

PICTURE = Image.new("RGB", (4, 4))


@pytest.mark.parametrize(("sources", "several"), [
    ("a.png", ["a.png"]), (Path("a"), [Path("a")]), (PICTURE, [PICTURE]), (["a", PICTURE], ["a", PICTURE]),
    (("a", Path("b")), ["a", Path("b")]), ((name for name in "ab"), ["a", "b"]), ([], [])])
def test_one_or_several(sources, several):
    assert named_sources(sources) == several


@pytest.mark.parametrize(("sources", "said"), [
    (np.zeros((4, 4, 3), np.uint8), r"got ndarray: a Pillow picture of it is Image.fromarray\(array\)"),
    ([torch.zeros(3, 4, 4)], r"got Tensor: a Pillow picture of it is torchvision\.transforms\.functional\.to_pil"),
    (b"\xff\xd8\xff", r"got bytes: a Pillow picture of it is Image\.open\(io\.BytesIO\(content\)\)"),
    ([PICTURE, 3], "got int$"), (None, "got NoneType$")])
def test_what_is_no_picture_is_named_with_the_way_to_one(sources, said):
    with pytest.raises(UserError, match=f"^predict takes files, folders, patterns and Pillow pictures, one or.*{said}"):
        named_sources(sources)
