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

from lensmith.base.errors import DataError
from lensmith.base.orientation import TURNED, orientation_in_header
from lensmith.base.picture_suffixes import LOOKED_AT, contents_in_words

MOST_PIXELS = 89_000_000    # A file that declares more is taken for an attack on memory; Pillow warns at 89.4 million.
DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")    # Pillow's modes of 16-bit gray

# A picture that is too large is refused with a reason. Pillow's own warning would only be a second line on the screen.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Nor are its warnings of damaged EXIF data worth one, where the picture itself is whole.
warnings.filterwarnings("ignore", message="Corrupt EXIF|Truncated File Read|Metadata Warning|Tag data larger",
                        module="PIL")


class BadPicture(DataError):
    """A file that cannot be used as a picture. The message is the reason alone, without the file's name."""


@dataclass(frozen=True)
class Header:
    """What the header of a file says, before its pixels are read."""

    height: int    # pixels, after the EXIF rotation
    width: int
    gray: bool     # one channel and no alpha
    deep: bool     # 16 bits
    orientation: int = 1    # as EXIF counts them; the height and width are those after it


@contextmanager
def _explained() -> Iterator[None]:
    """Within it every error in reading a picture becomes a BadPicture with a reason."""
    try:
        yield
    except BadPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadPicture(f"declares too many pixels; at most {MOST_PIXELS:,} are accepted") from error
    except FileNotFoundError as error:
        raise BadPicture("does not exist") from error
    except PermissionError as error:
        raise BadPicture("may not be read (permission denied)") from error
    except MemoryError as error:
        raise BadPicture("does not fit into memory") from error
    # Pillow's decoders raise OSError, SyntaxError, struct.error, EOFError, ValueError ...
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:    # of the system, not of Pillow
            raise BadPicture(f"cannot be read ({error.strerror})") from error
        truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
        reason = "is truncated" if truncated else "cannot be decoded"
        raise BadPicture(f"{reason} ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else '-'})") \
            from error


@contextmanager
def readable_picture(source: Path | bytes) -> Iterator[Image.Image]:
    """An opened picture; raises BadPicture, then and within."""
    with _explained():
        if (len(source) if isinstance(source, bytes) else _file_length(source)) == 0:
            raise BadPicture("is empty (0 bytes)")
        with _opened(source) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise BadPicture(f"declares {width} x {height} pixels; at most {MOST_PIXELS:,} are accepted")
            yield image


def _opened(source: Path | bytes) -> Image.Image:
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
    with _explained():
        _file_length(path)
        return path.read_bytes()


def read_header(source: Path | bytes) -> Header:
    """The size and kind of a picture without decoding it; raises BadPicture."""
    with readable_picture(source) as image:
        width, height = image.size
        orientation = orientation_in_header(image)
        if orientation in TURNED:
            width, height = height, width
        deep = image.mode in DEEP
        gray = (deep or image.mode in ("1", "L")) and "transparency" not in image.info
        return Header(height, width, gray, deep, orientation)
