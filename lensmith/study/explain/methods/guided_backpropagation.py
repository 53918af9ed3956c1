"""Guided backpropagation."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lensmith.base.errors import UserError
from lensmith.study.explain.subject import Subject

_RELUS = ("relu", "relu_", "hardtanh", "hardtanh_")    # of torch's functions; ReLU6 is hardtanh from 0 to 6


class _GuidedRelu(torch.autograd.Function):
    """relu, whose gradient passes only where it is positive as well."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, top: float | None) -> Tensor:
        context.save_for_backward(inputs)
        context.top = top
        return inputs.clamp(0, top)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (inputs,) = context.saved_tensors
        passes = inputs > 0 if context.top is None else (inputs > 0) & (inputs < context.top)
        return slopes[0].relu() * passes, None


class _Guiding(TorchFunctionMode):
    """Within it every relu is guided, whether it is a module or a function of a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.relus = 0

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        name = getattr(function, "__name__", "")
        from_zero = len(args) == 1 or (len(args) > 2 and args[1] == 0)
        if name in _RELUS and from_zero and isinstance(args[0], Tensor) and args[0].requires_grad:
            self.relus += 1
            return _GuidedRelu.apply(args[0], args[2] if len(args) > 2 else None)
        return function(*args, **(kwargs or {}))


def guided_backpropagation(subject: Subject, picture: Tensor) -> Tensor:
    """Guided backpropagation (Springenberg et al. 2014, arXiv 1412.6806): the slope by each pixel, of which every ReLU
    lets through only what is positive; the largest over the channels, without its sign. Raises UserError for a network
    without ReLUs."""
    with _Guiding() as guiding:
        slopes = subject.gradient(picture)
    if not guiding.relus:
        raise UserError("guided_backpropagation goes by ReLUs, and this network has none: take smooth_grad or "
                        "integrated_gradients")
    return slopes.abs().amax(0)
