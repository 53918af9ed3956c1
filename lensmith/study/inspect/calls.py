"""What is noted of a call in a forward pass: its layer or function, its tensors, its work, and how it is called."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.study.inspect.own_code import CodeLine

PICTURE = -1    # the source of what the network is shown
_WORDS = 24     # characters up to which the arguments of a functional call are shown
# What the wrappers of pools pass on where their caller has not named it.
_USUAL = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False}


@dataclass(frozen=True)
class TensorFacts:
    """What is known of a tensor that a call takes or gives."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    source: int | None = None    # the number of the call that it comes from, or PICTURE; None of a weight
    learns: bool = False         # whether gradients flow through it


@dataclass
class Call:
    """A layer or a functional call, as it was called once."""

    name: str                  # of the module in the network, or as `view(-1, 400)`
    kind: str                  # the module's class, or "function"
    function: str              # the bare name of a functional call, as `view`; empty of a module
    module: nn.Module | None
    place: CodeLine | None
    inputs: tuple[TensorFacts, ...] = ()
    values: tuple[Any, ...] = ()    # the arguments of a functional call that are no tensors
    named: Mapping[str, Any] = field(default_factory=dict)
    callee: Any = None              # the function itself
    outputs: tuple[TensorFacts, ...] = ()
    parameters: int = 0        # that no earlier call has counted
    multiply_adds: int = 0
    activation_bytes: int = 0  # of a first output with memory of its own
    receptive_field: int | None = None
    kept_bytes: int = 0        # that are kept for the backward pass
    seconds: float = 0.0


def name_of_call(call: Call) -> str:
    """`view(-1, 400)`: a functional call with those of its arguments that are no tensors, where they are short."""
    usual = _USUAL | _defaults(call.callee)
    values = [*map(_short, call.values), *(
        f"{key}={_short(value)}" for key, value in call.named.items()
        if not isinstance(value, Tensor) and not key.startswith("_") and (key not in usual or value != usual[key]))]
    words = ", ".join(values)
    name = call.function.strip("_") if call.function.startswith("__") else call.function
    if not words:
        return name
    return f"{name}({words})" if len(words) <= _WORDS else f"{name}(...)"


@cache
def _defaults(callee: Any) -> dict[str, Any]:
    """The defaults of a function written in Python, which its own wrapper passes on; none of another."""
    try:
        return {name: parameter.default for name, parameter in inspect.signature(callee).parameters.items()}
    except (TypeError, ValueError):
        return {}


def _short(value: Any) -> str:
    if isinstance(value, torch.dtype | torch.device):
        return str(value).removeprefix("torch.")
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_short, value))})"
    return str(value) if isinstance(value, int | float | str | None) else "..."
