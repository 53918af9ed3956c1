"""The values of pictures with 16 bits a channel, as their files store them, also where Pillow would cut them to 8."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lensmith.base.orientation import orientation_of, upright, upright_pixels
from lensmith.base.picture_errors import BadPicture
from lensmith.base.picture_headers import read_file
from lensmith.base.pixel_kinds import DEEP
from lensmith.base.png_values import png_values

_EXTRA = 'pip install "lensmith[deep]"'
_AS_OPENCV = {3: (2, 1, 0), 4: (2, 1, 0, 3)}            # OpenCV has blue first


def deep_values(source: Path | bytes, image: Image.Image) -> np.ndarray:
    """The values of an opened picture of more than 8 bits as its file stores them, int32 upright [height, width] of
    gray, [height, width, channels] of colours, alpha last. Raises BadPicture."""
    if image.mode in DEEP:
        return np.asarray(upright(image)).astype(np.int32)
    content = source if isinstance(source, bytes) else read_file(source)
    values = png_values(content) if image.format == "PNG" else _by_opencv(content, image)
    if values.dtype != np.uint16:
        raise BadPicture(f"has colours of more than 8 bits, which were read as {values.dtype}; save it as 16-bit PNG")
    return np.ascontiguousarray(upright_pixels(values.astype(np.int32), orientation_of(image)))


def _by_opencv(content: bytes, image: Image.Image) -> np.ndarray:
    """A picture of another format by OpenCV, which is an extra."""
    try:
        import cv2
    except ImportError as error:
        raise BadPicture(f"is a {image.format} of 16-bit colours, which Pillow cuts to 8 bits; {_EXTRA} reads it, or "
                         "save it as PNG") from error
    # With IMREAD_UNCHANGED OpenCV leaves the picture as it lies in the file.
    values: Any = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 3 or values.shape[2] not in _AS_OPENCV:
        raise BadPicture(f"is a {image.format} of 16-bit colours that OpenCV cannot read; save it as PNG")
    return np.ascontiguousarray(values[:, :, _AS_OPENCV[values.shape[2]]])
