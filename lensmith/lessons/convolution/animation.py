"""A convolution as an animation: the kernel goes over the picture, and the map fills value after value."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from lensmith.lessons.convolution.arithmetic import OutputValue, Pair, Plane, Planes, output_values
from lensmith.lessons.convolution.colours import Colour, ink_on, signed_colour, strongest
from lensmith.lessons.convolution.layer import ConvolutionLayer
from lensmith.lessons.convolution.words import plain_number, spelled_sum

MOST_FRAMES = 100
_STEP, _END = 350, 2500        # milliseconds that a frame is shown, and the last one
_BAND = 200                    # pixels: the height of a channel's row
_GRID = 172                    # pixels: the most that a grid takes each way
_TOP, _BOTTOM, _EDGE = 64, 78, 24
_LEAST_WITH_NUMBER = 26        # pixels: the edge of a cell that has room for its number
_INK, _SOFT, _PAGE, _LINE, _MARK = (29, 39, 51), (91, 103, 116), (255, 255, 255), (221, 227, 232), (213, 94, 0)
_TINTS = {1: ((1, 1, 1),), 3: ((1, 0, 0), (0, 1, 0), (0, 0, 1))}
_COLUMNS = (_EDGE, 236, 446, 656, 890)    # pixels: where patch, window, kernel, products and map begin
_LARGEST_MAP = 320             # pixels
_WIDTH = _COLUMNS[-1] + _LARGEST_MAP + _EDGE
_COLOURS = 128                 # of the palette


@dataclass(frozen=True)
class _Stage:
    """What is the same in all frames."""

    patch: Planes
    layer: ConvolutionLayer
    values: Sequence[OutputValue]
    size: Pair                    # of the map

    @property
    def height(self) -> int:
        return _TOP + _BAND * len(self.patch) + _BOTTOM

    @property
    def patch_edge(self) -> int:
        """Pixels of a pixel of the patch."""
        above, left = self.layer.geometry.padding
        return _GRID // max(len(self.patch[0]) + 2 * above, len(self.patch[0][0]) + 2 * left)

    @property
    def strongest(self) -> float:
        return strongest([[value.total for value in self.values]])


def animation(patch: Planes, layer: ConvolutionLayer) -> bytes:
    """A GIF of the first filter of the layer at work on a patch, a frame an output value, at most MOST_FRAMES."""
    values = list(output_values(patch, layer.weights[0], layer.geometry))
    size = layer.geometry.output_size((len(patch[0]), len(patch[0][0])))
    stage = _Stage(patch, layer, values, size)
    still, frames = _still(stage), []
    for value in values[:MOST_FRAMES]:
        _draw_map_value(ImageDraw.Draw(still), stage, value)    # it stays for the frames that follow
        frames.append(_frame(still, stage, value))
    palette = frames[-1].quantize(_COLOURS)    # one for all, so that nothing flickers
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    written = io.BytesIO()
    frames[0].save(written, format="GIF", save_all=True, append_images=frames[1:], loop=0, optimize=True,
                   duration=[_STEP] * (len(frames) - 1) + [_END])
    return written.getvalue()


def _still(stage: _Stage) -> Image.Image:
    """What does not move: titles, signs, the patch, the kernel, an empty map."""
    image = Image.new("RGB", (_WIDTH, stage.height), _PAGE)
    draw, weight = ImageDraw.Draw(image), stage.layer.weights[0]
    titles = ("picture", "window", f"kernel: {stage.layer.kernels[0].name}", "products", "map")
    for left, title in zip(_COLUMNS, titles, strict=True):
        _write(draw, (left, 22), title, 19, _INK)
    for channel, slice_ in enumerate(weight):
        top = _TOP + channel * _BAND
        _draw_patch(draw, stage, channel, (_COLUMNS[0], top))
        _draw_grid(draw, (_COLUMNS[2], top), slice_, _signed(slice_, strongest(slice_)))
        _write(draw, (_COLUMNS[2] - 27, top + 62), "x", 22, _SOFT)    # the font has no × and no arrow
        _write(draw, (_COLUMNS[3] - 28, top + 62), "=", 22, _SOFT)
    for value in stage.values:
        _draw_cell(draw, _map_box(stage, value), _PAGE)
    middle, tip = _TOP + _map_height(stage) // 2, _COLUMNS[4] - 14
    draw.line((tip - 38, middle, tip - 8, middle), fill=_SOFT, width=2)
    draw.polygon([(tip, middle), (tip - 10, middle - 6), (tip - 10, middle + 6)], fill=_SOFT)
    return image


def _frame(still: Image.Image, stage: _Stage, value: OutputValue) -> Image.Image:
    """The moment in which a value is written."""
    image = still.copy()
    draw = ImageDraw.Draw(image)
    for channel, tint in enumerate(_TINTS[len(stage.patch)]):
        top, seen, products = _TOP + channel * _BAND, value.window[channel], value.products[channel]
        _mark_window(draw, stage, (_COLUMNS[0], top), value)
        _draw_grid(draw, (_COLUMNS[1], top), seen, [_tinted(line, tint) for line in seen])
        whole = 255 * strongest(stage.layer.weights[0][channel])
        _draw_grid(draw, (_COLUMNS[3], top), products, _signed(products, whole))
    draw.rectangle(_map_box(stage, value), outline=_MARK, width=2)
    parts = value.sums if len(value.sums) > 1 else [one for line in value.products[0] for one in line]
    _write(draw, (_EDGE, stage.height - 52), f"{_cut(spelled_sum(parts))} = {plain_number(value.total)}", 20, _INK)
    return image


def _draw_patch(draw: ImageDraw.ImageDraw, stage: _Stage, channel: int, corner: Pair) -> None:
    """The pixels with the zeros around them."""
    plane, (above, left) = stage.patch[channel], stage.layer.geometry.padding
    tint, edge = _TINTS[len(stage.patch)][channel], stage.patch_edge
    for row in range(len(plane) + 2 * above):
        for column in range(len(plane[0]) + 2 * left):
            y, x = row - above, column - left
            inside = 0 <= y < len(plane) and 0 <= x < len(plane[0])
            _draw_cell(draw, _box(corner, row, column, edge), _tinted([plane[y][x]], tint)[0] if inside else _PAGE)


def _mark_window(draw: ImageDraw.ImageDraw, stage: _Stage, corner: Pair, value: OutputValue) -> None:
    """A frame around each pixel that the kernel takes."""
    geometry = stage.layer.geometry
    for down in range(geometry.kernel[0]):
        for right in range(geometry.kernel[1]):
            row = value.row * geometry.stride + down * geometry.dilation
            column = value.column * geometry.stride + right * geometry.dilation
            draw.rectangle(_box(corner, row, column, stage.patch_edge), outline=_MARK, width=2)


def _draw_map_value(draw: ImageDraw.ImageDraw, stage: _Stage, value: OutputValue) -> None:
    colour, box = signed_colour(value.total, stage.strongest), _map_box(stage, value)
    _draw_cell(draw, box, colour)
    if box[2] - box[0] >= _LEAST_WITH_NUMBER:
        _write_in(draw, box, value.total, colour)


def _map_height(stage: _Stage) -> int:
    return min(_BAND * len(stage.patch) - 20, _LARGEST_MAP)


def _map_box(stage: _Stage, value: OutputValue) -> tuple[int, int, int, int]:
    return _box((_COLUMNS[4], _TOP), value.row, value.column, _map_height(stage) // max(stage.size))


def _draw_grid(draw: ImageDraw.ImageDraw, corner: Pair, plane: Plane, colours: Sequence[Sequence[Colour]]) -> None:
    edge = min(_GRID // max(len(plane), len(plane[0])), 52)
    for row, (line, shades) in enumerate(zip(plane, colours, strict=True)):
        for column, (value, colour) in enumerate(zip(line, shades, strict=True)):
            box = _box(corner, row, column, edge)
            _draw_cell(draw, box, colour)
            if edge >= _LEAST_WITH_NUMBER:
                _write_in(draw, box, value, colour)


def _draw_cell(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: Colour) -> None:
    draw.rectangle(box, fill=colour, outline=_LINE)


def _write_in(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], value: float, colour: Colour) -> None:
    left, top, right, bottom = box
    text = plain_number(value, digits=2)
    size = min(17, int(1.7 * (right - left) / max(len(text), 2)))
    draw.text(((left + right) / 2, (top + bottom) / 2), text, fill=ink_on(colour), anchor="mm",
              font=_font(size))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write(draw: ImageDraw.ImageDraw, place: Pair, text: str, size: int, colour: Colour) -> None:
    draw.text(place, text, fill=colour, font=_font(size))


def _box(corner: Pair, row: int, column: int, edge: int) -> tuple[int, int, int, int]:
    left, top = corner[0] + column * edge, corner[1] + row * edge
    return left, top, left + edge, top + edge


def _tinted(line: Sequence[float], tint: Colour) -> list[Colour]:
    return [(round(value) * tint[0], round(value) * tint[1], round(value) * tint[2]) for value in line]


def _signed(plane: Plane, most: float) -> list[list[Colour]]:
    return [[signed_colour(value, most) for value in line] for line in plane]


def _cut(text: str) -> str:
    return text if len(text) <= 96 else f"{text[:93]}..."
