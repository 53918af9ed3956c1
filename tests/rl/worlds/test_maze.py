"""The maze: its map and every mistake in one, its steps and returns beside forms written apart, what a network sees."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lensmith.rl.worlds.maze import ACTIONS, maze, maze_of
from lensmith.rl.worlds.maze_map import FIVE_BY_FIVE, LETTERS, parse_maze
from lensmith.rl.worlds.world import WorldError
from lensmith.rl.worlds.wrappers import wrapped_world


@pytest.fixture(scope="module")
def plain_maze():
    path = Path(__file__).with_name("plain_games.py")
    specification = importlib.util.spec_from_file_location("plain_games", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.plain_maze


@pytest.fixture
def map_file(tmp_path):
    def written(text):
        path = tmp_path / "maze.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return written


def distances(lines):
    """Steps from the start to each cell past walls and traps, by relaxing every pair of neighbours until nothing
    changes."""
    cells = {(row, column): letter for row, line in enumerate(lines) for column, letter in enumerate(line)}
    steps = {cell: 0 if letter == "S" else 10 ** 6 for cell, letter in cells.items() if letter not in "#X"}
    for _ in steps:
        for row, column in steps:
            for neighbour in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if neighbour in steps:
                    steps[row, column] = min(steps[row, column], steps[neighbour] + 1)
    return steps


def test_the_maze_by_itself_has_25_cells_4_actions_and_a_way_of_8_steps():
    world = maze(1, 0)
    rules = maze_of(world)
    assert world.spaces.shape == (25,) and world.spaces.actions == ACTIONS and rules.map.shortest == 8
    assert world.best == pytest.approx(1 - 8 * 0.05)


@st.composite
def drawn_mazes(draw):
    height, width = draw(st.integers(1, 7)), draw(st.integers(2, 7))
    cells = draw(st.lists(st.sampled_from("...#X~"), min_size=height * width, max_size=height * width))
    start, goal = draw(st.lists(st.integers(0, height * width - 1), min_size=2, max_size=2, unique=True))
    cells[start], cells[goal] = "S", "G"
    return ["".join(cells[row * width:(row + 1) * width]) for row in range(height)]


@given(drawn_mazes())
def test_the_shortest_way_agrees_with_one_found_differently(lines):
    ways = distances(lines)
    goal = next((row, line.index("G")) for row, line in enumerate(lines) if "G" in line)
    if ways[goal] >= 10 ** 6:
        with pytest.raises(WorldError, match="no way from the start"):
            parse_maze("\n".join(lines), "drawn")
    else:
        cells = parse_maze("\n".join(lines), "drawn")
        assert cells.shortest == ways[goal] and cells.lines == tuple(lines) and cells.goal == goal


@pytest.mark.parametrize("observation", ["one-hot", "number", "picture"])
@pytest.mark.parametrize("lines", [FIVE_BY_FIVE.split(), ["S~~.", ".#~X", "..~G"], ["~~~S~~", "~~~~~~", "~X~~~G"]])
def test_the_rules_agree_with_a_plain_form(plain_maze, map_file, lines, observation):
    copies, chance = 4, np.random.default_rng(1)
    world = maze(copies, 5, file=map_file("\n".join(lines)), observation=observation, steps=30, slip=0.6)
    shown = maze_of(world).all_observations()
    apart = [plain_maze(lines, slip=0.6, steps=30)(5, copy) for copy in range(copies)]
    assert torch.equal(world.reset(), shown[[game.see() for game in apart]])
    cuts = 0
    for _ in range(120):
        actions = torch.from_numpy(chance.integers(4, size=copies))
        step = world.step(actions)
        rewards, ended, truncated, last, now = zip(*(game.step(action) for game, action
                                                     in zip(apart, actions.tolist(), strict=True)), strict=True)
        assert step.ended.tolist() == list(ended) and step.truncated.tolist() == list(truncated)
        assert torch.allclose(step.rewards, torch.tensor(rewards))
        assert torch.equal(step.observations, shown[list(now)]) and torch.equal(step.last, shown[list(last)])
        cuts += sum(truncated)
    assert cuts > 0


def test_what_a_network_sees_tells_every_cell_from_every_other():
    for observation in ("one-hot", "number", "picture"):
        shown = maze_of(maze(1, 0, observation=observation)).all_observations().flatten(1)
        assert len(shown.unique(dim=0)) == 25
    one_hot = maze_of(maze(1, 0)).all_observations()
    assert torch.equal(one_hot, torch.eye(25))
    number = maze_of(maze(1, 0, observation="number")).all_observations()
    assert torch.allclose(number, torch.linspace(0, 1, 25)[:, None])
    picture = maze_of(maze(1, 0, observation="picture")).all_observations()
    assert picture.shape == (25, 3, 10, 10)
    assert picture[7, :, 2:4, 4:6].flatten(1).tolist() == [[0] * 4, [0] * 4, [255] * 4]


def test_pictures_of_small_mazes_have_eight_pixels(map_file):
    world = maze(1, 0, file=map_file("S.G\n"), observation="picture")
    assert world.spaces.shape == (3, 8, 24)


def test_the_transitions_say_what_each_action_leads_to(map_file):
    transitions = maze_of(maze(1, 0, file=map_file("S~\n.#\n~G\n"), slip=0.5)).transitions
    assert np.allclose(transitions.probabilities.sum(2), 1)
    # From the slippery cell above right, to the left: ahead is the start; to the right of that is up, which the edge
    # holds, and to the left of it down, which the wall does.
    assert transitions.cells[1, 3].tolist() == [0, 1, 1]
    assert transitions.probabilities[1, 3].tolist() == [0.5, 0.25, 0.25]
    assert transitions.cells[0, 1, 0] == 1 and transitions.probabilities[0, 1].tolist() == [1, 0, 0]
    # From the slippery cell below left to the right: the goal ahead.
    assert transitions.cells[4, 1, 0] == 5 and transitions.ended[4, 1].tolist() == [True, False, False]
    assert transitions.rewards[4, 1].tolist() == pytest.approx([0.95, -0.05, -0.05])
    assert transitions.rewards[5].sum() == 0 and transitions.ended[5].all()    # nothing is beyond the goal


def test_the_best_return_over_slippery_cells_is_that_of_long_play(map_file):
    """The scripted player, who knows the rules, has it on average; 3 standard errors of 4,000 episodes."""
    world = maze(400, 7, file=map_file("S~~.\n.#~X\n..~G\n"), slip=0.4)
    world.reset()
    returns, done = torch.zeros(400), []
    for _ in range(120):
        step = world.step(world.scripted())
        returns += step.rewards
        over = step.ended | step.truncated
        done += returns[over].tolist()
        returns[over] = 0
    assert len(done) > 4000 and abs(np.mean(done) - world.best) < 3 * np.std(done) / len(done) ** 0.5 + 0.01


def test_steps_for_nothing_are_still_a_shortest_way():
    world = maze(1, 0, cost=0.0)
    world.reset()
    steps = [world.step(world.scripted()) for _ in range(8)]
    assert world.best == 1 and steps[-1].ended.all() and sum(step.rewards for step in steps).tolist() == [1]


def test_a_maze_is_found_within_wrappers():
    world = maze(1, 0)
    assert maze_of(wrapped_world(world, frames=2, repeat=2, clip_rewards=True, limit=9)) is world.game
    assert maze_of(object()) is None


@pytest.mark.parametrize(("text", "words"), [
    ("", ["is empty", "S for the start"]),
    ("\n\n", ["is empty"]),
    ("S.G\n.Q.\n", ["'Q' in line 2 column 2, which means nothing. Accepted are # for walls"]),
    ("s.G\n", ["'s' in line 1 column 1, which means nothing. Did you mean 'S'?"]),
    ("S..\n...\n", ["has no goal", "put 'G' into one cell, in line 1 .. 2 column 1 .. 3"]),
    ("...\nG..\n", ["has no start", "put 'S'"]),
    ("S.G\n..S\n", ["has 2 cells of 'S', at line 1 column 1 and line 2 column 3, and one start is accepted"]),
    ("S.G\n..G\n", ["has 2 cells of 'G'", "one goal is accepted"]),
    ("S.G\n..\n", ["has 2 cells in line 2 and 3 in line 1, column 3 is the first that one of them lacks"]),
    ("S.\n...\nG.", ["has 3 cells in line 2 and 2 in line 1, column 3"]),
    ("S#.\n##.\n..G", ["no way from the start (line 1 column 1) to the goal (line 3 column 3)", "open a wall"]),
    ("SXG", ["no way from the start"]),
    ("S" + "." * 70 + "G", ["has 1 line of 72 cells, accepted are at most 64 of 64"]),
    (("S" + "." * 5 + "\n") + "......\n" * 80, ["has 81 lines of 6 cells, accepted are at most 64 of 64"]),
    ("S\t.G", ["'\\t' in line 1 column 2"]),
    (b"S.\xff.G", ["cannot be read (it is not UTF-8 text: byte 2)", "name a text file"]),
])
def test_a_wrong_map_is_told_with_line_and_column(map_file, text, words):
    path = map_file(text)
    with pytest.raises(WorldError) as error:
        maze(1, 0, file=path)
    assert all(word in str(error.value) for word in [path, *words]) and "\n" not in str(error.value), error.value


def test_spaces_returns_and_marks_of_editors_are_taken(map_file):
    assert maze_of(maze(1, 0, file=map_file("\ufeffS G\r\n#X~\r\n\r\n"))).map.lines == ("S.G", "#X~")


def test_a_missing_map_and_wrong_settings_are_told(tmp_path, map_file):
    for settings, words in (({"file": str(tmp_path / "none.txt")}, "none.txt cannot be read (there is no such file)"),
                            ({"file": str(tmp_path)}, "it is not a file"),
                            ({"observation": "pictures"}, "world.observation is 'pictures'. Did you mean 'picture'?"),
                            ({"slip": 1.5}, "world.slip is 1.5, accepted is 0 .. 1"),
                            ({"cost": float("nan")}, "world.cost is nan, accepted is 0 .. 1e+06"),
                            ({"steps": 7}, "takes 8 steps, and world.steps cuts an episode after 7: say world.steps=")):
        with pytest.raises(WorldError) as error:
            maze(1, 0, **settings)
        assert words in str(error.value)


@given(st.text(alphabet=[*LETTERS, "\n", "a", "\r", "\x0b", "é"], max_size=30))
def test_any_text_is_a_maze_or_one_line_that_says_why_not(text):
    problem = ""
    try:
        cells = parse_maze(text, "drawn")
    except WorldError as error:
        problem = str(error)
    if problem:
        assert "drawn" in problem and len(problem.splitlines()) == 1
    else:
        assert len({len(line) for line in cells.lines}) == 1 and cells.shortest >= 1
