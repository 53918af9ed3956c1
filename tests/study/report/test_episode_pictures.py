"""Film strips, films and the policy of a maze, pixel by pixel where that tells something."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import UserError
from lensmith.rl.worlds import WORLDS
from lensmith.rl.worlds.maze import Maze, maze_of
from lensmith.study.report.episode_pictures import film_strip, policy_in_maze, write_film

FRAMES = [torch.full((3, 40, 60), 10 * number, dtype=torch.uint8) for number in range(20)]


def test_a_strip_has_the_first_and_the_last_picture_and_eight_in_all():
    strip = np.asarray(film_strip(FRAMES))
    assert strip.shape[0] == 160 and strip.shape[1] == 8 * 240 + 7 * 4
    assert strip[80, 100, 0] == 0 and strip[80, -100, 0] == 190
    assert np.asarray(film_strip(FRAMES[:1])).shape == (160, 240, 3)
    assert np.asarray(film_strip(FRAMES[:3])).shape == (160, 3 * 240 + 2 * 4, 3)


def test_films_have_every_picture(tmp_path: Path):
    write_film(FRAMES, tmp_path / "it.gif", rate=10.0)
    with Image.open(tmp_path / "it.gif") as film:
        assert film.n_frames == 20 and film.info["duration"] == 100    # type: ignore[attr-defined]
    write_film(FRAMES, tmp_path / "it.mp4", rate=10.0)
    cv2 = pytest.importorskip("cv2")
    read = cv2.VideoCapture(str(tmp_path / "it.mp4"))
    assert read.get(cv2.CAP_PROP_FRAME_COUNT) == 20 and read.get(cv2.CAP_PROP_FPS) == 10
    with pytest.raises(UserError, match=r"cannot be written: take a \.gif"):
        write_film([torch.zeros(3, 1, 1, dtype=torch.uint8)], tmp_path / "small.mp4", rate=10.0)


def maze() -> Maze:
    found = maze_of(WORLDS["maze"](1, 0))
    assert found is not None
    return found


def test_arrows_point_where_the_action_leads_and_colours_follow_the_values():
    plan = maze()
    cells = plan.height * plan.width
    values = torch.linspace(0, 1, cells)
    ways = [np.asarray(policy_in_maze(plan, torch.full((cells,), action), values)) for action in range(4)]
    row, column = plan.map.start
    cell = [way[64 * row:64 * row + 64, 64 * column:64 * column + 64] for way in ways]
    yellow = [(one == np.array((246, 205, 84))).all(-1) for one in cell]
    middles = [np.argwhere(mask).mean(0) - (26, 32) for mask in yellow]    # the arrow stands above the number
    assert middles[0][0] < -1 and middles[2][0] > 1 and middles[1][1] > 1 and middles[3][1] < -1
    green = [int(ways[0][64 * (cell // plan.width) + 4, 64 * (cell % plan.width) + 4, 1]) for cell in range(cells)
             if plan.letters.ravel()[cell] in ".S"]
    assert green == sorted(green) and green[-1] > green[0] + 40


def test_without_values_there_are_arrows_alone():
    plan = maze()
    picture = policy_in_maze(plan, torch.zeros(plan.height * plan.width, dtype=torch.int64), None)
    assert picture.size == (64 * plan.width, 64 * plan.height)
