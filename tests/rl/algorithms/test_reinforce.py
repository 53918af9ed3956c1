"""REINFORCE: which steps it learns from, its loss against NumPy, and its settings."""

import numpy as np
import pytest

from lensmith.base.errors import UserError
from lensmith.rl.algorithms import ALGORITHMS


@pytest.mark.parametrize("baseline", ["mean", "value", "none"])
def test_the_loss_is_that_of_whole_episodes_in_numpy(playing, corridor, baseline):
    learner = playing("reinforce", rollout=10, longest=20, baseline=baseline, copies=3, entropy=0.0)
    reinforce, world = learner.algorithm, corridor(3, 1)
    shown, played = world.reset(), []
    for moment in range(10):
        actions = reinforce.act(shown, moment)
        step = world.step(actions)
        reinforce.note(shown, actions, step)
        played.append((shown, actions, step))
        shown = step.observations
    rows = []    # of each copy the steps of episodes that are over, with their returns
    for copy in range(3):
        episode = []
        for observations, actions, step in played:
            episode.append((observations[copy], int(actions[copy]), float(step.rewards[copy])))
            if step.ended[copy] or step.truncated[copy]:
                for start in range(len(episode)):
                    total = sum(0.99**ahead * reward for ahead, (_, _, reward) in enumerate(episode[start:]))
                    rows.append((*episode[start][:2], total))
                episode = []
    outputs = [reinforce.network(observation.unsqueeze(0))[0].detach().numpy() for observation, _, _ in rows]
    logs = np.array([output[action] - np.log(np.exp(output[:2]).sum())
                     for output, (_, action, _) in zip(outputs, rows, strict=True)])
    returns, values = np.array([row[2] for row in rows]), np.array([output[2] for output in outputs])
    better = {"mean": (returns - returns.mean()) / (returns.std(ddof=1) + 1e-8), "value": returns - values,
              "none": returns}[baseline]
    terms = next(reinforce.losses())
    assert terms["policy"].item() == pytest.approx(-(logs * better).mean(), rel=1e-4, abs=1e-6)
    if baseline == "value":
        assert terms["value"].item() == pytest.approx(0.5 * ((values - returns) ** 2).mean(), rel=1e-4)


def test_each_step_of_an_episode_that_is_over_is_learned_from_once(playing, monkeypatch):
    learner = playing("reinforce", rollout=4, longest=20)
    learned, losses = [], learner.algorithm._losses
    monkeypatch.setattr(learner.algorithm, "_losses", lambda counts, over: (learned.append(int(counts.sum())),
                                                                            losses(counts, over))[1])
    list(learner)
    kept = learner.algorithm.rollout.filled * 3 - int(learner.algorithm.learned.sum())
    assert sum(learned) == 60 - kept


def test_an_episode_that_never_ends_is_learned_from_in_parts(playing):
    learner = playing("reinforce", rollout=3, longest=3)
    list(learner)
    assert learner.algorithm.updates == 20 // 3 == learner.stepper.done


@pytest.mark.parametrize(("settings", "message"), [
    ({"baseline": "median"}, r"algorithm.baseline is one of mean, value, none; got 'median'"),
    ({"longest": 8}, r"algorithm.longest is 8, and an update comes every algorithm.rollout=64 steps: keep at least as"),
    ({"entropy": -1.0}, r"algorithm.entropy must be at least 0; got -1.0")])
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        ALGORITHMS["reinforce"](**settings)


def test_a_run_without_an_update_is_told(playing):
    with pytest.raises(UserError, match="60 steps of 3 copies are 20 of each, and the first update comes after"):
        playing("reinforce")
