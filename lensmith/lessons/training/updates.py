"""What an optimizer does to one weight, computed again from its formula, number by number."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Moments = Mapping[str, float]    # what the optimizer remembers of the weight, by PyTorch's names; empty before a step


@dataclass(frozen=True)
class WeightUpdate:
    """The weight after the step as the formula gives it, and the way to it."""

    after: float                 # in float64
    lines: tuple[str, ...]       # `v = 0.9 * 0.01 + 0.02 = 0.029`


def explain_update(optimizer: str, weight: float, gradient: float, group: Mapping[str, Any],
                   moments: Moments) -> WeightUpdate | None:
    """The update by the formulas of `engine/optimize.py`; None for an optimizer that moves whole matrices at once.

    optimizer: the name of PyTorch's class.
    weight, gradient: before the step.
    group: the settings of the weight's parameter group, its rate as it is in this step.
    moments: before the step.
    """
    rule = UPDATES.get(optimizer)
    return None if rule is None else rule(weight, gradient, group, moments)


def number(value: float) -> str:
    """A number with as many digits as float32 holds."""
    return f"{value:.7g}"


def _sgd(weight: float, gradient: float, group: Mapping[str, Any], moments: Moments) -> WeightUpdate:
    rate, decay, momentum = group["lr"], group["weight_decay"], group["momentum"]
    slope, lines = gradient, [f"g = {number(gradient)}, the gradient"]
    if decay:
        slope = gradient + decay * weight
        lines.append(f"g = {number(gradient)} + {decay:g} * {number(weight)} = {number(slope)}, the decay added")
    step = slope
    if momentum:
        before = moments.get("momentum_buffer", 0.0)
        velocity = momentum * before + slope
        lines.append(f"v = {momentum:g} * {number(before)} + {number(slope)} = {number(velocity)}, the momentum")
        step = velocity
        if group["nesterov"]:
            step = slope + momentum * velocity
            lines.append(f"step = {number(slope)} + {momentum:g} * {number(velocity)} = {number(step)}, a look ahead "
                         "(Nesterov)")
    after = weight - rate * step
    return WeightUpdate(after, (*lines, _moved(weight, rate, step, after)))


def _adam(weight: float, gradient: float, group: Mapping[str, Any], moments: Moments) -> WeightUpdate:
    decay = group["weight_decay"]
    lines = [f"g = {number(gradient)}, the gradient"]
    if decay:
        added = gradient + decay * weight
        lines.append(f"g = {number(gradient)} + {decay:g} * {number(weight)} = {number(added)}, the decay added")
        gradient = added
    return _by_moments(weight, gradient, group, moments, lines)


def _adamw(weight: float, gradient: float, group: Mapping[str, Any], moments: Moments) -> WeightUpdate:
    rate, decay = group["lr"], group["weight_decay"]
    lines = [f"g = {number(gradient)}, the gradient"]
    if decay:
        shrunk = (1 - rate * decay) * weight
        lines.append(f"w = (1 - {rate:g} * {decay:g}) * {number(weight)} = {number(shrunk)}, the decay, apart from the "
                     "gradient")
        weight = shrunk
    return _by_moments(weight, gradient, group, moments, lines)


def _by_moments(weight: float, gradient: float, group: Mapping[str, Any], moments: Moments,
                lines: list[str]) -> WeightUpdate:
    """The part that Adam and AdamW have in common."""
    rate, (beta1, beta2), epsilon = group["lr"], group["betas"], group["eps"]
    steps = moments.get("step", 0.0) + 1
    mean_before, square_before = moments.get("exp_avg", 0.0), moments.get("exp_avg_sq", 0.0)
    mean = beta1 * mean_before + (1 - beta1) * gradient
    square = beta2 * square_before + (1 - beta2) * gradient**2
    unbiased, size = mean / (1 - beta1**steps), math.sqrt(square / (1 - beta2**steps))
    step = unbiased / (size + epsilon)
    after = weight - rate * step
    return WeightUpdate(after, (
        *lines,
        f"m = {beta1:g} * {number(mean_before)} + {1 - beta1:.4g} * {number(gradient)} = {number(mean)}, the mean of "
        "the gradients",
        f"v = {beta2:g} * {number(square_before)} + {1 - beta2:.4g} * {number(gradient)}^2 = {number(square)}, the "
        "mean of their squares",
        f"step = {number(unbiased)} / ({number(size)} + {epsilon:g}) = {number(step)}, both without the bias of their "
        f"beginning at 0 (step {steps:.0f})", _moved(weight, rate, step, after)))


def _moved(weight: float, rate: float, step: float, after: float) -> str:
    return f"w = {number(weight)} - {rate:.6g} * {number(step)} = {number(after)}"


UPDATES: dict[str, Callable[[float, float, Mapping[str, Any], Moments], WeightUpdate]] = {
    "SGD": _sgd, "Adam": _adam, "AdamW": _adamw}
