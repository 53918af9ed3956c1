"""Pictures and arrays as a page of a lesson holds them."""

import base64
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from lensmith.base.svg import picture_address


def picture_data(picture: np.ndarray) -> str:
    """The data URI of a picture [channels, height, width] of one or three channels, in the units of its file: what is
    above 255 has 16 bits."""
    levels = picture.astype(np.float64) / (257 if picture.max(initial=0) > 255 else 1)
    planes = levels[:3] if len(levels) >= 3 else np.repeat(levels[:1], 3, axis=0)
    opaque = np.full((1, *planes.shape[1:]), 255.0)
    colours = np.concatenate((planes, opaque)).clip(0, 255).round().astype(np.uint8)
    return picture_address(np.ascontiguousarray(colours.transpose(1, 2, 0)))


def array_data(array: np.ndarray) -> dict[str, Any]:
    """An array for the script of a page: its shape, and its values as little-endian float32 in base64."""
    values = np.ascontiguousarray(array, "<f4")
    return {"shape": list(array.shape), "values": base64.b64encode(values.tobytes()).decode("ascii")}


def image_data(image: Image.Image) -> str:
    """The data URI of a Pillow picture."""
    return picture_address(np.asarray(image.convert("RGBA")))


def byte_data(pixels: Tensor) -> str:
    """A uint8 tensor for the script of a page: its values in base64, row after row."""
    return base64.b64encode(pixels.contiguous().numpy().astype(np.uint8, casting="no").tobytes()).decode("ascii")
