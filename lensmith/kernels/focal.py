"""The focal loss of yes-or-no questions with a backward of its own: `lensmith::sigmoid_focal_loss`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op
from torch.nn import functional as F

# Each thread works on so many elements at a time, so that the intermediate results stay in its core's cache. PyTorch
# starts another thread from 2 ** 15 elements on. Measured by benchmarks/kernels.py.
_PART = 1 << 16
# The least of the plain form's factor: autograd's slope of x ** gamma is infinite at 0 where gamma is below 1.
_LEAST = 1e-6


def focal_costs(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
                weights: Tensor | None = None) -> Tensor:
    """The loss of each of `logits` [..., k] against `targets` [..., k] in 0..1; 0 where a target is NaN, not known.

    With p the sigmoid of the logit and t the target (Lin et al. 2017, arXiv 1708.02002):

        alpha w t (1 - p)^gamma (-log p)  +  (1 - alpha) (1 - t) p^gamma (-log(1 - p))

    `weights` [k] are w, 1 where there are none. Without `alpha` both factors are 1. `gamma` is 0 or more. -> [..., k]
    in float32, or in float64 where the logits are.

    Only logits and targets are kept for the backward; targets and weights have no gradient. Where something is compiled
    or exported this is the operator `lensmith::sigmoid_focal_loss`. Elsewhere it is the same without the dispatcher,
    since the first call of an operator written in Python imports PyTorch's compiler, which takes as long as importing
    PyTorch.
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
    """The gradient of the losses [..., k] -> that of the logits, [..., k] in their dtype."""
    return _in_parts(partial(_gradients, gamma=gamma, alpha=alpha, weights=weights), gradient, logits, targets,
                     dtype=logits.dtype)


def plain_sigmoid_focal_loss(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
                             weights: Tensor | None = None) -> Tensor:
    """As `focal_costs`, with its gradient left to autograd: what the other form is checked against."""
    logits, known = logits.to(_wide(logits)), ~targets.isnan()
    filled = torch.where(known, targets, 0.0)
    present, absent = -F.logsigmoid(logits), -F.logsigmoid(-logits)    # -log p, -log(1 - p)
    if gamma:    # 1 - p = 1 - exp(-(-log p)), and alike for the other
        present, absent = (loss * (-torch.expm1(-loss)).clamp(min=_LEAST) ** gamma for loss in (present, absent))
    if weights is not None:
        present = present * weights
    if alpha is not None:
        present, absent = alpha * present, (1 - alpha) * absent
    return (filled * present + (1 - filled) * absent) * known


def _costs(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
           weights: Tensor | None = None) -> Tensor:
    logits = logits.to(_wide(logits))
    p, minus_log_p = logits.sigmoid(), -F.logsigmoid(logits)
    # -log(1 - p) = -log p + logit
    present, absent = (1 - p) ** gamma * minus_log_p, p**gamma * (minus_log_p + logits)
    return _weighted(present, absent, targets, alpha, weights).contiguous()


def _gradients(gradient: Tensor, logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None,
               weights: Tensor | None = None) -> Tensor:
    """The derivatives of both terms by the logit, from p' = p (1 - p) and (-log p)' = -(1 - p)."""
    dtype, logits = logits.dtype, logits.to(_wide(logits))
    p, minus_log_p = logits.sigmoid(), -F.logsigmoid(logits)
    q = 1 - p
    present = q**gamma * (-q - gamma * p * minus_log_p)
    absent = p**gamma * (p + gamma * q * (minus_log_p + logits))
    return (gradient * _weighted(present, absent, targets, alpha, weights)).to(dtype).contiguous()


def _weighted(present: Tensor, absent: Tensor, targets: Tensor, alpha: float | None, weights: Tensor | None) -> Tensor:
    if weights is not None:
        present = present * weights
    if alpha is not None:
        present, absent = alpha * present, (1 - alpha) * absent
    return torch.lerp(absent, present, targets.to(absent.dtype)).masked_fill(targets.isnan(), 0.0)


def _in_parts(formula: Callable[..., Tensor], *whole: Tensor, dtype: torch.dtype) -> Tensor:
    """`formula(*whole)`, on the CPU computed in parts that fit into the cache."""
    first, part = whole[0], _PART * torch.get_num_threads()
    if first.device.type != "cpu" or first.numel() <= part:
        return formula(*whole)
    result, width = torch.empty(first.shape, dtype=dtype), first.shape[-1]
    parts = (tensor.reshape(-1, width).split(max(1, part // width)) for tensor in (result, *whole))
    for result_part, *input_parts in zip(*parts, strict=True):
        result_part.copy_(formula(*input_parts))
    return result


def _wide(logits: Tensor) -> torch.dtype:
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, targets, ctx.gamma, ctx.alpha, weights = inputs
    if any(ctx.needs_input_grad[1:]):
        raise NotImplementedError("a focal loss has a gradient for its logits alone: detach targets and weights")
    ctx.save_for_backward(logits, targets, weights)


def _backward(ctx: Any, gradient: Tensor, form: Callable[..., Tensor]) -> tuple[Tensor | None, ...]:
    logits, targets, weights = ctx.saved_tensors
    if torch.is_grad_enabled():
        form = _gradients    # For a gradient of the gradient autograd has to see the formula.
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
