"""A picture as lines of text for a terminal: two pixels a character, in colours."""

import torch
import torch.nn.functional as F
from torch import Tensor

_UPPER = "▀"    # its foreground is the upper pixel, its background the lower one
_SHADES = " .:-=+*#%@"    # from dark to light, where there are no colours
_LIGHTNESS = torch.tensor([0.299, 0.587, 0.114])    # of red, green and blue, ITU-R BT.601


def text_frame(picture: Tensor, *, columns: int = 60, colours: bool = True) -> list[str]:
    """The lines that show a picture, uint8 [3, height, width], in so many columns or fewer, one a pixel at most.

    With `colours` each line has the codes of 24-bit colours and ends with the one that resets them; without, a pixel is
    a character, the denser the lighter it is.
    """
    assert picture.dtype == torch.uint8 and picture.dim() == 3 and picture.shape[0] == 3 and columns > 0
    height, width = picture.shape[1:]
    columns = min(columns, width)
    half_lines = max(2, 2 * round(height * columns / width / 2))    # a character is about twice as high as wide
    small = F.interpolate(picture[None].float(), (half_lines, columns), mode="area")[0].round().byte()
    if not colours:
        light = (small.float().permute(1, 2, 0) @ _LIGHTNESS).view(half_lines // 2, 2, columns).mean(1)
        return ["".join(_SHADES[int(value * len(_SHADES) / 256)] for value in line) for line in light.tolist()]
    pixels = small.permute(1, 2, 0).tolist()
    return [_coloured(pixels[line], pixels[line + 1]) for line in range(0, half_lines, 2)]


def _coloured(upper: list[list[int]], lower: list[list[int]]) -> str:
    """A line of half blocks; a colour is said where it changes."""
    text, before = "", None
    for pair in zip(upper, lower, strict=True):
        if pair != before:
            text += "\x1b[38;2;{};{};{};48;2;{};{};{}m".format(*pair[0], *pair[1])
            before = pair
        text += _UPPER
    return text + "\x1b[0m"
