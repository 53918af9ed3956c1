"""Pictures of what was played: film strips, films, and the policy and values of a maze."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import UserError
from lensmith.base.opencv import load_opencv
from lensmith.base.pictures import to_pil
from lensmith.rl.worlds.maze import Maze
from lensmith.rl.worlds.maze_map import STEPS

_FRAMES, _EDGE = 8, 160    # of a strip: pictures, and pixels of the height of each
_CELL = 64                 # pixels of a cell of a maze
_LEAST, _MOST = np.array((40, 44, 54)), np.array((60, 140, 90))    # the colours of the least and the greatest value
_WALL, _ARROW, _NUMBER = (112, 118, 132), (246, 205, 84), (240, 240, 244)
_SHOWN = {"G": "goal", "X": "trap"}
_DURATION = 120    # milliseconds of a frame


def film_strip(frames: Sequence[Tensor]) -> Image.Image:
    """Pictures of a film side by side, evenly from its first to its last; frames are uint8 [3, height, width]."""
    return side_by_side([to_pil(frames[number]) for number in evenly(len(frames), _FRAMES)], Image.Resampling.BOX)


def evenly(length: int, number: int) -> list[int]:
    """So many numbers of 0 .. length - 1, or all where there are fewer, evenly from the first to the last."""
    return sorted({round(i * (length - 1) / max(1, number - 1)) for i in range(number)})


def side_by_side(pictures: Sequence[Image.Image], resampling: Image.Resampling) -> Image.Image:
    """Pictures of one size in a row, each 160 pixels high."""
    width = max(1, round(pictures[0].width * _EDGE / pictures[0].height))
    strip = Image.new("RGB", (len(pictures) * (width + 4) - 4, _EDGE), (255, 255, 255))
    for i, picture in enumerate(pictures):
        strip.paste(picture.resize((width, _EDGE), resampling), (i * (width + 4), 0))
    return strip


def write_strip(frames: Sequence[Tensor], path: Path) -> None:
    """Write a film strip as a PNG."""
    write_atomic(path, lambda aside: film_strip(frames).save(aside, "PNG"))


def write_gif(frames: Sequence[Tensor], path: Path, *, milliseconds: int = _DURATION) -> None:
    """Write a film as a GIF that goes round, each picture for so long, the last one for a second."""
    pictures = [to_pil(frame) for frame in frames]
    durations = [milliseconds] * (len(pictures) - 1) + [1000]
    write_atomic(path, lambda aside: pictures[0].save(aside, "GIF", save_all=True, append_images=pictures[1:],
                                                      duration=durations, loop=0))


def policy_in_maze(maze: Maze, actions: Tensor, values: Tensor | None) -> Image.Image:
    """A maze with the action that is taken in each cell, an arrow, and the return that is expected there, a number and
    a colour; `actions` is int64 [cells], `values` float [cells]."""
    picture = Image.new("RGB", (maze.width * _CELL, maze.height * _CELL), tuple(_LEAST.tolist()))
    brush, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    open_cells = torch.from_numpy(np.isin(maze.letters.ravel(), ["#", "G", "X"])).logical_not()
    low, high = (0.0, 1.0) if values is None or not open_cells.any() else \
        (float(values[open_cells].min()), float(values[open_cells].max()))
    for cell in range(maze.height * maze.width):
        row, column = divmod(cell, maze.width)
        left, top, letter = column * _CELL, row * _CELL, str(maze.letters[row, column])
        box = (left + 1, top + 1, left + _CELL - 2, top + _CELL - 2)
        middle = (left + _CELL / 2, top + _CELL / 2)
        if letter == "#":
            brush.rectangle(box, fill=_WALL)
            continue
        if letter in _SHOWN:
            brush.rectangle(box, outline=_ARROW)
            brush.text(middle, _SHOWN[letter], fill=_NUMBER, font=font, anchor="mm")
            continue
        if values is not None:
            share = (float(values[cell]) - low) / max(high - low, 1e-9)
            brush.rectangle(box, fill=tuple(np.round(_LEAST + share * (_MOST - _LEAST)).astype(int).tolist()))
            brush.text((middle[0], top + _CELL - 12), f"{float(values[cell]):.2f}", fill=_NUMBER, font=font,
                       anchor="mm")
        _arrow(brush, (middle[0], middle[1] - 6), STEPS[int(actions[cell])])
    return picture


def _arrow(brush: ImageDraw.ImageDraw, middle: tuple[float, float], step: tuple[int, int]) -> None:
    """An arrow along a step of (down, across)."""
    (x, y), (down, across) = middle, step
    end = (x + 14 * across, y + 14 * down)
    brush.line((x - 12 * across, y - 12 * down, *end), fill=_ARROW, width=3)
    sides = [(end[0] - 7 * across + 5 * down * side, end[1] - 7 * down + 5 * across * side) for side in (-1, 1)]
    brush.polygon([end, *sides], fill=_ARROW)


def write_film(frames: Sequence[Tensor], path: Path, *, rate: float) -> None:
    """Write a film of pictures of one size, `rate` a second, as .gif or .mp4. Raises UserError for another suffix, and
    where OpenCV, which writes .mp4, cannot."""
    if path.suffix.lower() == ".gif":
        write_gif(frames, path, milliseconds=round(1000 / rate))
        return
    cv2 = load_opencv()

    def write(aside: Path) -> None:
        height, width = frames[0].shape[1:]
        named = aside.with_suffix(".mp4")    # OpenCV takes the container from the suffix
        writer = cv2.VideoWriter(str(named), cv2.VideoWriter_fourcc(*"mp4v"), rate, (width, height))
        if not writer.isOpened():
            raise UserError(f"the film {path.name} of {width} x {height} pixels cannot be written: take a .gif")
        for frame in frames:
            writer.write(np.ascontiguousarray(frame.flip(0).permute(1, 2, 0).numpy()))    # BGR
        writer.release()
        named.replace(aside)

    write_atomic(path, write)
