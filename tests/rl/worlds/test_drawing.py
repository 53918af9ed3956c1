"""Pictures of worlds for people and for terminals, and the check of what a world gives."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from lensmith.rl.worlds import WORLDS
from lensmith.rl.worlds.cell_picture import BACKGROUND, cell_picture, enlarged_frame
from lensmith.rl.worlds.check_world import check_world
from lensmith.rl.worlds.text_frame import text_frame
from lensmith.rl.worlds.world import WorldError


def test_cells_have_their_colours_and_discs_theirs():
    colours = np.array([[[200, 0, 0], [0, 200, 0]]] * 3, np.uint8)
    discs = np.zeros_like(colours)
    discs[1, 0] = (9, 9, 250)
    picture = cell_picture(colours, discs)
    assert picture.shape == (3, 360, 240) and picture.dtype == np.uint8
    assert picture[:, 60, 60].tolist() == [200, 0, 0] and picture[:, 60, 180].tolist() == [0, 200, 0]
    assert picture[:, 180, 60].tolist() == [9, 9, 250] and picture[:, 130, 10].tolist() == [200, 0, 0]
    assert picture[:, 0, 0].tolist() == list(BACKGROUND)
    disc = (picture[2, 120:240, :120] == 250).mean()
    assert disc == pytest.approx(np.pi * 0.4 ** 2, abs=0.02)


def test_small_frames_are_enlarged_and_even():
    picture = np.arange(3 * 5 * 7, dtype=np.uint8).reshape(3, 5, 7)
    large = enlarged_frame(picture)
    assert large.shape == (3, 116, 162) and np.array_equal(large[:, 11::23, 11:161:23], picture)
    assert enlarged_frame(np.zeros((3, 210, 161), np.uint8)).shape == (3, 210, 162)


@pytest.mark.parametrize("name", WORLDS)
def test_the_text_of_a_frame_has_its_colours(name):
    world = WORLDS[name](1, 0)
    world.reset()
    frame = world.frame(0)
    lines = text_frame(frame, columns=40)
    small = torch.nn.functional.adaptive_avg_pool2d(frame.float(), (40, 40)).round().int()
    assert len(lines) == 20
    for row, line in enumerate(lines):
        assert line.endswith("\x1b[0m") and line.count("▀") == 40
        shown, upper, lower = [], None, None
        for code, block in re.findall(r"\x1b\[([\d;]+)m|(▀)", line):
            if block:
                shown.append(upper + lower)
            elif code != "0":
                numbers = list(map(int, code.split(";")))
                upper, lower = numbers[2:5], numbers[7:10]
        assert torch.tensor(shown).T.reshape(2, 3, 40).equal(small[:, 2 * row:2 * row + 2].transpose(0, 1).long())


def test_without_colours_dark_is_thin_and_light_is_dense():
    picture = torch.zeros(3, 8, 8, dtype=torch.uint8)
    picture[:, :, 4:] = 255
    assert text_frame(picture, columns=8, colours=False) == ["    @@@@"] * 4
    assert text_frame(picture, columns=100, colours=False)[0] == "    @@@@"    # a character a pixel at most
    assert "\x1b" not in "".join(text_frame(picture, colours=False))


class Wrong:
    """A world of which one thing is changed."""

    def __init__(self, **changes):
        self.world, self.changes = WORLDS["catch"](2, 0), changes
        self.copies, self.spaces = 2, self.world.spaces

    def reset(self):
        return self.changes.get("reset", self.world.reset())

    def step(self, actions):
        step = self.world.step(actions)
        return replace(step, **{key: value for key, value in self.changes.items() if key != "reset"})


@pytest.mark.parametrize(("changes", "words"), [
    ({"reset": torch.zeros(2, 3, 9, 10)}, "the reset of world 'own' gives torch.float32 [2, 3, 9, 10], where torch."),
    ({"observations": None}, "gives as observations NoneType, where torch.uint8 [2, 3, 10, 10] is expected"),
    ({"rewards": torch.tensor([0.0, float("nan")])}, "gives as rewards numbers that are not finite"),
    ({"rewards": torch.zeros(2, dtype=torch.float64)}, "gives as rewards torch.float64 [2]"),
    ({"ended": torch.ones(2, dtype=torch.bool), "truncated": torch.ones(2, dtype=torch.bool)},
     "have ended and are truncated"),
])
def test_a_world_that_gives_something_else_is_told(changes, words):
    with pytest.raises(WorldError) as error:
        check_world(Wrong(**changes), "own")
    assert words in str(error.value)
