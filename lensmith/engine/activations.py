"""What a copy of a network gives in its layers for one batch: units that are always 0, squashed values, batch norm."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lensmith.engine.running_statistics import Norm

# The functions of torch, by name, whose units can be 0 for all pictures, and those that squash: each with its range.
# nn.ReLU and a call of F.relu in a forward come here alike.
_RELUS = ("relu", "relu_", "relu6", "threshold")
_SQUASHING = {"sigmoid": 1.0, "sigmoid_": 1.0, "tanh": 2.0, "tanh_": 2.0}
_FEWEST = 64    # values of a channel, of which a mean and a deviation are not mostly chance


@dataclass
class Activations:
    """The activations of one forward pass, by the module in which they were applied, each call once.

    Numbers stay on their device until all are read at once.
    """

    silent: dict[str, Tensor] = field(default_factory=dict)     # fraction of the units that are 0 for every picture
    spread: dict[str, Tensor] = field(default_factory=dict)     # std over the pictures, of the function's range
    kinds: dict[str, str] = field(default_factory=dict)         # ReLU, Sigmoid, Tanh
    norm_gaps: dict[str, Tensor] = field(default_factory=dict)  # batch norm: how far a batch is from what it expects


class _Watching(TorchFunctionMode):
    """Within it each relu, sigmoid and tanh is measured as it is applied; `path` names the module that is running."""

    def __init__(self, found: Activations, path: Sequence[str], only: Collection[str]):
        super().__init__()
        self.found, self.path, self.only = found, path, only

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        output = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "")
        if (name in _RELUS or name in _SQUASHING) and isinstance(output, Tensor) and output.ndim >= 2:
            self._measure(name, output.detach())
        return output

    def _measure(self, name: str, output: Tensor) -> None:
        place = self.path[-1] if self.path else ""
        number = sum(known.partition("#")[0] == place for known in self.found.kinds)
        place = f"{place}#{number + 1}" if number else place    # a module may apply several
        self.found.kinds[place] = "ReLU" if name in _RELUS else name.rstrip("_").capitalize()
        if self.only and place not in self.only:
            return
        if name in _RELUS:
            zero = (output <= 0).all(0)    # [units, places ...]
            self.found.silent[place] = (zero.flatten(1).all(1) if zero.ndim > 1 else zero).float().mean()
        elif len(output) > 1:
            self.found.spread[place] = output.float().std(0).mean() / _SQUASHING[name]


def activations_of(network: nn.Module, call: Callable[[], Any], *,
                   only: Collection[str] = ()) -> tuple[Any, Activations]:
    """What `call` gives, which runs the network, a copy that is thrown away, and the activations in it.

    `only`: the places that are measured; empty: all. The others are named and cost nothing.
    """
    found, path = Activations(), list[str]()
    for name, module in network.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: path.append(name))
        module.register_forward_hook(lambda *_: _leave(path))    # what a hook returns would replace the output
        if isinstance(module, Norm) and module.running_mean is not None and (not only or name in only):
            module.register_forward_pre_hook(lambda norm, inputs, name=name: _gap(found, name, norm, inputs[0]))
    with _Watching(found, path, only):
        return call(), found


def _leave(path: list[str]) -> None:
    path.pop()


@torch.no_grad()
def _gap(found: Activations, name: str, norm: Norm, inputs: Tensor) -> None:
    """How far a batch is from the running statistics: |m - M| / S + |ln(s / S)| with its mean m and std s and the
    running M and S; the median of the channels, of which some hardly vary. Nothing where a channel has too few
    values."""
    assert norm.running_mean is not None and norm.running_var is not None
    if inputs.numel() < _FEWEST * inputs.shape[1]:
        return
    variance, mean = torch.var_mean(inputs.float(), [axis for axis in range(inputs.ndim) if axis != 1], correction=0)
    expected = norm.running_var + norm.eps
    gap = (mean - norm.running_mean).abs() / expected.sqrt() + ((variance + norm.eps) / expected).log().abs() / 2
    found.norm_gaps[name] = gap.median()
