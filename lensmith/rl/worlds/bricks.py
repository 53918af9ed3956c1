"""Bricks: a ball takes bricks out of a wall, and the paddle must not miss it (after MinAtar's Breakout, Young and Tian
2019, with a wider paddle that says where the ball goes)."""

import numpy as np

from lensmith.rl.worlds.cell_picture import BLUE, FREE, RED, YELLOW, cell_picture, coloured
from lensmith.rl.worlds.game import Array, Draw, GameWorld, within
from lensmith.rl.worlds.world import Spaces

_COLUMN, _DIRECTION = 1, 2    # streams
_REACH = 1    # cells of the paddle on either side of its middle


def bricks(
    copies: int,
    seed: int,
    *,
    size: int = 10,      # cells of an edge of the field, each a pixel
    rows: int = 3,       # of bricks
    steps: int = 500,    # after which an episode is cut
) -> GameWorld:
    """Bricks as a world: pictures [3, size, size], the bricks red, the ball green with a darker trail where it was
    before, the paddle of three cells blue. A reward of 1 for each brick; the episode ends where the wall is cleared or
    the ball is missed. The left cell of the paddle sends the ball to the left, the right one to the right.

    Raises WorldError for a size outside 8 .. 64, and for rows that leave less than four free ones below them.
    """
    within("size", size, 8, 64)
    within("rows", rows, 1, size - 6)
    within("steps", steps, 1, 1_000_000)
    return GameWorld(_Bricks(copies, size, rows, steps), copies, seed)


class _Bricks:
    def __init__(self, copies: int, size: int, layers: int, steps: int):
        self.size, self.layers, self.steps = size, layers, steps
        self.best = float(size * layers)
        self.spaces = Spaces((3, size, size), ("left", "stay", "right"))
        self.settings = {"bricks": [size, layers, steps]}
        # `right` and `down` are 1 for a ball that moves so, 0 for one that moves to the left or up.
        names = ("row", "column", "right", "down", "old_row", "old_column", "paddle")
        self.state: dict[str, Array] = {"wall": np.zeros((copies, size, size), np.bool_),
                                        **{name: np.zeros(copies, np.int64) for name in names}}
        self.below = dict.fromkeys(names, size) | {"wall": 2, "right": 2, "down": 2}

    def begin(self, rows: Array, draw: Draw) -> None:
        state = self.state
        state["wall"][rows] = False
        state["wall"][rows, 1:1 + self.layers] = True    # one row above it is free, where a ball may run along
        state["row"][rows] = state["old_row"][rows] = self.layers + 1
        state["column"][rows] = state["old_column"][rows] = draw(rows, _COLUMN) * self.size
        state["right"][rows] = draw(rows, _DIRECTION) < 0.5
        state["down"][rows] = 1
        state["paddle"][rows] = self.size // 2

    def advance(self, rows: Array, actions: Array, draw: Draw) -> tuple[Array, Array]:
        state, edge = self.state, self.size - 1
        paddle = np.clip(state["paddle"][rows] + actions - 1, _REACH, edge - _REACH)
        old_row, old_column = state["row"][rows], state["column"][rows]
        column, right = _moved(old_column, state["right"][rows], edge)
        row, down = old_row + 2 * state["down"][rows] - 1, state["down"][rows]
        row, down = np.maximum(row, 0), np.where(row < 0, 1, down)

        hits = state["wall"][rows, row, column]
        state["wall"][rows[hits], row[hits], column[hits]] = False
        off = column - paddle
        bounces = (row == edge) & (abs(off) <= _REACH)
        right = np.where(bounces & (off != 0), off > 0, right)
        down = np.where(hits | bounces, 1 - down, down)
        missed = (row == edge) & ~bounces
        row = np.where(hits | bounces, old_row, row)
        for name, values in (("row", row), ("column", column), ("right", right), ("down", down), ("paddle", paddle),
                             ("old_row", old_row), ("old_column", old_column)):
            state[name][rows] = values
        return hits.astype(np.float32), missed | ~state["wall"][rows].any((1, 2))

    def observe(self, rows: Array) -> Array:
        state, copies = self.state, np.arange(len(rows))
        pictures = np.zeros((len(rows), 3, self.size, self.size), np.uint8)
        pictures[:, 0] = state["wall"][rows] * np.uint8(255)
        pictures[copies, 1, state["old_row"][rows], state["old_column"][rows]] = 100
        pictures[copies, 1, state["row"][rows], state["column"][rows]] = 255
        for cell in range(-_REACH, _REACH + 1):
            pictures[copies, 2, -1, state["paddle"][rows] + cell] = 255
        return pictures

    def frame(self, copy: int) -> Array:
        wall, ball, paddle = self.observe(np.array([copy]))[0]
        squares = coloured((wall > 0) + 2 * (paddle > 0), {0: FREE, 1: RED, 2: BLUE})
        return cell_picture(squares, coloured(ball, {100: (92, 86, 62), 255: YELLOW}))

    def scripted(self) -> Array:
        """Follow the ball, and meet it so that it flies towards the bricks that are left."""
        state, edge = self.state, self.size - 1
        landing, right = state["column"], state["right"]
        falls = np.where(state["down"] == 1, edge - state["row"], 0)    # steps until it lands
        for step in range(edge):
            column, turned = _moved(landing, right, edge)
            landing, right = np.where(step < falls, column, landing), np.where(step < falls, turned, right)
        counts = state["wall"].sum(1)
        middle = (counts * np.arange(self.size)).sum(1) / np.maximum(counts.sum(1), 1)
        aim = np.where(middle > landing, 1, -1) * (state["down"] == 1)
        return np.sign(landing - aim - state["paddle"]) + 1


def _moved(column: Array, right: Array, edge: int) -> tuple[Array, Array]:
    """Where a ball is after a step sideways and where it goes to; one at the edge turns and stays in its column."""
    there = column + 2 * right - 1
    return there.clip(0, edge), np.where((there < 0) | (there > edge), 1 - right, right)
