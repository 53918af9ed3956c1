"""Playing: stopped after any report and gone on with it ends with the same bits, in every algorithm and switch."""

import math
from copy import deepcopy

import pytest
import torch

from lensmith.base.errors import ModelError, Stopped, UserError
from lensmith.engine.checkpoint import read_state, write_state
from lensmith.rl.evaluate import play_episodes
from lensmith.rl.playing import PlaySettings

DQN = {"batch": 8, "learning_starts": 12, "replay": 40, "samples": 4.0}
CASES = [
    ("dqn", DQN | {"n_step": 1, "double": False}),
    ("dqn", DQN | {"target": "hard", "target_every": 4, "loss": "squared"}),
    ("dqn", DQN | {"target": "none", "exploration": "softmax"}),
    ("dqn", DQN | {"dueling": True, "noisy": True, "average": 0.9}),
    ("dqn", DQN | {"prioritised": True, "n_step": 3}),
    ("dqn", DQN | {"pictures": True, "prioritised": True}),
    ("ppo", {"rollout": 4, "batch": 5, "epochs": 2}),
    ("ppo", {"rollout": 5, "batch": 0, "pictures": True, "normalise": False}),
    ("a2c", {"rollout": 3}),
    ("reinforce", {"rollout": 4, "longest": 9}),
    ("reinforce", {"rollout": 5, "longest": 5, "baseline": "value"})]


def end_of(learner):
    """The rows, and everything that a checkpoint would keep."""
    rows = [report.row for report in learner if report.row is not None]
    return rows, flat(learner.state_dict()) | {f"judged {name}": tensor for name, tensor
                                               in learner.judged.state_dict().items()}


def flat(state, name=""):
    if isinstance(state, dict):
        return {key: value for inner in state for key, value in flat(state[inner], f"{name}.{inner}").items()}
    return {name: state.clone() if isinstance(state, torch.Tensor) else state}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        assert same, name


# Of 23 reports: in a rollout, at the end of an epoch before and after it is measured, and in the next one.
@pytest.mark.parametrize("stops", [(4, 9, 13), pytest.param(range(1, 24), marks=pytest.mark.slow)], ids=["few", "all"])
@pytest.mark.parametrize(("algorithm", "settings"), CASES)
def test_stopping_after_any_report_and_going_on_gives_the_same_bits(playing, tmp_path, algorithm, settings, stops):
    rows, wanted = end_of(playing(algorithm, **settings))
    assert len(rows) == 3 and rows[-1]["step"] == 60
    for stop in stops:
        first = playing(algorithm, **settings)
        seen = []
        for number, report in enumerate(first, start=1):
            seen += [report.row] if report.row is not None else []
            if number == stop:
                break
        write_state(tmp_path / "last.safetensors", first.state_dict())
        second = playing(algorithm, **settings)
        second.load_state_dict(read_state(tmp_path / "last.safetensors"))
        later, state = end_of(second)
        assert seen + later == rows, stop
        assert_equal(state, wanted)


@pytest.mark.parametrize(("algorithm", "settings"), CASES[3::3])
def test_two_equal_seeds_give_equal_bits_and_another_seed_others(playing, algorithm, settings):
    first, second, other = (end_of(playing(algorithm, seed=seed, **settings)) for seed in (1, 1, 2))
    assert first[0] == second[0]
    assert_equal(first[1], second[1])
    weights = next(name for name in first[1] if name.startswith("judged") and "weight" in name)
    assert not torch.equal(first[1][weights], other[1][weights])


@pytest.mark.parametrize("settings", [{}, {"prioritised": True, "n_step": 3}])
def test_a_replay_in_a_file_is_gone_on_with_from_every_checkpoint_wherever_the_process_was_killed(
        playing, tmp_path, settings):
    # A ring of 15 rows in a run of 20, so that it comes round; a checkpoint after each epoch of 8 moments.
    settings = DQN | settings | {"replay": 18, "mapped": True}
    file = tmp_path / "replay.bin"
    rows, whole = end_of(playing("dqn", file=file, **settings))
    if "prioritised" not in settings:    # which is by the place in the ring, and that in memory is shorter
        assert rows == end_of(playing("dqn", **settings | {"mapped": False}))[0]
    for kill in (*range(8, 24, 3), 17, 18):
        file.unlink()
        first, state = playing("dqn", file=file, **settings), None
        for number, report in enumerate(first, start=1):
            if report.row is not None:
                state = deepcopy(first.state_dict())
            if number == kill:
                break
        del first    # its file stays as the killed process has left it
        second = playing("dqn", file=file, **settings)
        if state is not None:
            second.load_state_dict(state)
        assert_equal(end_of(second)[1], whole)


