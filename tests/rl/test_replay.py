"""The replay against a list that forgets nothing: what is drawn, how often, and what a kill leaves."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensmith.base import device
from lensmith.base.errors import ModelError, UserError
from lensmith.rl.replay import Priorities, Replay
from lensmith.rl.worlds.world import Spaces, Step

SPACES, COPIES = Spaces((2,), ("left", "right")), 3


def step_of(moment: int) -> tuple[torch.Tensor, torch.Tensor, Step]:
    """What is played in a moment: a function of its number, as in a world that is played again after a restart."""
    rng = np.random.default_rng(moment)
    numbers = torch.tensor([[float(moment), float(copy)] for copy in range(COPIES)])
    ended = torch.from_numpy(rng.random(COPIES) < 0.2)
    truncated = torch.from_numpy(rng.random(COPIES) < 0.2) & ~ended
    rewards = torch.from_numpy(rng.normal(size=COPIES).astype(np.float32))
    return numbers, torch.from_numpy(rng.integers(0, 2, COPIES)), Step(numbers + 100, rewards, ended, truncated,
                                                                        numbers + 0.5)


def filled(moments: int, **arguments) -> Replay:
    replay = Replay(SPACES, COPIES, **{"capacity": 30, "seed": 5} | arguments)
    for moment in range(moments):
        replay.add(*step_of(moment))
    return replay


def by_hand(moment: int, copy: int, n_step: int, discount: float) -> tuple[float, float, list[float]]:
    """The rewards, the discount and what follows of a sample that begins here."""
    total, factor = 0.0, 1.0
    for ahead in range(n_step):
        step = step_of(moment + ahead)[2]
        total, factor = total + factor * float(step.rewards[copy]), factor * discount
        if step.ended[copy] or step.truncated[copy]:
            break
    return total, 0.0 if step.ended[copy] else factor, step.last[copy].tolist()


@pytest.mark.parametrize("n_step", [1, 2, 4])
@pytest.mark.parametrize("priorities", [None, Priorities()])
@pytest.mark.parametrize("moments", [4, 9, 10, 11, 27])
def test_a_sample_is_what_was_played(n_step, priorities, moments):
    replay = filled(moments, n_step=n_step, discount=0.9, priorities=priorities)
    drawn = replay.sample(7, 400)
    first = max(0, moments - 10)
    seen = set()
    for row in range(400):
        moment, copy = (int(number) for number in drawn.observations[row])
        seen.add((moment, copy))
        rewards, discount, following = by_hand(moment, copy, n_step, 0.9)
        assert drawn.actions[row] == step_of(moment)[1][copy]
        assert drawn.rewards[row] == pytest.approx(rewards, abs=1e-5)
        assert drawn.discounts[row] == pytest.approx(discount, abs=1e-5)
        assert drawn.following[row].tolist() == following
    # All that is remembered and has n steps behind it is drawn, and nothing else.
    assert seen == {(moment, copy) for moment in range(first, moments - n_step + 1) for copy in range(COPIES)}
    assert len(replay) == len(seen)


def test_all_are_drawn_alike_and_an_update_draws_the_same_again():
    replay = filled(40)
    counts = np.zeros(30)
    for update in range(400):
        np.add.at(counts, replay.sample(update, 30).indices, 1)
    assert counts.min() > 0.8 * 400 and counts.max() < 1.2 * 400
    assert (replay.sample(3, 8).indices == replay.sample(3, 8).indices).all()
    assert (replay.sample(3, 8).indices != replay.sample(4, 8).indices).any()


def test_steps_are_drawn_by_the_power_of_their_error_and_weighed_against_it():
    """The probabilities and weights of Schaul et al., equations 1 and that below it, written apart."""
    replay = filled(10, priorities=Priorities(power=0.5, least=0.0))
    errors = np.arange(1.0, 31.0)
    replay.prioritise(np.arange(30), errors)
    probabilities = errors**0.5 / (errors**0.5).sum()
    counts = np.zeros(30)
    for update in range(300):
        drawn = replay.sample(update, 30, correction=0.7)
        np.add.at(counts, drawn.indices, 1)
        weights = (30 * probabilities[drawn.indices]) ** -0.7
        assert drawn.weights.numpy() == pytest.approx(weights / weights.max(), rel=1e-5)
    assert counts / counts.sum() == pytest.approx(probabilities, abs=0.006)
    replay.add(*step_of(10))    # what is new comes with the greatest priority there was
    assert replay.tree.entries()[:3] == pytest.approx(30**0.5)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(2, 6), interval=st.integers(1, 5), n_step=st.integers(1, 2), prioritised=st.booleans(),
       saved=st.integers(1, 20), data=st.data())
def test_a_kill_at_any_moment_leaves_what_the_last_checkpoint_needs(tmp_path_factory, rows, interval, n_step,
                                                                    prioritised, saved, data):
    file = tmp_path_factory.mktemp("replay") / "replay.bin"
    arguments = {"capacity": rows * COPIES, "n_step": n_step, "priorities": Priorities() if prioritised else None,
                 "place": (file, interval)}
    killed_after = data.draw(st.integers(0, interval))    # moments since the checkpoint
    replay = filled(saved, **arguments)
    if len(replay):
        replay.prioritise(replay.sample(0, 4).indices, np.array([0.5, 3.0, 0.1, 1.0]))
    state = replay.state_dict()
    for moment in range(saved, saved + killed_after):
        replay.add(*step_of(moment))
    replay.ring.rewards[replay.added % replay.slots if killed_after < interval else 0] *= 1    # begun, and not finished
    again = Replay(SPACES, COPIES, seed=5, **arguments)
    again.load_state_dict(state)
    wanted = Replay(SPACES, COPIES, seed=5, **arguments | {"place": None})
    for moment in range(saved):
        wanted.add(*step_of(moment))
    if not len(wanted):
        return
    if prioritised:
        wanted.prioritise(wanted.sample(0, 4).indices, np.array([0.5, 3.0, 0.1, 1.0]))
    for update in range(4):
        first, second = again.sample(update, 16), wanted.sample(update, 16)
        if not prioritised:    # by their place in the ring, which is longer
            assert torch.equal(first.observations, second.observations)
        for drawn in (first, second):
            moments = drawn.observations[:, 0]
            assert moments.min() >= saved - rows and moments.max() <= saved - n_step
        for row in range(16):
            moment, copy = (int(number) for number in first.observations[row])
            assert first.rewards[row] == pytest.approx(by_hand(moment, copy, n_step, 0.99)[0], abs=1e-5)


def test_in_memory_the_state_has_the_steps():
    replay = filled(14, priorities=Priorities())
    replay.prioritise(np.arange(6), np.arange(6.0))
    again = Replay(SPACES, COPIES, 30, seed=5, priorities=Priorities())
    again.load_state_dict(replay.state_dict())
    assert (again.tree.nodes == replay.tree.nodes).all()
    assert (again.sample(2, 30).observations == replay.sample(2, 30).observations).all()
    with pytest.raises(ModelError, match="the replay in the run's last state has other observations than this one"):
        Replay(SPACES, 2, 30, seed=5).load_state_dict(replay.state_dict())


def test_what_was_interrupted_is_not_gone_on_with():
    replay = filled(2, n_step=2)
    replay.interrupt()
    replay.add(*step_of(2))
    drawn = replay.sample(0, 60)
    newest = drawn.observations[:, 0] == 1
    assert newest.any() and drawn.rewards[newest].tolist() == pytest.approx(
        [float(step_of(1)[2].rewards[int(copy)]) for copy in drawn.observations[newest][:, 1]])


def test_a_replay_that_is_larger_than_the_memory_is_told(monkeypatch):
    monkeypatch.setattr(device, "free_memory", lambda: 1_000_000)
    spaces = Spaces((3, 84, 84), ("left", "right"))
    with pytest.raises(UserError, match="a replay of 100,000 steps would take 4.2 GB, and 0.0 GB of memory are free: "
                                        "take a smaller one with algorithm.replay, or keep it in a file with"):
        Replay(spaces, 4, 100_000, seed=0).check()


def test_a_disk_without_room_is_told_before_the_first_step(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(UserError, match="the replay would take .* GB in .*replay.bin .No space left on device.: free"):
        filled(1, place=(tmp_path / "replay.bin", 2))
