"""Catch: a ball falls from a column by chance, and the paddle has to be below it when it lands (bsuite's, with a larger
field)."""

import numpy as np

from lensmith.rl.worlds.cell_picture import BLUE, FREE, YELLOW, cell_picture, coloured
from lensmith.rl.worlds.game import Array, Draw, GameWorld, within
from lensmith.rl.worlds.world import Spaces

_COLUMN = 1    # stream


def catch(
    copies: int,
    seed: int,
    *,
    size: int = 10,    # cells of an edge of the field, each a pixel
) -> GameWorld:
    """Catch as a world: pictures [3, size, size], the ball red and the paddle blue; a reward of 1 for a ball that is
    caught, -1 for one that is not, and then the episode ends. Raises WorldError for a size outside 8 .. 64."""
    within("size", size, 8, 64)
    return GameWorld(_Catch(copies, size), copies, seed)


class _Catch:
    best = 1.0

    def __init__(self, copies: int, size: int):
        self.size = self.steps = size    # a ball has landed after size - 1 steps
        self.spaces = Spaces((3, size, size), ("left", "stay", "right"))
        self.settings = {"catch": size}
        self.state = {name: np.zeros(copies, np.int64) for name in ("column", "row", "paddle")}
        self.below = dict.fromkeys(self.state, size)

    def begin(self, rows: Array, draw: Draw) -> None:
        self.state["column"][rows] = draw(rows, _COLUMN) * self.size
        self.state["row"][rows] = 0
        self.state["paddle"][rows] = self.size // 2

    def advance(self, rows: Array, actions: Array, draw: Draw) -> tuple[Array, Array]:
        paddle = np.clip(self.state["paddle"][rows] + actions - 1, 0, self.size - 1)
        self.state["paddle"][rows] = paddle
        self.state["row"][rows] += 1
        landed = self.state["row"][rows] == self.size - 1
        return np.where(landed, np.where(paddle == self.state["column"][rows], 1, -1), 0).astype(np.float32), landed

    def observe(self, rows: Array) -> Array:
        pictures = np.zeros((len(rows), 3, self.size, self.size), np.uint8)
        pictures[np.arange(len(rows)), 0, self.state["row"][rows], self.state["column"][rows]] = 255
        pictures[np.arange(len(rows)), 2, -1, self.state["paddle"][rows]] = 255
        return pictures

    def frame(self, copy: int) -> Array:
        ball, _, paddle = self.observe(np.array([copy]))[0] > 0
        return cell_picture(coloured(paddle, {0: FREE, 1: BLUE}), coloured(ball, {1: YELLOW}))

    def scripted(self) -> Array:
        return np.sign(self.state["column"] - self.state["paddle"]) + 1
