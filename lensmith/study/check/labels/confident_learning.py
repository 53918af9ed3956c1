"""Confident learning: which labels are likely wrong, told from out-of-sample probabilities (Northcutt et al. 2021).

The names are those of the paper, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, arXiv
1911.00068. `labels` are int64 [n], all known; `probabilities` float [n, classes], of a network that never learned from
the picture that it is asked about.
"""

from dataclasses import dataclass

import numpy as np

_SUREST = 0.25         # the fraction of the pictures called a class in which a contradicting label counts as a mistake
_LEAST_SUREST = 100    # and at least so many, where there are: mistakes are counted among them
_TEMPERATURES = np.geomspace(0.1, 10, 41)    # each an eighth more than the one before
_AT_ONCE = 1 << 22     # probabilities that are held again at a time


@dataclass(frozen=True)
class Ranking:
    """Labels that may be wrong, the most suspicious one first."""

    rows: np.ndarray         # int64 [k]
    given: np.ndarray        # int64 [k]: the class that the label names
    suggested: np.ndarray    # int64 [k]: the likeliest class of the others
    scores: np.ndarray       # float [k]: the self-confidence, the probability of the given class; low is suspicious
    likely: int              # so many of the first are more likely wrong than not; the others are worth a look


def rank_labels(labels: np.ndarray, probabilities: np.ndarray) -> Ranking:
    """The labels by their self-confidence, as far as one of two estimates says that there are mistakes. The normalised
    margin, which the paper ranks by too, puts pictures between two classes before flipped labels.

    That of the paper, `pruned_by_noise_rate`, takes what a network confuses by itself, as shirts and T-shirts, for
    mistakes of the labels. `expected_mistakes` does not, and says how many are `likely`.
    """
    own = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(own, kind="stable")
    order = order[probabilities.argmax(1)[order] != labels[order]]
    likely = min(len(order), expected_mistakes(labels, probabilities))
    pruned = pruned_by_noise_rate(labels, probabilities)[order]
    pruned[:likely] = True
    rows = order[pruned]
    return Ranking(rows, labels[rows], _likeliest_others(labels[rows], probabilities[rows]), own[rows], likely)


def expected_mistakes(labels: np.ndarray, probabilities: np.ndarray) -> int:
    """How many labels are wrong, from the pictures of which the network is surest.

    Of the pictures that it calls a class, the surest quarter is clear, so that a label which says otherwise is a
    mistake. That there are as many mistakes among the less clear ones is an estimate from below, since who labels errs
    there too.
    """
    called = probabilities.argmax(1)
    expected = 0.0
    for number in range(probabilities.shape[1]):
        rows = np.flatnonzero(called == number)
        surest = min(len(rows), max(_LEAST_SUREST, round(_SUREST * len(rows))))
        if surest:
            clear = rows[np.argsort(-probabilities[rows, number], kind="stable")[:surest]]
            expected += len(rows) * float((labels[clear] != number).mean())
    return round(expected)


def class_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """float64 [classes]: the mean probability of a class among the samples that are labelled so: from it on a sample
    counts as confidently of that class. Infinite for a class that no sample has."""
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = probabilities[np.arange(len(labels)), labels]
    totals = np.bincount(labels, weights=own, minlength=classes)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.inf)


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """float64 [classes, classes]: an estimate of how many samples with label i are truly of class j.

    Counted are the samples whose probability of a class reaches that class's threshold, under the likeliest of these
    classes. Each row is then scaled to the number of samples with that label.
    """
    classes = probabilities.shape[1]
    thresholds = class_thresholds(labels, probabilities).astype(probabilities.dtype)
    counted = np.zeros((classes, classes))
    step = max(1, _AT_ONCE // classes)
    for start in range(0, len(labels), step):
        some = probabilities[start : start + step]
        confident = np.where(some >= thresholds, some, -1)
        likeliest = confident.argmax(1)
        reached = confident[np.arange(len(some)), likeliest] >= 0
        np.add.at(counted, (labels[start : start + step][reached], likeliest[reached]), 1)
    # A label that nothing speaks for is not thereby wrong.
    counted[np.diag_indices(classes)] = np.maximum(counted.diagonal(), 1)
    totals = np.bincount(labels, minlength=classes)
    return counted / counted.sum(1, keepdims=True) * totals[:, None]


def pruned_by_noise_rate(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """bool [n]: of the samples with label i, for each other class j, those with the largest margins p_j - p_i: as many
    as the confident joint says are truly of j. A label that is the likeliest class itself is never taken out."""
    numbers = np.rint(confident_joint(labels, probabilities)).astype(np.int64)
    np.fill_diagonal(numbers, 0)
    pruned = np.zeros(len(labels), dtype=bool)
    for given in np.flatnonzero(numbers.any(1)):
        rows = np.flatnonzero(labels == given)
        own = probabilities[rows, given]
        for other in np.flatnonzero(numbers[given]):
            margins = probabilities[rows, other] - own
            pruned[rows[np.argsort(-margins, kind="stable")[: numbers[given, other]]]] = True
    return pruned & (probabilities.argmax(1) != labels)


def _likeliest_others(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """int64 [n]: the likeliest class but the label's."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    return others.argmax(1)


def calibrated(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """float [n, classes]: the softmax of the logits divided by the temperature under which the labels are likeliest
    (Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599)."""
    losses = [log_loss(labels, logits / np.float32(temperature)) for temperature in _TEMPERATURES]
    return softmax(logits / np.float32(_TEMPERATURES[int(np.argmin(losses))]))


def log_loss(labels: np.ndarray, logits: np.ndarray) -> float:
    """The mean of -log p of the labels."""
    highest = logits.max(1)
    totals = np.log(np.exp(logits - highest[:, None]).sum(1)) + highest
    return float((totals - logits[np.arange(len(labels)), labels]).mean(dtype=np.float64))


def softmax(logits: np.ndarray) -> np.ndarray:
    """float [n, classes]: probabilities that sum to 1."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(1, keepdims=True)
    return probabilities
