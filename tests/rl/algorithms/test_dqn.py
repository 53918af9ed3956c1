"""Deep Q-learning: its loss against NumPy, when it learns, its target network, and its settings."""

import numpy as np
import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.rl.algorithms import ALGORITHMS

SMALL = {"batch": 8, "learning_starts": 12, "replay": 40, "samples": 4.0}


def values_of(network, observations):
    """The Q-values of a dense network with one hidden layer, in NumPy."""
    weights = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    hidden = np.maximum(observations.numpy() @ weights["hidden.0.weight"].T + weights["hidden.0.bias"], 0)
    return hidden @ weights["head.values.weight"].T + weights["head.values.bias"]


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("loss", ["huber", "squared"])
@pytest.mark.parametrize("prioritised", [True, False])
def test_the_loss_is_that_of_numpy(playing, double, loss, prioritised):
    learner = playing("dqn", **SMALL | {"double": double, "loss": loss, "prioritised": prioritised, "n_step": 2,
                                        "target_rate": 0.3})
    dqn = learner.algorithm
    for report in learner:
        if report.step == 45:
            break
    correction = 0.4 + 0.6 * dqn.done / dqn.settings.updates(60, 3)
    drawn = dqn.replay.sample(dqn.done, 8, correction=correction)
    for tensor in dqn.target.parameters():    # far from the network, so that who chooses matters
        tensor.data.mul_(-3)
    following = values_of(dqn.target, drawn.following)
    chosen_by = values_of(dqn.network, drawn.following) if double else following
    best = following[np.arange(8), chosen_by.argmax(1)]
    targets = drawn.rewards.numpy() + drawn.discounts.numpy() * best
    errors = np.abs(values_of(dqn.network, drawn.observations)[np.arange(8), drawn.actions.numpy()] - targets)
    losses = errors**2 if loss == "squared" else np.where(errors < 1, errors**2 / 2, errors - 0.5)
    assert dqn._loss(drawn).item() == pytest.approx((losses * drawn.weights.numpy()).mean(), rel=1e-5)
    if prioritised:
        entries = {index: (error + 1e-3) ** 0.6 for index, error in zip(drawn.indices, errors, strict=True)}
        assert dqn.replay.tree.entries()[list(entries)] == pytest.approx(list(entries.values()), rel=1e-4)


def test_as_many_steps_are_learned_from_as_asked(playing):
    learner = playing("dqn", **SMALL)
    updates = {report.step: learner.algorithm.done for report in learner if report.row is None}
    assert updates[12] == 0 and updates[15] == 1 and updates[18] == 3 and updates[60] == 24
    assert learner.stepper.steps == learner.stepper.done == 24


def test_a_hard_target_is_a_copy_and_a_soft_one_trails(playing):
    hard = playing("dqn", **SMALL | {"target": "hard", "target_every": 4})
    for report in hard:
        if report.step == 18:
            break
    assert hard.algorithm.targets == 0
    for report in hard:
        if report.step == 21:
            break
    assert hard.algorithm.done == 4 and hard.algorithm.targets == 1
    target, network = hard.algorithm.target.state_dict(), hard.network.state_dict()
    assert all(torch.equal(target[name], network[name]) for name in network)
    soft = playing("dqn", **SMALL | {"target_rate": 0.25})
    first = {name: tensor.clone() for name, tensor in soft.network.state_dict().items()}
    for report in soft:
        if report.step == 15:
            break
    for name, tensor in soft.network.state_dict().items():
        wanted = 0.75 * first[name].numpy() + 0.25 * tensor.numpy()
        assert np.allclose(soft.algorithm.target.state_dict()[name].numpy(), wanted, atol=1e-7)


def test_exploration_falls_as_it_is_told(playing):
    dqn = playing("dqn", **SMALL | {"decay": 0.5, "end": 0.1}).algorithm
    assert [dqn._exploration(moment) for moment in (0, 5, 10, 20)] == pytest.approx([1.0, 0.55, 0.1, 0.1])
    dqn = playing("dqn", **SMALL | {"exploration": "softmax", "temperature": 2.0, "decay": 0.5}).algorithm
    assert [dqn._exploration(moment) for moment in (0, 10)] == pytest.approx([2.0, 0.05])
    assert playing("dqn", **SMALL | {"noisy": True}).algorithm._exploration(0) == 0.0


@pytest.mark.parametrize(("settings", "message"), [
    ({"discount": 1.5}, r"algorithm.discount is in 0 .. 1; got 1.5"),
    ({"discount": float("nan")}, r"algorithm.discount is in 0 .. 1; got nan"),
    ({"batch": 0}, r"algorithm.batch must be at least 1; got 0"),
    ({"temperature": 0.0}, r"algorithm.temperature must be at least 1e-06; got 0.0"),
    ({"samples": 0.0}, r"algorithm.samples must be at least 1e-06; got 0.0"),
    ({"target": "firm"}, r"algorithm.target is one of hard, soft, none; got 'firm'"),
    ({"exploration": "all"}, r"algorithm.exploration is one of epsilon, softmax, greedy; got 'all'"),
    ({"batch": 64, "replay": 32}, r"algorithm.batch is 64, and the replay holds 32 steps: take a smaller batch, or a"),
    ({"learning_starts": 900, "replay": 800}, r"learning_starts is 900, and the replay has forgotten them by then")])
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        ALGORITHMS["dqn"](**settings)


def test_settings_that_do_not_go_with_the_run_are_told(playing):
    with pytest.raises(UserError, match="60 steps are played, and the first update comes after 516: play more with"):
        playing("dqn")
    with pytest.raises(UserError, match="algorithm.mapped keeps the replay in a file, and there is no folder for it"):
        playing("dqn", **SMALL | {"mapped": True})
