"""What a file says of its picture before the pixels are read, and why a file is none."""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from lensmith.base.orientation import TURNED, orientation_in_header
from lensmith.base.picture_errors import BadPicture, explained
from lensmith.base.picture_suffixes import LOOKED_AT, contents_in_words
from lensmith.base.pixel_kinds import DEEP, pixel_kind

# A file that declares more pixels is taken for an attack on memory, unless pictures.most_pixels says otherwise: decoded
# it takes 0.7 GB. Photos of telephones have up to 108 million, and from 89.5 million on Pillow would warn.
MOST_PIXELS = 178_000_000
_PILLOWS_OWN = 89_478_485    # Image.MAX_IMAGE_PIXELS where nobody has set it

# A picture that is too large is refused with a reason. Pillow's own warning would only be a second line on the screen.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Nor are its warnings of damaged EXIF data worth one, where the picture itself is whole.
warnings.filterwarnings("ignore", message="Corrupt EXIF|Truncated File Read|Metadata Warning|Tag data larger",
                        module="PIL")


@dataclass(frozen=True)
class Header:
    """What the header of a file says, before its pixels are read."""

    height: int    # pixels, after the EXIF rotation
    width: int
    gray: bool     # one channel and no alpha
    deep: bool     # more than 8 bits a channel
    orientation: int = 1    # as EXIF counts them; the height and width are those after it
    signed: bool = False    # whether its values may lie below 0
    cut: bool = False       # whether it has more than 8 bits a channel, of which 8 can be read


@contextmanager
def readable_picture(source: Path | bytes, most_pixels: int | None = None) -> Iterator[Image.Image]:
    """An opened picture, of at most so many pixels; raises BadPicture, then and within."""
    with explained():
        if (len(source) if isinstance(source, bytes) else _file_length(source)) == 0:
            raise BadPicture("is empty (0 bytes)")
        with _opened(source) as image:
            most = most_pixels if most_pixels is not None else Image.MAX_IMAGE_PIXELS
            if most is not None:
                check_pixels(image.height, image.width, most)
            yield image


def check_pixels(height: int, width: int, most: int) -> None:
    """Raise BadPicture for a picture of more pixels than the setting pictures.most_pixels accepts."""
    if height * width > most:
        raise BadPicture(f"declares {width} x {height} pixels; at most {most:,} are accepted (pictures.most_pixels)")


def accept_pixels(most: int) -> None:
    """Let pictures of so many pixels be opened in this process, where the setting pictures.most_pixels asks for more
    than MOST_PIXELS. Pillow's guard against decompression bombs, its Image.MAX_IMAGE_PIXELS, stands there then."""
    if Image.MAX_IMAGE_PIXELS is not None and most > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most


def _opened(source: Path | bytes) -> Image.Image:
    if Image.MAX_IMAGE_PIXELS == _PILLOWS_OWN:    # another one was set by the caller's program, and holds
        accept_pixels(MOST_PIXELS)
    try:
        return Image.open(BytesIO(source) if isinstance(source, bytes) else source)
    except UnidentifiedImageError as error:
        if isinstance(source, bytes):
            beginning = source[:LOOKED_AT]
        else:
            with open(source, "rb") as file:
                beginning = file.read(LOOKED_AT)
        raise BadPicture(f"is {contents_in_words(beginning)}") from error


def _file_length(path: Path) -> int:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):    # Reading a pipe could wait for ever.
        raise BadPicture("is not a file")
    return status.st_size


def read_file(path: Path) -> bytes:
    """The bytes of a picture's file; raises BadPicture."""
    with explained():
        _file_length(path)
        return path.read_bytes()


def read_header(source: Path | bytes) -> Header:
    """The size and kind of a picture without decoding it; raises BadPicture."""
    with readable_picture(source) as image:
        width, height = image.size
        orientation = orientation_in_header(image)
        if orientation in TURNED:
            width, height = height, width
        kind = pixel_kind(image)
        gray = image.mode in (*DEEP, "1", "L") and "transparency" not in image.info
        return Header(height, width, gray, kind.bits > 8, orientation, kind.signed, kind.cut)
