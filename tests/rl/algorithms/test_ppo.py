"""Proximal policy optimisation and advantage actor-critic: their losses against NumPy, and their settings."""

import numpy as np
import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.rl.algorithms import ALGORITHMS
from lensmith.rl.algorithms.ppo import PpoSettings, policy_loss


def output_of(network, observations):
    """Log probabilities and values of dense layers for each, one hidden, in NumPy."""
    weights = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in network.state_dict().items()}
    hidden, critic = (np.maximum(observations.numpy() @ weights[f"{name}.0.weight"].T + weights[f"{name}.0.bias"], 0)
                      for name in ("hidden", "critic"))
    logits = hidden @ weights["head.policy.weight"].T + weights["head.policy.bias"]
    logits -= np.log(np.exp(logits).sum(1, keepdims=True))
    return logits, (critic @ weights["head.value.weight"].T + weights["head.value.bias"])[:, 0]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("clip", [0.2, 0.0])
def test_the_losses_are_those_of_numpy(playing, normalise, clip):
    ppo = playing("ppo", rollout=4, batch=6, normalise=normalise, clip=clip, value=0.7, entropy=0.02).algorithm
    rng = np.random.default_rng(2)
    batch = {"observations": torch.from_numpy(rng.normal(size=(6, 5)).astype(np.float32)),
             "actions": torch.from_numpy(rng.integers(0, 2, 6)),
             **{name: torch.from_numpy(rng.normal(size=6).astype(np.float32)) for name in ("advantages", "returns")},
             "log_probabilities": torch.from_numpy(-rng.random(6).astype(np.float32))}
    logits, values = output_of(ppo.network, batch["observations"])
    advantages = batch["advantages"].numpy()
    if normalise:
        advantages = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
    ratios = np.exp(logits[np.arange(6), batch["actions"].numpy()] - batch["log_probabilities"].numpy())
    gains = ratios * advantages
    if clip:
        gains = np.minimum(gains, np.clip(ratios, 0.8, 1.2) * advantages)
    terms = ppo._losses(batch)
    assert terms["policy"].item() == pytest.approx(-gains.mean(), rel=1e-4)
    assert terms["value"].item() == pytest.approx(0.7 * ((values - batch["returns"].numpy()) ** 2).mean(), rel=1e-4)
    assert terms["entropy"].item() == pytest.approx(0.02 * (np.exp(logits) * logits).sum(1).mean(), rel=1e-4)


def test_what_is_cut_by_time_keeps_its_value_and_an_end_has_none(playing, corridor):
    """The advantages of a rollout against a loop, with the values that the network has of what was seen."""
    learner = playing("ppo", rollout=16, batch=0, copies=4, steps=128, every=128)
    ppo, world = learner.algorithm, corridor(4, 1)
    seen, shown = [], world.reset()
    for moment in range(16):
        actions = ppo.act(shown, moment)
        step = world.step(actions)
        ppo.note(shown, actions, step)
        seen.append((shown, step))
        shown = step.observations
    wanted, later = np.zeros((16, 4)), np.zeros(4)
    for moment in reversed(range(16)):
        observations, step = seen[moment]
        over = (step.ended | step.truncated).numpy()
        following = output_of(ppo.network, step.last)[1] * ~step.ended.numpy()
        delta = step.rewards.numpy() + 0.99 * following - output_of(ppo.network, observations)[1]
        later = delta + 0.99 * 0.95 * later * ~over
        wanted[moment] = later
    assert any(step.truncated.any() for _, step in seen) and any(step.ended.any() for _, step in seen)
    assert np.allclose(ppo._advantages().numpy(), wanted, atol=1e-5)


def test_the_gradient_of_a2c_is_that_of_the_policy():
    """With the policy that was played the ratio is 1, and its gradient that of the logarithm."""
    logits = torch.tensor([[0.3, -0.2], [1.0, 0.5]], requires_grad=True)
    advantages, actions = torch.tensor([2.0, -1.0]), torch.tensor([[0], [1]])
    chosen = logits.log_softmax(1).gather(1, actions).squeeze(1)
    for clip in (0.0, 0.2):
        clipped = policy_loss(chosen, chosen.detach(), advantages, clip)
        found = torch.autograd.grad(clipped, logits, retain_graph=True)[0]
        plain = -(chosen * advantages).mean()
        wanted = torch.autograd.grad(plain, logits, retain_graph=True)[0]
        assert torch.allclose(found, wanted)
    assert ALGORITHMS["a2c"]() == PpoSettings(trace=1.0, rollout=8, epochs=1, batch=0, clip=0.0, normalise=False)


def test_each_pass_learns_from_each_step_once_in_another_order(playing):
    ppo = playing("ppo", rollout=4, batch=5, epochs=2).algorithm
    first, second = (list(ppo._batches(epoch)) for epoch in (0, 1))
    assert [len(batch) for batch in first] == [6, 6]
    for batches in (first, second):
        assert sorted(torch.cat(batches).tolist()) == list(range(12))
    assert torch.cat(first).tolist() != torch.cat(second).tolist()


def test_as_many_updates_are_made_as_were_foretold(playing):
    learner = playing("ppo", rollout=4, batch=5, epochs=2)
    list(learner)
    assert learner.stepper.done == learner.stepper.steps == 5 * 2 * 2


@pytest.mark.parametrize(("settings", "message"), [
    ({"trace": 2.0}, r"algorithm.trace is in 0 .. 1; got 2.0"),
    ({"epochs": 0}, r"algorithm.epochs must be at least 1; got 0"),
    ({"clip": -0.1}, r"algorithm.clip must be at least 0; got -0.1"),
    ({"batch": 1}, r"algorithm.batch is 1, and algorithm.normalise needs several advantages: take a larger batch")])
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        ALGORITHMS["ppo"](**settings)


def test_settings_that_do_not_go_with_the_run_are_told(playing):
    with pytest.raises(UserError, match="algorithm.batch is 256, and algorithm.rollout=4 steps of 3 copies are 12"):
        playing("ppo", rollout=4)
    with pytest.raises(UserError, match="60 steps of 3 copies are 20 of each, and the first update comes after"):
        playing("ppo", rollout=32, batch=0)
