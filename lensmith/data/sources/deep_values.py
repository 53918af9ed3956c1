"""Which values of pictures with more than 8 bits are black and white, by looking at some of them."""

from collections.abc import Iterable, Sequence

import numpy as np

from lensmith.base.deep_pixels import deep_values
from lensmith.base.errors import UserError, count
from lensmith.base.picture_errors import BadPicture
from lensmith.base.picture_headers import Header, readable_picture
from lensmith.data.sources.picture_files import Files

_LOOKED_AT = 64    # pictures
_LEAST_BITS = 8    # of the values; fewer would make a set of nearly black pictures bright


def values_of_files(sources: Iterable[object], headers: Sequence[Sequence[Header | None]]) -> tuple[int, int] | None:
    """The values that are black and white in the deep pictures of sources, whose `headers` are known; None where no
    file is deep.

    They are 0 and the largest value of as many bits as the pictures use (4095 of 12 in 16), or where some values are
    negative the lowest and largest of as many bits and a sign. Of a large set 64 evenly chosen pictures are looked at.
    """
    deep = [(source, row) for source, of_source in zip(sources, headers, strict=True) if isinstance(source, Files)
            for row, header in enumerate(of_source) if header is not None and header.deep]
    if not deep:
        return None
    signed = any(header.signed for of_source in headers for header in of_source if header is not None)
    low = high = 0
    for at in np.unique(np.linspace(0, len(deep) - 1, _LOOKED_AT, dtype=np.int64)).tolist():
        source, row = deep[at]
        try:
            with readable_picture(source.paths[row]) as image:
                values = deep_values(source.paths[row], image)
        except BadPicture:    # which is found and told when all pictures are decoded
            continue
        colours = values[..., :3] if values.ndim == 3 and values.shape[2] in (3, 4) else values
        low, high = min(low, int(colours.min())), max(high, int(colours.max()))
    if low >= 0 and not (signed and high < 1 << 15):
        return 0, (1 << min(16, max(_LEAST_BITS, high.bit_length()))) - 1
    bits = min(15, max(_LEAST_BITS, (-low - 1).bit_length(), high.bit_length()))
    return -(1 << bits), (1 << bits) - 1


def given_values(values: Sequence[int]) -> tuple[int, int]:
    """The black and white of the setting pictures.values; raises UserError where it says neither."""
    if len(values) != 2 or not -(1 << 15) <= values[0] < values[1] or values[1] - min(0, values[0]) > 65535:
        raise UserError(f"pictures.values={list(values)} is not possible: accepted are the values of 16-bit files that "
                        "are black and white, as [0, 4095] or [-1024, 3071]")
    return values[0], values[1]


def deep_in_words(headers: Sequence[Header], *, bits: int, values: tuple[int, int] | None) -> str:
    """What becomes of pictures of more than 8 bits, and of others beside them; "" where there are none."""
    deep = sum(header.deep for header in headers)
    if not deep or values is None:
        return ""
    number = f"{deep:,} of {len(headers):,} pictures have" if deep < len(headers) else "the pictures have"
    shades = f"{values[0]:,} is black and {values[1]:,} white (pictures.values)"
    if bits == 8:
        return f"{number} more than 8 bits a channel and are cut to 8, where {shades}; pictures.bits=16 keeps them"
    others = "" if deep == len(headers) else ", and the others are spread over them"
    return f"{number} more than 8 bits a channel, where {shades}{others}"


def cut_in_words(headers: Sequence[Header]) -> str:
    """How many pictures have more bits than are read; "" where there are none."""
    cut = sum(header.cut for header in headers)
    return f"{count(cut, 'picture')} of 10 or 12 bits a channel (AVIF), of which 8 are read: 16-bit PNG keeps all of " \
        "them" if cut else ""
