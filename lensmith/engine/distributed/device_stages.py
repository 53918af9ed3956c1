"""A network too large for one device, split by stages: its backbone on one device, its head on another."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lensmith.base.device import choose_device
from lensmith.base.errors import UserError


def check_stages(stages: Sequence[str], *, device: str, processes: int) -> None:
    """Raises UserError for stages that cannot be had."""
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

    Pictures go in and outputs come out on the first: nothing else has to know. The weights keep their names, so that a
    state of the whole network can be loaded.
    """
    first, second = stages
    network.to(first)
    head = network.head
    assert isinstance(head, nn.Module)
    head.to(second)
    head.register_forward_pre_hook(_Inwards(second))
    head.register_forward_hook(_Outwards(first))


class _Inwards:
    """Brings what a module is given to a device. A class, since a hook must be copied along with its network."""

    def __init__(self, device: str):
        self.device = device

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> Any:
        return moved(given, self.device)


class _Outwards:
    """Brings what a module gives to a device."""

    def __init__(self, device: str):
        self.device = device

    def __call__(self, module: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
        return moved(output, self.device)


def moved(found: Any, device: str) -> Any:
    """The same tensors on `device`, in the same lists, (named) tuples and dicts; gradients flow back."""
    if isinstance(found, Tensor):
        return found.to(device)
    if isinstance(found, dict):
        return {name: moved(value, device) for name, value in found.items()}
    if isinstance(found, tuple) and hasattr(found, "_fields"):
        return type(found)(*(moved(value, device) for value in found))
    if isinstance(found, list | tuple):
        return type(found)(moved(value, device) for value in found)
    return found
