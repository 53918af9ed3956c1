"""Losses beside each other: what each costs and how hard it pulls, computed by the losses of the tasks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.tasks.losses.picture_losses import class_entropy, distance
from lensmith.values.labels import Label

CLASSES = 10
Curve = tuple[tuple[float, float], ...]
# Of classes: the name, what computes it, and the settings of a recipe that choose it; None: no task has it.
_TRUTH = 0


def _squared(logits: Tensor) -> Tensor:
    truth = F.one_hot(torch.full((len(logits),), _TRUTH), CLASSES).to(logits)
    return distance(logits.softmax(1), truth.float()) * CLASSES    # the sum over the classes, of one picture


def _entropy(*, smoothing: float = 0.0, focal: float = 0.0) -> Callable[[Tensor], Tensor]:
    return lambda logits: class_entropy(logits, Label(torch.full((len(logits),), _TRUTH)), smoothing=smoothing,
                                        focal=focal)


CLASS_LOSSES: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, Any] | None]] = {
    "cross entropy": (_entropy(), {}),
    "label smoothing 0.1": (_entropy(smoothing=0.1), {"task.smoothing": 0.1}),
    "focal 2": (_entropy(focal=2.0), {"task.focal": 2.0}),
    "squared error": (_squared, None),
}
NUMBER_LOSSES = {"squared": {"kind": "squared"}, "absolute": {"kind": "absolute"}, "huber": {"kind": "huber"}}


@dataclass(frozen=True)
class LossCurves:
    """One loss of a single picture."""

    costs: Curve    # over the probability of the true class, or over the error
    pulls: Curve    # minus the derivative by the true class's logit, or the derivative by the output


def class_loss_curves() -> Mapping[str, LossCurves]:
    """The losses of classes over the probability of the true one of ten, the others equally likely."""
    return {name: _over_probability(loss) for name, (loss, _) in CLASS_LOSSES.items()}


def number_loss_curves() -> Mapping[str, LossCurves]:
    """The losses of numbers over the error, from -3 to 3."""
    return {name: _over_error(settings) for name, settings in NUMBER_LOSSES.items()}


def _over_probability(loss: Callable[[Tensor], Tensor]) -> LossCurves:
    costs, pulls = [], []
    for p in torch.linspace(0.005, 0.995, 100, dtype=torch.float64).tolist():
        logit = torch.tensor(p / (1 - p) * (CLASSES - 1)).log().requires_grad_()    # the other logits are 0
        cost = loss(torch.cat((logit[None], torch.zeros(CLASSES - 1)))[None])
        slope, = torch.autograd.grad(cost, logit)
        costs.append((p, cost.item()))
        pulls.append((p, -float(slope)))
    return LossCurves(tuple(costs), tuple(pulls))


def _over_error(settings: Mapping[str, Any]) -> LossCurves:
    costs, pulls = [], []
    for error in torch.linspace(-3, 3, 121).tolist():
        output = torch.tensor([[error]], requires_grad=True)
        cost = distance(output, torch.zeros(1, 1), **settings)
        slope, = torch.autograd.grad(cost, output)
        costs.append((error, cost.item()))
        pulls.append((error, float(slope)))
    return LossCurves(tuple(costs), tuple(pulls))
