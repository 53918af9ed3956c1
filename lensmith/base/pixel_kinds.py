"""What one pixel of a file is, by its header: bits, sign, and whether it is one picture at all."""

from dataclasses import dataclass
from typing import Any

from PIL import Image

from lensmith.base.picture_errors import BadPicture

DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")    # Pillow's modes of 16-bit gray
_BITS, _SAMPLE_FORMAT, _KIND_OF_PAGE = 258, 339, 254    # tags of TIFF
_SIGNED, _FLOATING = 2, 3                               # sample formats
_NO_PAGE = 1 | 4                                        # bits of the kind of page: an overview, a mask


@dataclass(frozen=True)
class PixelKind:
    """What one channel of a pixel is."""

    bits: int               # 8, 16 or 32
    signed: bool = False    # whether the file says that values may lie below 0
    cut: bool = False       # whether the file has more bits than can be read of it


def pixel_kind(image: Image.Image) -> PixelKind:
    """What the channels of an opened picture are, before it is decoded.

    Raises BadPicture for a TIFF of several pages, of which one alone would be read, and for floating-point pixels.
    """
    if image.mode == "F":
        raise BadPicture("has floating-point pixels; save it with 8 or 16 bits a channel")
    if image.format == "TIFF":
        tags: Any = image.tag_v2    # type: ignore[attr-defined]
        _refuse_pages(image)
        bits, formats = tags.get(_BITS, (1,)), tags.get(_SAMPLE_FORMAT, (1,))
        if _FLOATING in formats:
            raise BadPicture("has floating-point pixels; save it with 8 or 16 bits a channel")
        return PixelKind(32 if max(bits) > 16 else 16 if max(bits) > 8 else 8, _SIGNED in formats)
    if image.format == "JPEG2000":
        return PixelKind(16 if _precision(image) > 8 else 8)
    if image.format == "AVIF":
        return PixelKind(8, cut=_is_deep_avif(image))
    if image.mode in DEEP:
        return PixelKind(16)
    tiles: Any = getattr(image, "tile", None)    # how each part of the file is decoded
    if not tiles:
        return PixelKind(8)
    tile = tiles[0]
    arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    by_number = image.format == "PPM" and tile[0].startswith("ppm") and arguments[-1] > 255    # the largest value
    deep = by_number or tile[0] == "SGI16" or ";16" in str(arguments[0])
    return PixelKind(16 if deep else 8)


def _refuse_pages(image: Image.Image) -> None:
    """Raise BadPicture where a TIFF has several pages that are pictures: overviews of the first one are none."""
    number = getattr(image, "n_frames", 1)
    if number == 1:
        return
    kinds = []
    for page in range(number):
        image.seek(page)
        kinds.append(int(image.tag_v2.get(_KIND_OF_PAGE) or 0))    # type: ignore[attr-defined]
    image.seek(0)
    pages = sum(not kind & _NO_PAGE for kind in kinds)
    if pages > 1:
        raise BadPicture(f"has {pages} pages, of which one alone would be read: save each as a file of its own")


def _is_deep_avif(image: Image.Image) -> bool:
    """Whether an AVIF has 10 or 12 bits a channel, of which Pillow gives 8: the third byte of the box av1C says so."""
    beginning = _beginning(image)
    box = beginning.find(b"av1C")
    return 0 <= box < len(beginning) - 6 and bool(beginning[box + 6] & 0x40)    # high_bitdepth


def _precision(image: Image.Image) -> int:
    """The bits of a channel of a JPEG 2000, of which Pillow tells nothing: they stand in the marker SIZ."""
    beginning = _beginning(image)
    marker = beginning.find(b"\xff\x4f\xff\x51")    # the codestream begins, and SIZ follows at once
    return (beginning[marker + 42] & 0x7F) + 1 if 0 <= marker < len(beginning) - 42 else 8


def _beginning(image: Image.Image) -> bytes:
    """The first bytes of the file of an opened picture."""
    file: Any = image.fp    # type: ignore[attr-defined]
    position = file.tell()
    file.seek(0)
    beginning: bytes = file.read(4096)
    file.seek(position)
    return beginning
