"""Masks as Label Studio packs them: bytes in thi.ng's rle-pack, of pictures with four channels."""

from collections.abc import Sequence

import numpy as np

from lensmith.base.errors import DataError

_CHANNELS = 4    # red, green, blue, alpha; the alpha of a pixel in the mask is 255
_INSIDE = 128    # the least alpha that is taken for the mask, where the brush has soft edges


def brush_mask(codes: object, size: tuple[int, int], where: str) -> np.ndarray:
    """bool [height, width]: the pixels of a mask of `size` (height, width). Raises DataError, which begins with
    `where`, for codes that are none."""
    height, width = size
    if not isinstance(codes, Sequence) or not all(isinstance(code, int) and 0 <= code < 256 for code in codes):
        raise DataError(f"{where}: the rle of a brush is a list of bytes, 0 to 255")
    expected = height * width * _CHANNELS
    bits = _Bits(bytes(codes))
    try:
        values = bits.read(32)
        if values != expected:
            raise DataError(f"{where}: the rle of a brush has {values:,} values, and {width} x {height} pixels of four "
                            f"channels are {expected:,}: export it as JSON again")
        alpha = _unpacked(bits, values)[_CHANNELS - 1 :: _CHANNELS]
    except EOFError as error:
        raise DataError(f"{where}: the rle of a brush ends before its last pixel; was it cut off?") from error
    return np.asarray(alpha.reshape(height, width) >= _INSIDE)


class _Bits:
    """Bytes that are read bit by bit, the highest of each first."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def read(self, bits: int) -> int:
        """The next bits as a number; raises EOFError where there are too few."""
        part = self._take(bits)
        return int.from_bytes(part, "big") >> (-self.position % 8) & ((1 << bits) - 1)

    def words(self, number: int, bits: int) -> np.ndarray:
        """uint32 [number]: so many numbers of as many bits each, one after the other; raises EOFError."""
        start = self.position % 8
        part = np.frombuffer(self._take(number * bits), dtype=np.uint8)
        each = np.unpackbits(part)[start : start + number * bits].reshape(number, bits)
        return np.asarray(each @ (1 << np.arange(bits - 1, -1, -1, dtype=np.uint32)))

    def _take(self, bits: int) -> bytes:
        """The bytes in which the next bits lie, which are passed."""
        first, self.position = self.position // 8, self.position + bits
        if self.position > 8 * len(self.content):
            raise EOFError
        return self.content[first : -(-self.position // 8)]


def _unpacked(bits: _Bits, values: int) -> np.ndarray:
    """The values after their number (thi.ng/umbrella, packages/rle-pack): five bits, the length of a value less one;
    four times four bits, the lengths of counts less one. Then blocks: a bit, whether all values of the block are one;
    two bits, which of the four lengths the count has; the count less one; the value, or all values."""
    word = bits.read(5) + 1
    lengths = [bits.read(4) + 1 for _ in range(4)]
    unpacked = np.zeros(values, dtype=np.uint32)
    done = 0
    while done < values:
        repeated, length = bits.read(1), lengths[bits.read(2)]
        number = min(bits.read(length) + 1, values - done)
        unpacked[done : done + number] = bits.read(word) if repeated else bits.words(number, word)
        done += number
    return unpacked
