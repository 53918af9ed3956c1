"""Pictures within a page, so that it needs no file beside it."""

import base64
import io

import torch
from PIL import Image
from torch import Tensor


def png_data(image: Image.Image) -> str:
    """A picture as a data URI, pixel by pixel."""
    written = io.BytesIO()
    image.save(written, format="PNG")
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def bytes_data(planes: Tensor) -> str:
    """A uint8 tensor in base64, for a script: its values one after another, the last axis first."""
    assert planes.dtype == torch.uint8
    return base64.b64encode(planes.contiguous().numpy().tobytes()).decode("ascii")
