"""First weights drawn anew for the activation behind each layer, of a network that somebody else has written."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lensmith.models.initialise import WEIGHTED, Activation, initialise

_ACTIVATIONS = get_args(Activation)


class _Order(TorchFunctionMode):
    """Within it each activation that is applied, as a module or a function, is written behind the layer before it."""

    def __init__(self, behind: dict[str, Activation | None], latest: list[str]):
        super().__init__()
        self.behind, self.latest = behind, latest

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        name = getattr(function, "__name__", "").rstrip("_")
        if name in _ACTIVATIONS and self.latest and self.behind[self.latest[-1]] is None:
            self.behind[self.latest[-1]] = cast(Activation, name)
        return function(*args, **(kwargs or {}))


def activations_behind(network: nn.Module, images: Tensor) -> dict[str, Activation | None]:
    """Of each convolution and dense layer that a forward pass reaches, in its order, the activation that is applied
    before the next one; None where there is none."""
    behind: dict[str, Activation | None] = {}
    latest: list[str] = []
    copy = deepcopy(network).eval()

    def note(name: str) -> None:
        behind.setdefault(name, None)
        latest.append(name)

    for name, module in copy.named_modules():
        if isinstance(module, WEIGHTED):
            module.register_forward_pre_hook(lambda *_, name=name: note(name))
    with torch.no_grad(), _Order(behind, latest):
        copy(images)
    return behind


def fit_first_weights(network: nn.Module, images: Tensor) -> None:
    """Draw the weights of every convolution and dense layer that the `images` reach, as `initialise` does for the
    networks here; PyTorch's own are for no activation, and flat sigmoids never leave the loss of guessing."""
    for name, activation in activations_behind(network, images).items():
        initialise(network.get_submodule(name), activation)
