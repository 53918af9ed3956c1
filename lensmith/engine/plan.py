"""How to run on this machine: device, precision, memory layout and threads."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from lensmith.base.device import choose_device
from lensmith.base.errors import ModelError, UserError

Precision = Literal["float32", "bfloat16"]
Layout = Literal["contiguous", "channels_last"]


@dataclass(frozen=True)
class Plan:
    """The choice a run is made with; a resumed run uses its own again, since other threads give other last bits."""

    device: str
    precision: Precision
    layout: Layout
    threads: int

    def place(self, network: nn.Module) -> nn.Module:
        """The network, moved in place to the device and the layout."""
        network.to(self.device)
        if self.layout == "channels_last":
            network.to(memory_format=torch.channels_last)
        return network

    def arrange(self, images: Tensor) -> Tensor:
        """Pictures on their device already, in the layout."""
        return images.contiguous(memory_format=torch.channels_last) if self.layout == "channels_last" else images

    def precise(self) -> AbstractContextManager[Any]:
        """The context in which forward and loss are computed."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def planned(content: dict[str, Any]) -> Plan:
    """The plan that a plan.json holds, on a device of this machine. Raises ModelError for one that is damaged."""
    try:
        own = Plan(**content)
        usable = own.precision in get_args(Precision) and own.layout in get_args(Layout) and int(own.threads) > 0
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ModelError(f"plan.json is damaged: it holds {content}, where device, precision, layout and threads stand")
    try:
        choose_device(own.device)
    except UserError:    # trained on another machine
        return replace(own, device=str(choose_device("auto")))
    return own


def plan(*, device: str = "auto", precision: Precision = "float32", layout: Layout = "channels_last",
         threads: int = 0) -> Plan:
    """The plan as asked for; `threads` 0 takes what PyTorch would.

    channels_last is the default because convolutions were faster in it on every network measured on a CPU, by 1.05 to
    1.55 times (benchmarks/layout.py).
    """
    if threads < 0:
        raise UserError(f"plan.threads must be 0 (all cores) or more; got {threads}")
    chosen = choose_device(device)
    if precision == "bfloat16" and chosen.type == "mps":
        raise UserError("plan.precision='bfloat16' is not supported on mps here: use float32")
    return Plan(str(chosen), precision, layout, threads or torch.get_num_threads())
