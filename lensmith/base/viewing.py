"""Pictures made fit to be looked at: in a report's gallery and under the caption of a prediction."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import Form, decode, to_pil

_WHOLE = 1 << 20    # No picture has an edge of so many pixels, so that none is made smaller.


def viewable(picture: Tensor, *, least: int, most: int) -> Image.Image:
    """A picture [channels, height, width], uint8 or uint16, with a longer edge of `least` to `most` pixels.

    Tiny pictures are enlarged by a whole number, so that their pixels stay squares, and may then exceed `most`. Of
    channels that are neither gray, RGB nor RGBA the first is shown. Values of 16 bits are stretched to the range that
    the picture uses, since those of a 12-bit camera would all be nearly black.
    """
    picture = picture if picture.shape[0] in (1, 3, 4) else picture[:1]
    image = to_pil(_stretched(picture) if picture.dtype == torch.uint16 else picture)
    longest = max(image.size)
    if longest < least:
        factor = -(-least // longest)
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    if longest > most:
        image.thumbnail((most, most), Image.Resampling.LANCZOS)
    return image


def open_viewable(source: Path, *, least: int, most: int) -> Image.Image:
    """The picture of a file by the one decode of `base.pictures`, as RGB or gray. Raises BadPicture."""
    header = read_header(source)
    scale = min(1.0, most / max(header.height, header.width))
    height, width = (max(1, round(edge * scale)) for edge in (header.height, header.width))
    values = (-32768, 32767) if header.signed else (0, 65535)
    form = Form(1 if header.gray else 3, height, width, "squash", bits=16, values=values) if header.deep else \
        Form(3, height, width, "squash")
    picture, _ = decode(source, form)
    return viewable(picture, least=least, most=most)


def open_whole(source: Path) -> Image.Image:
    """As `open_viewable`, at the file's own size."""
    return open_viewable(source, least=1, most=_WHOLE)


def _stretched(picture: Tensor) -> Tensor:
    """uint16 -> uint8, the darkest value black and the brightest white. A picture of a single value keeps it."""
    values = picture.to(torch.int32)
    colours = values[:3]    # A fourth channel is alpha.
    low, high = int(colours.min()), int(colours.max())
    shown = (colours - low) * 255 // (high - low) if high > low else colours // 257
    return torch.cat((shown, values[3:] // 257)).to(torch.uint8)
