"""Snake: it grows by what it eats and must not bite itself nor leave the field."""

import numpy as np

from lensmith.rl.worlds.cell_picture import FREE, GREEN, RED, YELLOW, cell_picture, coloured
from lensmith.rl.worlds.game import Array, Draw, GameWorld, within
from lensmith.rl.worlds.world import Spaces

_FOOD = 1    # stream
_LENGTH = 3    # cells at the beginning
_DOWN, _ACROSS = np.array([-1, 0, 1, 0]), np.array([0, 1, 0, -1])    # by action


def snake(
    copies: int,
    seed: int,
    *,
    size: int = 10,      # cells of an edge of the field, each a pixel
    steps: int = 500,    # after which an episode is cut
) -> GameWorld:
    """Snake as a world: pictures [3, size, size], the food red, the body green and darker towards its tail, the head
    blue as well. A reward of 1 for each food; biting itself or the edge gives -1 and ends the episode, as a full field
    does. To turn back is to go on ahead. Raises WorldError for a size outside 8 .. 64 or no steps."""
    within("size", size, 8, 64)
    within("steps", steps, 1, 1_000_000)
    return GameWorld(_Snake(copies, size, steps), copies, seed)


class _Snake:
    best = None    # a full field, which nobody reaches within the steps

    def __init__(self, copies: int, size: int, steps: int):
        self.size, self.steps = size, steps
        self.spaces = Spaces((3, size, size), ("up", "right", "down", "left"))
        self.settings = {"snake": [size, steps]}
        # `time` is for how many steps a cell is still part of the body: the length at the head, 1 at the tail.
        self.state: dict[str, Array] = {
            "time": np.zeros((copies, size, size), np.int16),
            **{name: np.zeros(copies, np.int64) for name in ("row", "column", "heading", "length", "food")}}
        self.below = {"time": size * size + 1, "row": size, "column": size, "heading": 4, "length": size * size + 1,
                      "food": size * size}

    def begin(self, rows: Array, draw: Draw) -> None:
        state, middle = self.state, self.size // 2
        state["time"][rows] = 0
        for back in range(_LENGTH):
            state["time"][rows, middle, middle - back] = _LENGTH - back
        state["row"][rows] = state["column"][rows] = middle
        state["heading"][rows] = 1
        state["length"][rows] = _LENGTH
        self._feed(rows, draw)

    def _feed(self, rows: Array, draw: Draw) -> None:
        """Put food into a free cell by chance; a field without one keeps the food where it was."""
        free = (self.state["time"][rows] == 0).reshape(len(rows), -1)
        counts = free.sum(1)
        number = (draw(rows, _FOOD) * counts).astype(np.int64)    # of the free cells, from 0
        cells = (free.cumsum(1) > number[:, None]).argmax(1)
        self.state["food"][rows] = np.where(counts > 0, cells, self.state["food"][rows])

    def advance(self, rows: Array, actions: Array, draw: Draw) -> tuple[Array, Array]:
        state = self.state
        heading = np.where((actions - state["heading"][rows]) % 4 == 2, state["heading"][rows], actions)
        row, column = state["row"][rows] + _DOWN[heading], state["column"][rows] + _ACROSS[heading]
        inside = (row >= 0) & (row < self.size) & (column >= 0) & (column < self.size)
        row, column = row.clip(0, self.size - 1), column.clip(0, self.size - 1)
        eats = inside & (row * self.size + column == state["food"][rows])
        time = state["time"][rows]
        time -= ((time > 0) & ~eats[:, None, None]).astype(np.int16)    # the tail moves on before the head does
        dies = ~inside | (time[np.arange(len(rows)), row, column] > 0)
        length = state["length"][rows] + eats
        alive = np.flatnonzero(~dies)
        time[alive, row[alive], column[alive]] = length[alive]
        state["time"][rows], state["length"][rows], state["heading"][rows] = time, length, heading
        state["row"][rows] = np.where(dies, state["row"][rows], row)
        state["column"][rows] = np.where(dies, state["column"][rows], column)
        if eats.any():
            self._feed(rows[eats], draw)
        return (eats.astype(np.float32) - dies.astype(np.float32)), dies | (length == self.size ** 2)

    def observe(self, rows: Array) -> Array:
        pictures = np.zeros((len(rows), 3, self.size, self.size), np.uint8)
        copies, time = np.arange(len(rows)), self.state["time"][rows].astype(np.int64)
        pictures[copies, 0, self.state["food"][rows] // self.size, self.state["food"][rows] % self.size] = 255
        pictures[:, 1] = np.where(time > 0, 55 + 200 * time // self.state["length"][rows][:, None, None], 0)
        pictures[copies, 2, self.state["row"][rows], self.state["column"][rows]] = 255
        return pictures

    def frame(self, copy: int) -> Array:
        food, body, head = self.observe(np.array([copy]))[0]
        squares = coloured(body > 0, {0: FREE, 1: GREEN})
        squares = np.where(body[..., None] > 0, squares * (0.4 + 0.6 * body[..., None] / 255), squares).astype(np.uint8)
        return cell_picture(squares, coloured((food > 0) + 2 * (head > 0), {1: RED, 2: YELLOW, 3: YELLOW}))

    def scripted(self) -> Array:
        """The way to the food among those that leave room for the whole body, else the one with the most room."""
        state, copies = self.state, len(self.state["row"])
        row, column = (state[name][:, None] + step for name, step in (("row", _DOWN), ("column", _ACROSS)))
        inside = (row >= 0) & (row < self.size) & (column >= 0) & (column < self.size)
        row, column = row.clip(0, self.size - 1), column.clip(0, self.size - 1)
        free = state["time"] <= 1    # the tail leaves its cell
        safe = inside & free[np.arange(copies)[:, None], row, column]
        room = np.where(safe, self._room(free, row, column), -1)    # [copies, 4]
        food_row, food_column = (state["food"] // self.size)[:, None], (state["food"] % self.size)[:, None]
        distance = abs(row - food_row) + abs(column - food_column)
        enough = room >= np.minimum(state["length"][:, None], room.max(1, keepdims=True))
        return np.where(enough, distance, 10 ** 6 - room).argmin(1)

    def _room(self, free: Array, row: Array, column: Array) -> Array:
        """int64 [copies, 4]: how many free cells can be reached from each of four cells."""
        copies = len(free)
        reached = np.zeros((copies, 4, self.size + 2, self.size + 2), np.bool_)
        reached[np.arange(copies)[:, None], np.arange(4), row + 1, column + 1] = True
        inner, counts = reached[:, :, 1:-1, 1:-1], np.zeros((copies, 4), np.int64)
        while True:
            inner |= (reached[:, :, :-2, 1:-1] | reached[:, :, 2:, 1:-1] | reached[:, :, 1:-1, :-2]
                      | reached[:, :, 1:-1, 2:]) & free[:, None]
            before, counts = counts, inner.sum((2, 3))
            if (before == counts).all():
                return counts
