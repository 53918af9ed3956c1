"""The values of PNG files of 16-bit colours, of which Pillow gives 8: it decodes each byte of a pixel apart."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image

from lensmith.base.picture_errors import BadPicture

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}    # by the type of colour


def png_values(content: bytes) -> np.ndarray:
    """uint16 [height, width, channels] of a PNG file of 16 bits a channel, as it is stored; raises BadPicture.

    The filters of PNG work on each byte of a pixel apart from the others: with the byte at the same place in the pixels
    to the left and above. So the bytes at one place are a gray picture of 8 bits with the same filters, which Pillow
    decodes.
    """
    width, height, _, colour, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    if interlaced:
        raise BadPicture("is an interlaced PNG of 16-bit colours, of which Pillow reads 8 bits; save it without that")
    length = 2 * _CHANNELS[colour]    # bytes of a pixel
    size = height * (1 + width * length)
    packed = b"".join(data for kind, data in _chunks(content) if kind == b"IDAT")
    unpacked = zlib.decompressobj().decompress(packed, size)    # no more than is declared
    if len(unpacked) < size:
        raise BadPicture("is truncated (its pixels end early)")
    rows = np.frombuffer(unpacked, dtype=np.uint8).reshape(height, 1 + width * length)
    filters, pixels = rows[:, :1], rows[:, 1:].reshape(height, width, length)
    planes = [_plane(np.concatenate((filters, pixels[:, :, place]), axis=1)).astype(np.uint16)
              for place in range(length)]
    return np.stack([high << 8 | low for high, low in zip(planes[::2], planes[1::2], strict=True)], axis=2)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind and data of each chunk."""
    at = len(_SIGNATURE)
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        yield kind, content[at + 8 : at + 8 + length]
        at += 12 + length


def _plane(rows: np.ndarray) -> np.ndarray:
    """uint8 [height, width] of filtered bytes [height, 1 + width], of which the first is the row's filter."""
    header = struct.pack(">IIBBBBB", rows.shape[1] - 1, len(rows), 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 0)), (b"IEND", b""))
    written = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                       for kind, data in chunks)
    with Image.open(BytesIO(_SIGNATURE + written)) as image:
        return np.asarray(image)
