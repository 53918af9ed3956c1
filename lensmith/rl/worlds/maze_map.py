"""The map of a maze: a text file of cells, read with every mistake told by its line and column."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from lensmith.base.errors import count
from lensmith.base.read_file import Unreadable, bounded_text
from lensmith.rl.worlds.world import WorldError

WALL, FREE, START, GOAL, TRAP, SLIPPERY = "#", ".", "S", "G", "X", "~"
LETTERS = {WALL: "wall", FREE: "free", " ": "free", START: "start", GOAL: "goal", TRAP: "trap", SLIPPERY: "slippery"}
_ACCEPTED = ("# for walls, . or a space for free cells, S for the start, G for the goal, X for traps, ~ for slippery "
             "cells")
LARGEST = 64    # cells of an edge
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))    # up, right, down, left
# 25 cells as in a first lesson of Q-learning: two ways of eight steps, and a trap beside one of them.
FIVE_BY_FIVE = """\
S.#..
.....
.#X#.
...#.
.#..G
"""


@dataclass(frozen=True)
class MazeMap:
    """A maze: its lines of equal length, of the characters of LETTERS with every free cell as a full stop, and the
    cells (row, column) where it begins and ends. `shortest` is the number of steps between them past all traps."""

    lines: tuple[str, ...]
    start: tuple[int, int]
    goal: tuple[int, int]
    shortest: int

    @property
    def height(self) -> int:
        return len(self.lines)

    @property
    def width(self) -> int:
        return len(self.lines[0])


def read_maze(path: Path) -> MazeMap:
    """The maze that a text file holds. Raises WorldError where it holds none."""
    try:
        text = bounded_text(path, largest=1 << 20)
    except Unreadable as error:
        raise WorldError(f"the maze {path} cannot be read ({error.reason}): name a text file, {_ACCEPTED}") from error
    return parse_maze(text, str(path))


def parse_maze(text: str, source: str) -> MazeMap:
    """The maze that a text holds; `source` is what an error calls it. Raises WorldError for what is none."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n").split("\n")
    if lines == [""]:
        raise WorldError(f"the maze {source} is empty: it is a line of cells for each row, of {_ACCEPTED}")
    if len(lines) > LARGEST or len(lines[0]) > LARGEST:
        raise WorldError(f"the maze {source} has {count(len(lines), 'line')} of {count(len(lines[0]), 'cell')}, "
                         f"accepted are at most {LARGEST} of {LARGEST}: leave some out")
    for number, line in enumerate(lines, 1):
        _check_line(line, number, len(lines[0]), source)
    lines = [line.replace(" ", FREE) for line in lines]
    start, goal = _only(lines, START, source), _only(lines, GOAL, source)
    shortest = _shortest(lines, start, goal)
    if shortest is None:
        raise WorldError(f"the maze {source} has no way from the start ({_place(start)}) to the goal ({_place(goal)}) "
                         "past its walls and traps: open a wall")
    return MazeMap(tuple(lines), start, goal, shortest)


def _check_line(line: str, number: int, width: int, source: str) -> None:
    for column, letter in enumerate(line, 1):
        if letter not in LETTERS:
            raise WorldError(f"the maze {source} has {letter!r} in line {number} column {column}, which means nothing."
                             f"{_upper(letter)} Accepted are {_ACCEPTED}")
    if len(line) != width:
        raise WorldError(f"the maze {source} has {count(len(line), 'cell')} in line {number} and {width} in line 1, "
                         f"column {min(len(line), width) + 1} is the first that one of them lacks: give each line as "
                         "many, with # for walls and . for free cells")


def _upper(letter: str) -> str:
    return f" Did you mean {letter.upper()!r}?" if letter.upper() in LETTERS else ""


def _only(lines: list[str], letter: str, source: str) -> tuple[int, int]:
    """Where the one cell of a letter is."""
    places = [(row, column) for row, line in enumerate(lines) for column, cell in enumerate(line) if cell == letter]
    if not places:
        raise WorldError(f"the maze {source} has no {LETTERS[letter]}: put {letter!r} into one cell, in line 1 .. "
                         f"{len(lines)} column 1 .. {len(lines[0])}")
    if len(places) > 1:
        raise WorldError(f"the maze {source} has {len(places)} cells of {letter!r}, at {_place(places[0])} and "
                         f"{_place(places[1])}, and one {LETTERS[letter]} is accepted: make the others free, '.'")
    return places[0]


def _shortest(lines: list[str], start: tuple[int, int], goal: tuple[int, int]) -> int | None:
    """How many steps it is from start to goal, by breadth-first search; None where there is no way."""
    distances, queue = {start: 0}, deque([start])
    while queue:
        row, column = here = queue.popleft()
        if here == goal:
            return distances[here]
        for down, across in STEPS:
            there = row + down, column + across
            if 0 <= there[0] < len(lines) and 0 <= there[1] < len(lines[0]) and there not in distances \
                    and lines[there[0]][there[1]] not in (WALL, TRAP):
                distances[there] = distances[here] + 1
                queue.append(there)
    return None


def _place(cell: tuple[int, int]) -> str:
    return f"line {cell[0] + 1} column {cell[1] + 1}"
