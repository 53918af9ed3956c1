"""Reads from a forward pass which channels of which layers belong together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lensmith.models.widths import Axis, free_axis, layer_kind
from lensmith.ship.compress.numbered import FIXED, ChannelNumbers


@dataclass
class LayerCall:
    """One layer with weights, as it was computed."""

    layer: str                  # its name
    weight: str                 # the name of its weight
    taking: int                 # the dimension of the weight that takes the inputs in
    cells: int = 0              # positions that the weight is applied at for one picture, over all calls
    inputs: list[tuple[int, ...]] = field(default_factory=list)    # the shape of what came in, for each call


class Recorder(TorchDispatchMode):
    """Within it every operator of a forward pass is computed, and computed again on the numbers of the channels.

    A tensor has numbers of its own shape: at each place that of the channel which the value belongs to, FIXED where it
    belongs to none. Operators that move values (views, joins, splits) move the numbers likewise, so that no operator
    has to be told which dimension its channels are.
    """

    def __init__(self, network: nn.Module, follow: Callable[..., None]):
        """`follow` is `operators.follow_operator`: what each operator does to the numbers."""
        super().__init__()
        self.follow = follow
        self.numbers = ChannelNumbers()
        self.axes: dict[Axis, Tensor] = {}       # -> int64 [length]: the numbers of its places
        self.calls: dict[str, LayerCall] = {}         # by the name of the weight
        self.obstacles: dict[str, None] = {}     # what keeps channels, a line each
        self.here: list[str] = []                # the modules that are computing, outermost first
        self.names: dict[int, str] = {}          # id of a parameter or buffer -> its name
        self.owners: dict[str, tuple[str, nn.Module]] = {}    # name of a tensor -> the layer and its name
        self._known: dict[int, tuple[Tensor, Tensor]] = {}    # id -> a tensor and its numbers; it is held for its id
        self.turned: dict[int, tuple[Tensor, str]] = {}       # id -> a transposed weight and its name
        for name, module in network.named_modules():
            for key, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                path = f"{name}.{key}" if name else key
                self.names.setdefault(id(tensor), path)
                self.owners.setdefault(path, (name, module))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        self.follow(self, function, args, kwargs or {}, output)
        return output

    def axis(self, tensor: str, dimension: int, length: int) -> Tensor:
        """The numbers of a dimension of a parameter or buffer, fresh where it is met for the first time."""
        if (tensor, dimension) not in self.axes:
            self.axes[tensor, dimension] = self.numbers.fresh(length)
        return self.axes[tensor, dimension]

    def of(self, tensor: Tensor) -> Tensor:
        """The numbers of a tensor: those of a learned vector are its own, a constant has none."""
        if id(tensor) in self._known:
            return self._known[id(tensor)][1]
        name, axis = self.names.get(id(tensor)), free_axis(tensor)
        if name is None or axis is None or not isinstance(tensor, nn.Parameter) or \
                layer_kind(self.owners[name][1]) is not None:
            return torch.full((), FIXED).expand(tensor.shape)    # takes no memory: VGG's first dense layer is large
        return self.axis(name, axis, tensor.shape[axis]).view(tensor.shape)

    def note(self, tensor: Tensor, numbers: Tensor) -> None:
        """Keep the numbers of a tensor that was computed."""
        assert tensor.shape == numbers.shape, (tensor.shape, numbers.shape)
        self._known[id(tensor)] = tensor, numbers

    def stop(self, why: str, *tensors: Tensor) -> None:
        """Keep the channels of these tensors: an operator that cannot be followed needs them."""
        numbers = [self.of(tensor) for tensor in tensors]
        if any((some != FIXED).any() for some in numbers):
            self.obstacles.setdefault(f"{self.here[-1] if self.here else 'the network'} ({why})")
        self.numbers.fix(numbers)

    def call(self, weight: str, cells: int, shape: tuple[int, ...], *, taking: int = 1) -> None:
        """Note that a layer was computed."""
        call = self.calls.setdefault(weight, LayerCall(self.owners[weight][0], weight, taking))
        call.cells += cells
        call.inputs.append(shape)


@contextmanager
def modules_noted(network: nn.Module, here: list[str]) -> Iterator[None]:
    """Within it `here` has the names of the modules that compute, outermost first; after an error they stay there."""
    hooks = []
    for name, module in network.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: here.append(name)))
        hooks.append(module.register_forward_hook(lambda *_: _drop_last(here)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _drop_last(names: list[str]) -> None:
    names.pop()


def fix_outputs(recorder: Recorder, output: Any) -> None:
    """Keep the channels of whatever the network gives."""
    recorder.numbers.fix(recorder.of(tensor) for tensor in tree_leaves(output) if isinstance(tensor, Tensor))
