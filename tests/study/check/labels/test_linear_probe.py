"""The logistic regression against scikit-learn's, on what each fold holds out."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from lensmith.study.check.labels import linear_probe
from lensmith.study.check.labels.linear_probe import held_out_loss, out_of_sample


@pytest.fixture(name="data")
def _data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    index = torch.arange(120) % 3
    features = torch.randn(120, 8, generator=draw) + torch.nn.functional.one_hot(index, 8) * 1.5 + 4
    return features, index, torch.randperm(120, generator=draw) % 4


def _standardised(features: torch.Tensor) -> np.ndarray:
    values = features.numpy().astype(np.float64)
    return (values - values.mean(0)) / values.std(0)


def test_softmax_probe_equals_scikit_learn(data, monkeypatch: pytest.MonkeyPatch):
    features, index, folds = data
    monkeypatch.setattr(linear_probe, "PENALTIES", (3.0,))
    ours = out_of_sample(features, torch.nn.functional.one_hot(index, 3).float(), folds, link="softmax")
    for fold in range(4):
        learned = (folds != fold).numpy()
        inputs = _standardised(features)
        theirs = LogisticRegression(C=1 / 3, tol=1e-8, max_iter=1_000).fit(inputs[learned], index.numpy()[learned])
        expected = theirs.predict_log_proba(inputs[~learned])
        found = ours.logits[folds == fold].log_softmax(1).numpy()
        np.testing.assert_allclose(found, expected, atol=5e-3)


def test_sigmoid_probe_equals_scikit_learn_and_passes_over_what_is_not_known(data, monkeypatch: pytest.MonkeyPatch):
    features, index, folds = data
    monkeypatch.setattr(linear_probe, "PENALTIES", (3.0,))
    targets = torch.stack(((index == 0).float(), (index < 2).float()), 1)
    targets[:20, 1] = torch.nan
    ours = out_of_sample(features, targets, folds, link="sigmoid")
    learned = (folds != 0).numpy()
    inputs = _standardised(features)
    theirs = LogisticRegression(C=1 / 3, tol=1e-8, max_iter=1_000).fit(inputs[learned], targets[:, 0].numpy()[learned])
    np.testing.assert_allclose(ours.logits[folds == 0][:, 0].numpy(), theirs.decision_function(inputs[~learned]),
                               atol=5e-3)
    known = (folds != 0).numpy() & ~np.isnan(targets[:, 1].numpy())
    theirs = LogisticRegression(C=1 / 3, tol=1e-8, max_iter=1_000).fit(inputs[known], targets[:, 1].numpy()[known])
    # The penalty counts per known label there and per picture here, which have a few more.
    agree = np.sign(ours.logits[folds == 0][:, 1].numpy()) == np.sign(theirs.decision_function(inputs[~learned]))
    assert agree.mean() > 0.9


def test_the_penalty_is_that_of_the_least_loss_on_what_was_held_out(data, monkeypatch: pytest.MonkeyPatch):
    features, index, folds = data
    targets = torch.nn.functional.one_hot(index, 3).float()
    chosen = out_of_sample(features.half(), targets, folds, link="softmax")
    losses = {}
    for penalty in linear_probe.PENALTIES:
        monkeypatch.setattr(linear_probe, "PENALTIES", (penalty,))
        losses[penalty] = held_out_loss(out_of_sample(features.half(), targets, folds, link="softmax").logits, targets,
                                        link="softmax")
    assert chosen.penalty == min(losses, key=lambda penalty: losses[penalty])
    assert held_out_loss(chosen.logits, targets, link="softmax") == pytest.approx(min(losses.values()), rel=1e-2)


def test_a_picture_is_not_learned_from_in_its_own_fold():
    """Pure noise is learned by heart where it is seen, and told no better than by chance where it is not."""
    draw = torch.Generator().manual_seed(1)
    features, index = torch.randn(60, 200, generator=draw), torch.arange(60) % 2
    targets = torch.nn.functional.one_hot(index, 2).float()
    logits = out_of_sample(features, targets, torch.arange(60) // 2 % 5, link="softmax").logits
    assert (logits.argmax(1) == index).float().mean() < 0.75
