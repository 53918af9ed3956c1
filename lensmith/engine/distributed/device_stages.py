"""A network too large for one device, split by stages: its backbone on one device, its head on another."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lensmith.base.device import choose_device
from lensmith.base.errors import UserError


def check_stages(stages: Sequence[str], *, device: str, processes: int) -> None:
    """Raises UserError for stages that this machine or this run cannot have."""
    if len(stages) != 2:
        raise UserError(f"plan.stages names two devices, that of the backbone and that of the head, as in "
                        f"[\"cuda:0\", \"cuda:1\"]; got {list(stages)}")
    if processes > 1:
        raise UserError(f"plan.stages splits one network over devices and plan.processes={processes} copies it to "
                        "several: choose one of the two")
    if device not in ("auto", stages[0]):
        raise UserError(f"plan.stages begins on {stages[0]!r}, and the device is {device!r}: leave plan.device out")
    for stage in stages:
        choose_device(stage)


def split(network: nn.Module, stages: Sequence[str]) -> None:
    """Put the backbone on the first device and the head on the second, in place.

    Pictures go in and outputs come out on the first device, so that no caller has to know. The weights keep their
    names, so that a state of the whole network can be loaded.
    """
    first, second = stages
    network.to(first)
    head = network.head
    assert isinstance(head, nn.Module)
    head.to(second)
    head.register_forward_pre_hook(_InputsTo(second))
    head.register_forward_hook(_OutputsTo(first))


class _InputsTo:
    """Brings the inputs of a module to a device. A class, since a hook has to be copied along with its network."""

    def __init__(self, device: str):
        self.device = device

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        return moved_to(inputs, self.device)


class _OutputsTo:
    """Brings the output of a module to a device."""

    def __init__(self, device: str):
        self.device = device

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        return moved_to(output, self.device)


def moved_to(values: Any, device: str) -> Any:
    """The same tensors on `device`, in the same lists, (named) tuples and dicts; gradients flow back."""
    if isinstance(values, Tensor):
        return values.to(device)
    if isinstance(values, dict):
        return {name: moved_to(value, device) for name, value in values.items()}
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(moved_to(value, device) for value in values))
    if isinstance(values, list | tuple):
        return type(values)(moved_to(value, device) for value in values)
    return values
