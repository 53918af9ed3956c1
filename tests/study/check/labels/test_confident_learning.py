"""Confident learning against cleanlab on the same probabilities, and on planted flips."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from lensmith.study.check.labels.confident_learning import (
    calibrated,
    class_thresholds,
    confident_joint,
    expected_mistakes,
    log_loss,
    pruned_by_noise_rate,
    rank_labels,
    softmax,
)


def flipped(number: int = 4_000, classes: int = 6, fraction: float = 0.05,
            seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(labels, logits, which labels are wrong). Classes 0 and 1 look alike, so that a network confuses them."""
    draw = np.random.default_rng(seed)
    true = draw.integers(0, classes, number)
    logits = draw.normal(0, 1, (number, classes)).astype(np.float32)
    logits[np.arange(number), true] += 6
    alike = true < 2
    logits[alike, :2] = draw.normal(4, 1.2, (int(alike.sum()), 2))
    logits[alike, true[alike]] += 1.5
    wrong = draw.random(number) < fraction
    labels = np.where(wrong, (true + draw.integers(1, classes, number)) % classes, true)
    return labels, logits, wrong


def test_thresholds_and_joint_are_those_of_cleanlab():
    from cleanlab.count import compute_confident_joint, get_confident_thresholds

    labels, logits, _ = flipped()
    probabilities = softmax(logits)
    np.testing.assert_allclose(class_thresholds(labels, probabilities), get_confident_thresholds(labels, probabilities),
                               rtol=1e-5)
    joint = confident_joint(labels, probabilities)
    theirs = compute_confident_joint(labels, probabilities, calibrate=True)
    assert np.abs(joint - theirs).max() <= 1    # theirs are whole numbers
    np.testing.assert_allclose(joint.sum(1), np.bincount(labels))


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.3])
def test_pruning_by_noise_rate_is_that_of_cleanlab(fraction: float):
    from cleanlab.filter import find_label_issues

    labels, logits, _ = flipped(fraction=fraction)
    probabilities = softmax(logits)
    ours = pruned_by_noise_rate(labels, probabilities)
    theirs = find_label_issues(labels, probabilities, filter_by="prune_by_noise_rate", n_jobs=1)
    # cleanlab rounds the joint so that its rows keep their sums, which moves single pictures.
    assert (ours & theirs).sum() >= 0.97 * (ours | theirs).sum()


def test_likely_mistakes_are_never_below_cleanlab_on_the_same_probabilities():
    from cleanlab.filter import find_label_issues

    labels, logits, wrong = flipped()
    probabilities = softmax(logits)
    ranking = rank_labels(labels, probabilities)
    ours = ranking.rows[: ranking.likely]
    theirs = find_label_issues(labels, probabilities, n_jobs=1)
    assert wrong[ours].sum() >= 0.8 * wrong.sum() and wrong[ours].mean() >= 0.7
    assert wrong[ours].mean() >= wrong[theirs].mean()
    same_number = ranking.rows[: theirs.sum()]
    assert wrong[same_number].sum() >= wrong[theirs].sum()


def test_the_ranking_names_what_is_given_and_suggested_the_most_suspicious_first():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.02, 0.08, 0.9], [0.3, 0.6, 0.1]] * 12)
    labels = np.array([0, 1, 2, 1] * 12)
    labels[2] = 0    # the picture is surely of class 2
    ranking = rank_labels(labels, probabilities)
    assert ranking.rows.tolist() == [2] and ranking.likely == 1
    assert (ranking.given[0], ranking.suggested[0], ranking.scores[0]) == (0, 2, 0.02)


def test_right_labels_give_an_empty_ranking():
    labels = np.arange(60) % 3
    ranking = rank_labels(labels, np.eye(3)[labels] * 0.97 + 0.01)
    assert len(ranking.rows) == 0 and ranking.likely == 0


def test_the_expected_number_does_not_count_classes_that_look_alike():
    labels, logits, wrong = flipped(number=20_000)
    expected, joint = expected_mistakes(labels, softmax(logits)), confident_joint(labels, softmax(logits))
    assert abs(expected - wrong.sum()) <= 0.2 * wrong.sum()
    assert joint.sum() - joint.trace() > 1.5 * wrong.sum()    # as the paper estimates it
    labels, logits, _ = flipped(number=20_000, fraction=0)
    joint = confident_joint(labels, softmax(logits))
    assert expected_mistakes(labels, softmax(logits)) < 0.5 * (joint.sum() - joint.trace())


def test_a_class_that_no_label_names_is_no_threshold():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    assert np.isinf(class_thresholds(np.array([0, 1]), probabilities)[2])
    assert confident_joint(np.array([0, 1]), probabilities)[2].sum() == 0


def test_calibration_takes_the_temperature_of_the_least_loss():
    labels, logits, _ = flipped()
    best = minimize_scalar(lambda temperature: log_loss(labels, logits / temperature), bounds=(0.1, 10),
                           method="bounded")
    scaled = calibrated(labels, logits * 3)
    loss = -np.log(scaled[np.arange(len(labels)), labels]).mean()
    assert loss <= best.fun * 1.005
