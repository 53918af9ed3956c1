"""A map over its picture: warm where it speaks for the answer, cold where it speaks against it."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

_WARM = np.array([(120, 28, 109), (237, 105, 37), (252, 255, 164)], dtype=np.float32)    # red, green, blue, by strength
_COLD = np.array([(33, 72, 160), (86, 180, 233), (220, 240, 255)], dtype=np.float32)
_COVER = 0.8        # opacity of the strongest value
_STRONG = 0.995     # quantile of the values without their signs that counts as strongest: single pixels stick out
_FRAMES = 250       # a frame is as many pixels thick as this goes into the picture's longer edge


def with_map(picture: Image.Image, found: Tensor, *, corners: tuple[float, ...] | None = None) -> Image.Image:
    """The picture in gray with a map [height, width] of its own size over it in colours, as RGB, and the frame of an
    object (x0 y0 x1 y1 in the picture's pixels) where there is one. A map that is all zero leaves it gray."""
    strength = by_strongest(found).numpy()[..., None]
    gray = np.asarray(picture.convert("L").convert("RGB"), dtype=np.float32)
    colours = np.where(strength >= 0, _ramp(_WARM, strength), _ramp(_COLD, -strength))
    cover = _COVER * np.sqrt(np.abs(strength))
    drawn = Image.fromarray((gray + (colours - gray) * cover).round().clip(0, 255).astype(np.uint8))
    if corners is not None:
        thick = max(1, round(max(drawn.size) / _FRAMES))
        # An object that reaches the far edge ends at the number of pixels, behind the last one.
        inside = [min(corner, drawn.size[axis % 2] - 1) for axis, corner in enumerate(corners)]
        ImageDraw.Draw(drawn).rectangle(inside, outline=(255, 255, 255), width=thick)
    return drawn


def by_strongest(found: Tensor) -> Tensor:
    """float [height, width] from -1 to 1: a map by its strongest value, 0 where it is NaN."""
    values = found.nan_to_num(0.0)
    sizes = values.abs().flatten()
    step = max(1, sizes.numel() // 100_000)    # torch's quantile takes no more than 16 million
    strongest = float(torch.quantile(sizes[::step], _STRONG)) or float(sizes.max())
    return (values / strongest).clamp(-1, 1) if strongest > 0 else values


def _ramp(colours: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """[height, width, 3]: the colour of each strength from 0 to 1, between those of the list."""
    places = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(strength[..., 0], places, colours[:, channel]) for channel in range(3)], -1)
