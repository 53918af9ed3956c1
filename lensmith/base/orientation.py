"""The EXIF orientation of a picture: read whatever else its EXIF data hold, and what it does to pixels and places."""

import numpy as np
from PIL import Image

TURNED = (5, 6, 7, 8)    # orientations that swap width and height
_TAG = 0x0112
_PNG_EXIF = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}    # where a PNG may hold its orientation
_METHODS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90}


def orientation_of(image: Image.Image) -> int:
    """1 to 8 as EXIF counts them, 1 where nothing turns the picture. Data that cannot be read turn nothing: a picture
    is not lost for what a camera wrote beside it."""
    try:
        orientation = image.getexif().get(_TAG)
    except Exception:    # Pillow raises SyntaxError, struct.error, ValueError, KeyError, TypeError ... for such data
        return 1
    return orientation if isinstance(orientation, int) and orientation in _METHODS else 1


def orientation_in_header(image: Image.Image) -> int:
    """As `orientation_of`, of a picture that is not decoded yet, which it does not decode."""
    if image.format == "TIFF":    # Pillow gives its size already turned.
        return 1
    if image.format == "PNG" and not _PNG_EXIF & image.info.keys():    # getexif() would decode it to search further.
        return 1
    return orientation_of(image)


def upright(image: Image.Image) -> Image.Image:
    """The picture as a viewer shows it, decoded. Its EXIF data stay as they are: Pillow's `exif_transpose` writes them
    anew, which fails for many that it can read."""
    image.load()
    method = _METHODS.get(orientation_of(image))
    return image if method is None else image.transpose(method)


def upright_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """[height, width, ...] as the file stores them -> as the picture is shown."""
    if orientation in TURNED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def upright_points(points: np.ndarray, orientation: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Places in the pixels as files store them -> places in the pictures as they are shown.

    points: [n, 2]: x and y.
    orientation: int64 [n], of the picture of each.
    edges: [n, 2], width and height of the picture as it is shown.
    """
    points = np.where(np.isin(orientation, TURNED)[:, None], points[:, ::-1], points)
    mirrored = np.stack((np.isin(orientation, (2, 3, 6, 7)), np.isin(orientation, (3, 4, 7, 8))), 1)
    return np.where(mirrored, edges - points, points)
