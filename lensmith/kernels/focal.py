"""The focal cost of yes-or-no questions with a backward of its own: `lensmith::sigmoid_focal_loss`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op
from torch.nn import functional as F

_PART = 1 << 16    # elements for each thread to work on at a time, so that what is made of them stays in its core's
                   # cache; PyTorch starts another thread from 2 ** 15 on. Measured by benchmarks/kernels.py
_LEAST = 1e-6      # of the plain form's factor: autograd's slope of x ** gamma is infinite at 0 where gamma is below 1


def focal_costs(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
                weights: Tensor | None = None) -> Tensor:
    """The cost of each of `logits` [..., k] against `targets` [..., k] in 0..1; where a target is NaN it is 0.

    target * (1 - p) ** gamma * -log p + (1 - target) * p ** gamma * -log(1 - p), with p the sigmoid of the logit
    (Lin et al. 2017, arXiv 1708.02002). `alpha` multiplies the first part and 1 - alpha the second; `weights` [k]
    multiply the first. `gamma` is 0 or more. -> [..., k] in float32, or float64 where the logits are.

    Only logits and targets are kept for the backward; targets and weights have no gradient. This is the operator
    `lensmith::sigmoid_focal_loss` where something is compiled or exported, and the same without it elsewhere: the first
    call of an operator written in Python imports PyTorch's compiler, which takes as long as PyTorch itself.
    """
    form = sigmoid_focal_loss if torch.compiler.is_compiling() else _Eager.apply
    return form(logits, targets, gamma, alpha, weights)


def _loss(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
          weights: Tensor | None = None) -> Tensor:
    if logits.shape != targets.shape:
        raise ValueError(f"logits of {list(logits.shape)} and targets of {list(targets.shape)} do not pair")
    return _in_parts(partial(_costs, gamma=gamma, alpha=alpha, weights=weights), logits, targets, dtype=_wide(logits))


def _gradient(gradient: Tensor, logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
              weights: Tensor | None = None) -> Tensor:
    """From the gradient of the costs [..., k], that of the logits: [..., k] in their dtype."""
    return _in_parts(partial(_gradients, gamma=gamma, alpha=alpha, weights=weights), gradient, logits, targets,
                     dtype=logits.dtype)


def plain_sigmoid_focal_loss(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
                             weights: Tensor | None = None) -> Tensor:
    """As `focal_costs`, its gradient left to autograd: the oracle."""
    logits, known = logits.to(_wide(logits)), ~targets.isnan()
    goal = torch.where(known, targets, 0.0)
    here, absent = -F.logsigmoid(logits), -F.logsigmoid(-logits)    # -log p, -log(1 - p)
    if gamma:
        here, absent = (cost * (-torch.expm1(-cost)).clamp(min=_LEAST) ** gamma for cost in (here, absent))
    if weights is not None:
        here = here * weights
    if alpha is not None:
        here, absent = alpha * here, (1 - alpha) * absent
    return (goal * here + (1 - goal) * absent) * known


def _costs(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
           weights: Tensor | None = None) -> Tensor:
    logits = logits.to(_wide(logits))
    chance, here = logits.sigmoid(), -F.logsigmoid(logits)
    present, absent = (1 - chance) ** gamma * here, chance**gamma * (here + logits)
    return _weighed(present, absent, targets, alpha, weights).contiguous()


def _gradients(gradient: Tensor, logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
               weights: Tensor | None = None) -> Tensor:
    """The derivatives of both parts written out: that of p is p (1 - p), that of -log p is -(1 - p)."""
    kind, logits = logits.dtype, logits.to(_wide(logits))
    chance, here = logits.sigmoid(), -F.logsigmoid(logits)
    rest = 1 - chance
    present = rest**gamma * (-rest - gamma * chance * here)
    absent = chance**gamma * (chance + gamma * rest * (here + logits))
    return (gradient * _weighed(present, absent, targets, alpha, weights)).to(kind).contiguous()


def _weighed(present: Tensor, absent: Tensor, targets: Tensor, alpha: float | None, weights: Tensor | None) -> Tensor:
    if weights is not None:
        present = present * weights
    if alpha is not None:
        present, absent = alpha * present, (1 - alpha) * absent
    return torch.lerp(absent, present, targets.to(absent.dtype)).masked_fill(targets.isnan(), 0.0)


def _in_parts(formula: Callable[..., Tensor], *whole: Tensor, dtype: torch.dtype) -> Tensor:
    first, part = whole[0], _PART * torch.get_num_threads()
    if first.device.type != "cpu" or first.numel() <= part:
        return formula(*whole)
    made, width = torch.empty(first.shape, dtype=dtype), first.shape[-1]
    parts = (tensor.reshape(-1, width).split(max(1, part // width)) for tensor in (made, *whole))
    for filled, *given in zip(*parts, strict=True):
        filled.copy_(formula(*given))
    return made


def _wide(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, targets, ctx.gamma, ctx.alpha, weights = inputs
    if any(ctx.needs_input_grad[1:]):
        raise NotImplementedError("a focal cost has a gradient for its logits alone: detach targets and weights")
    ctx.save_for_backward(logits, targets, weights)


def _backward(ctx: Any, gradient: Tensor, form: Callable[..., Tensor]) -> tuple[Tensor | None, ...]:
    logits, targets, weights = ctx.saved_tensors
    if torch.is_grad_enabled():
        form = _gradients    # a gradient of the gradient is wanted: autograd has to see the formula
    return form(gradient, logits, targets, ctx.gamma, ctx.alpha, weights), None, None, None, None


class _Eager(torch.autograd.Function):
    """The operator without the dispatcher."""

    forward, setup_context = staticmethod(_loss), staticmethod(_keep)
    backward = staticmethod(partial(_backward, form=_gradient))


sigmoid_focal_loss = custom_op("lensmith::sigmoid_focal_loss", _loss, mutates_args=(), device_types="cpu")
sigmoid_focal_gradient = custom_op("lensmith::sigmoid_focal_gradient", _gradient, mutates_args=(), device_types="cpu")
sigmoid_focal_loss.register_kernel(("cuda", "mps"), _loss)
sigmoid_focal_gradient.register_kernel(("cuda", "mps"), _gradient)
sigmoid_focal_loss.register_fake(
    lambda logits, *_: torch.empty(logits.shape, dtype=_wide(logits), device=logits.device))
sigmoid_focal_gradient.register_fake(
    lambda gradient, logits, *_: torch.empty(logits.shape, dtype=logits.dtype, device=logits.device))
sigmoid_focal_loss.register_autograd(partial(_backward, form=sigmoid_focal_gradient), setup_context=_keep)