def test_a_missing_or_another_replay_file_is_told(playing, tmp_path):
    settings = DQN | {"mapped": True}
    first = playing("dqn", file=tmp_path / "replay.bin", **settings)
    next(iter(first))
    state = deepcopy(first.state_dict())
    with pytest.raises(ModelError, match="elsewhere.bin is missing or not the replay that the run's last state was"):
        playing("dqn", file=tmp_path / "elsewhere.bin", **settings).load_state_dict(state)


def test_a_world_without_a_state_begins_new_episodes_and_says_so(playing):
    for algorithm, settings in (CASES[0], CASES[4], CASES[6], CASES[9]):
        first = playing(algorithm, exact=False, **settings)
        for number, _ in enumerate(first, start=1):
            if number == 6:
                break
        second = playing(algorithm, exact=False, **settings)
        second.load_state_dict(deepcopy(first.state_dict()))
        reports = list(second)
        assert "each copy begins a new episode" in reports[0].note and not any(report.note for report in reports[1:])
        assert second.played == 60


def test_the_row_has_what_a_diagnosis_needs(playing):
    row = end_of(playing("dqn", every=60, **DQN))[0][-1]
    assert {"epoch", "step", "rate", "train/loss", "train/return", "train/length", "train/episodes", "exploration",
            "valid/return", "valid/length", "value/expected", "value/returned", "action/most", "reward/least",
            "reward/most", "replay/moments", "target/updates", "q/mean", "q/error"} <= row.keys()
    assert row["reward/least"] == pytest.approx(-0.1) and row["train/ended"] <= 1
    assert end_of(playing("ppo", **CASES[6][1]))[0][-1].keys() >= {"policy/entropy", "value/explained", "exploration"}


def test_the_measured_numbers_are_those_of_the_episodes(playing, corridor):
    learner = playing("dqn", **DQN)
    rows, _ = end_of(learner)
    judged = learner.judged.eval()
    with torch.no_grad():
        episodes = play_episodes(corridor(4, 101), lambda shown: judged(shown).argmax(1), 4)
    assert rows[-1]["valid/return"] == sum(episodes.returns) / 4
    assert rows[-1]["valid/length"] == sum(episodes.lengths) / 4


@pytest.mark.parametrize("name", ["steps", "every", "episodes"])
def test_settings_that_are_too_small_are_told(name):
    with pytest.raises(UserError, match=f"learner.{name} must be at least 1; got 0"):
        PlaySettings(**{"steps": 1, "every": 1, "episodes": 1} | {name: 0})


def test_a_loss_that_is_not_finite_stops_in_one_line(playing):
    learner = playing("dqn", **DQN)
    with torch.no_grad():
        next(iter(learner.network.parameters())).fill_(math.inf)
    with pytest.raises(Stopped, match="the loss is not finite after 15 steps .* lower rate with optimizer.rate"):
        list(learner)


def test_a_damaged_state_is_told(playing):
    first = playing("a2c", rollout=3)
    next(iter(first))
    state = first.state_dict()
    with pytest.raises(ModelError, match="the run's last state is damaged .moment"):
        playing("a2c", rollout=3).load_state_dict({name: value for name, value in state.items() if name != "moment"})
    with pytest.raises(ModelError, match="last state is damaged .999 moments and 0 epochs, where there are 60 steps"):
        playing("a2c", rollout=3).load_state_dict(state | {"moment": 999})


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "a2c", "reinforce"])
def test_each_algorithm_learns_the_corridor(playing, algorithm):
    settings = {"dqn": {"batch": 32, "learning_starts": 100}, "ppo": {"rollout": 16, "batch": 64},
                "a2c": {"rollout": 8}, "reinforce": {"rollout": 16, "longest": 16}}[algorithm]
    rows, _ = end_of(playing(algorithm, copies=16, steps=4000, every=4000, rate=1e-2, episodes=8, **settings))
    assert rows[-1]["valid/ended"] == 1.0 and rows[-1]["valid/length"] <= 4
