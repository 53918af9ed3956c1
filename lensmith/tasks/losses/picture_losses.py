"""What wrong answers cost: cross entropy over classes and over tags, and the distance of numbers."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.kernels.focal import focal_costs
from lensmith.values.labels import UNKNOWN, Label

Distance = Literal["squared", "absolute", "huber"]
_LEAST = 1e-6    # of a focal factor's base: the slope of x ** gamma is infinite at 0 where gamma is below 1


def class_entropy(logits: Tensor, truth: Label, *, weights: Tensor | None = None, smoothing: float = 0.0,
                  focal: float = 0.0) -> Tensor:
    """The mean cross entropy of `logits` [batch, classes]; a scalar in float32.

    As torch.nn.functional.cross_entropy weighs it: by the weights of the true classes where the truth is one class
    a picture, by the number of pictures where it is shares. A picture without a label costs nothing, and where none
    has one the result is 0 with its graph kept. `focal` is the gamma of Lin et al. 2017 (arXiv 1708.02002).
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
    share = truth.scores if truth.scores is not None else F.one_hot(index, classes) * known[:, None]
    goal = share * (1 - smoothing) + share.sum(1, keepdim=True) * (smoothing / classes)
    log_chance = logits.log_softmax(1)
    if weights is not None:
        goal = goal * weights
    if focal:
        goal = goal * (-torch.expm1(log_chance)).clamp(min=_LEAST) ** focal
    return -(goal * log_chance).sum() / _or_one(total)


def tag_entropy(logits: Tensor, present: Tensor, *, weights: Tensor | None = None, focal: float = 0.0) -> Tensor:
    """The mean binary cross entropy of `logits` [batch, tags] against `present` (0..1; NaN costs nothing).

    `weights` [tags] multiply the cost of a present tag, as pos_weight does in torch. `focal` as in `class_entropy`.
    """
    known = ~present.isnan()
    if weights is not None:
        weights = weights.to(logits.device)
    if focal:
        return focal_costs(logits, present, focal, weights=weights).sum() / _or_one(known.sum())
    logits = logits.float()
    goal = torch.where(known, present, 0.0)
    here, absent = -F.logsigmoid(logits), -F.logsigmoid(-logits)    # -log p, -log (1 - p)
    if weights is not None:
        here = here * weights
    return ((goal * here + (1 - goal) * absent) * known).sum() / _or_one(known.sum())


def distance(found: Tensor, goal: Tensor, *, kind: Distance = "squared", delta: float = 1.0) -> Tensor:
    """The mean distance between two [batch, quantities]; where `goal` is NaN nothing is costed.

    `huber` is squared (halved) up to `delta` and straight beyond it (Huber 1964).
    """
    known = ~goal.isnan()
    goal = torch.where(known, goal, 0.0)
    if kind == "squared":
        each = F.mse_loss(found.float(), goal, reduction="none")
    elif kind == "absolute":
        each = F.l1_loss(found.float(), goal, reduction="none")
    else:
        each = F.huber_loss(found.float(), goal, reduction="none", delta=delta)
    return (each * known).sum() / _or_one(known.sum())


def balanced_weights(counts: Tensor) -> Tensor:
    """float32 [classes]: samples / (classes met * samples of the class), so that the mean weight of a sample is 1.

    A class that was never met weighs 1: with smoothing it still takes part.
    """
    met = counts > 0
    weights = counts.sum() / (met.sum().clamp(min=1) * counts.clamp(min=1))
    return torch.where(met, weights, 1.0).float()


def check_focal(focal: float) -> None:
    """Raises UserError for a gamma that cannot be meant."""
    if not 0 <= focal < float("inf"):
        raise UserError(f"task.focal must be 0 (off) or more; got {focal}. Usual is 2.0")


def given_weights(weights: Literal["balanced"] | list[float] | None, names: tuple[str, ...],
                  noun: str) -> Tensor | None:
    """float32 [classes] of a list in the recipe; None where there is none. Raises UserError."""
    if weights is None or weights == "balanced":
        return None
    if isinstance(weights, str):
        raise UserError(f"task.class_weights must be \"balanced\" or a list of numbers; got {weights!r}")
    if len(weights) != len(names):
        raise UserError(f"task.class_weights has {len(weights)} numbers, but there are {len(names)}: give one a "
                        f"{noun}, in the order {', '.join(names)}")
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise UserError(f"task.class_weights must be numbers of 0 or more, not all of them 0; got {weights}")
    return torch.tensor(weights, dtype=torch.float32)


def unweighted(noun: str) -> UserError:
    """The error of a loss that was to be balanced without anything to count."""
    return UserError(f"class_weights = \"balanced\" counts the training {noun}, and none were given: "
                     "build the task with targets=..., or set task.class_weights to a list of numbers")


def _or_one(total: Tensor) -> Tensor:
    """The divisor of a sum, 1 where nothing was summed: 0 / 0 would put NaN into every weight."""
    return total + (total == 0)
