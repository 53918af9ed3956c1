"""Losses of whole pictures: cross entropy over classes and over tags, and the distance of numbers."""

import json
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import UserError, in_short, listed
from lensmith.kernels.focal import focal_costs
from lensmith.values.labels import UNKNOWN, Label

Distance = Literal["squared", "absolute", "huber"]
_LEAST = 1e-6    # of 1 - p in a focal loss: the slope of x ** gamma is infinite at 0 where gamma is below 1


def class_entropy(logits: Tensor, truth: Label, *, weights: Tensor | None = None, smoothing: float = 0.0,
                  focal: float = 0.0) -> Tensor:
    """The cross entropy of `logits` [batch, classes], a float32 scalar:

        - sum_nk w_k q_nk (1 - p_nk)^focal log p_nk / N,    q = (1 - smoothing) y + smoothing / classes

    with p the softmax, w the `weights`, and y the truth: one class, or the fractions of a blended picture. As in
    torch.nn.functional.cross_entropy, N is the sum of the weights of the true classes; of fractions it is the number of
    pictures. A picture without a label costs nothing, and where none has one the result is 0 with its graph kept.
    `focal` is the gamma of Lin et al. 2017, "Focal loss for dense object detection" (arXiv 1708.02002).
    """
    logits, classes = logits.float(), logits.shape[1]
    if weights is not None:
        weights = weights.to(logits.device)
    known = truth.index != UNKNOWN
    index = truth.index.clamp(min=0)
    if truth.scores is not None:
        total = truth.scores.sum()
    else:
        total = known.sum() if weights is None else (weights[index] * known).sum()
        if not focal:
            entropy = F.cross_entropy(logits, truth.index, weights, ignore_index=UNKNOWN, label_smoothing=smoothing,
                                      reduction="sum")
            return entropy / _or_one(total)
    fractions = truth.scores if truth.scores is not None else F.one_hot(index, classes) * known[:, None]
    targets = fractions * (1 - smoothing) + fractions.sum(1, keepdim=True) * (smoothing / classes)
    log_probabilities = logits.log_softmax(1)
    if weights is not None:
        targets = targets * weights
    if focal:
        targets = targets * (-torch.expm1(log_probabilities)).clamp(min=_LEAST) ** focal
    return -(targets * log_probabilities).sum() / _or_one(total)


def tag_entropy(logits: Tensor, present: Tensor, *, weights: Tensor | None = None, focal: float = 0.0) -> Tensor:
    """The mean binary cross entropy of `logits` [batch, tags] over the tags that are known, a scalar:

        - w_k y log p - (1 - y) log(1 - p)

    with p the sigmoid and y = `present`, 0 .. 1, NaN where it is not known. The `weights` w [tags] multiply the cost of
    a present tag, as pos_weight does in torch. `focal` is as in `class_entropy`.
    """
    known = ~present.isnan()
    if weights is not None:
        weights = weights.to(logits.device)
    if focal:
        return focal_costs(logits, present, focal, weights=weights).sum() / _or_one(known.sum())
    logits = logits.float()
    targets = torch.where(known, present, 0.0)
    if_present, if_absent = -F.logsigmoid(logits), -F.logsigmoid(-logits)    # -log p, -log (1 - p)
    if weights is not None:
        if_present = if_present * weights
    return ((targets * if_present + (1 - targets) * if_absent) * known).sum() / _or_one(known.sum())


def distance(outputs: Tensor, targets: Tensor, *, kind: Distance = "squared", delta: float = 1.0) -> Tensor:
    """The mean distance of two [batch, quantities], a scalar; a target that is NaN costs nothing.

    With e = output - target it is e^2 ("squared"), |e| ("absolute"), or ("huber", Huber 1964) e^2 / 2 up to |e| = delta
    and delta * (|e| - delta / 2) beyond.
    """
    known = ~targets.isnan()
    targets = torch.where(known, targets, 0.0)
    if kind == "squared":
        costs = F.mse_loss(outputs.float(), targets, reduction="none")
    elif kind == "absolute":
        costs = F.l1_loss(outputs.float(), targets, reduction="none")
    else:
        costs = F.huber_loss(outputs.float(), targets, reduction="none", delta=delta)
    return (costs * known).sum() / _or_one(known.sum())


def balanced_weights(counts: Tensor) -> Tensor:
    """float32 [classes]: w_k = n / (K n_k) of the `counts` n_k, with n their sum and K the number of classes that
    occur, so that the mean weight of a sample is 1. A class that never occurs weighs 1, since with smoothing it still
    has a cost.
    """
    occurs = counts > 0
    weights = counts.sum() / (occurs.sum().clamp(min=1) * counts.clamp(min=1))
    return torch.where(occurs, weights, 1.0).float()


def root_weights(counts: Tensor) -> Tensor:
    """float32 [classes]: weights in proportion to 1 / sqrt(n_k), half way between equal and balanced ones; the mean
    weight of a sample is 1, and that of a class that never occurs too."""
    occurs = counts > 0
    roots = counts.double().sqrt()
    weights = counts.sum() / (roots.sum().clamp(min=1) * roots.clamp(min=1))
    return torch.where(occurs, weights, 1.0).float()


def check_focal(focal: float) -> None:
    """Raises UserError for a gamma of the focal loss that is out of its range."""
    if not 0 <= focal < float("inf"):
        raise UserError(f"task.focal must be 0 (off) or more; got {focal}. Usual is 2.0")


def given_weights(weights: str | list[float] | None, names: tuple[str, ...], noun: str,
                  words: Sequence[str] = ("balanced",)) -> Tensor | None:
    """float32 [classes]: task.class_weights where it is a list, else None.

    `names` are those of the classes, `noun` is what one of them is called, and `words` stand for weights that are
    counted. Raises UserError for a list that does
    not fit.
    """
    if weights is None or weights in words:
        return None
    if isinstance(weights, str):
        raise UserError(f"task.class_weights must be {' or '.join(map(json.dumps, words))} or a list of numbers; got "
                        f"{weights!r}")
    if len(weights) != len(names):
        raise UserError(f"task.class_weights has {len(weights)} numbers, but there are {len(names)}: give one a "
                        f"{noun}, in the order {listed(names)}")
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise UserError(f"task.class_weights must be numbers of 0 or more, not all of them 0; got {in_short(weights)}")
    return torch.tensor(weights, dtype=torch.float32)


def unweighted(noun: str) -> UserError:
    """The error of a loss that is to be balanced and has no training targets to count."""
    return UserError(f"class_weights = \"balanced\" counts the training {noun}, and none were given: "
                     "build the task with targets=..., or set task.class_weights to a list of numbers")


def _or_one(total: Tensor) -> Tensor:
    """The divisor of a sum, or 1 where nothing was summed: 0 / 0 would put NaN into every weight of the network."""
    return total + (total == 0)
