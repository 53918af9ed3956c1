"""How to run on this machine: device, precision, memory layout, threads, compilation, rewrites."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from lensmith.base.device import choose_device
from lensmith.base.errors import ModelError, UserError
from lensmith.models.rewrites.exact import TRAINING, Rewrite

Precision = Literal["float32", "bfloat16", "float16"]
Layout = Literal["contiguous", "channels_last"]
_SETTLED = {"deterministic": False}    # what was last set for the process, which has one such state for all
_KINDS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Plan:
    """The choice a run is made with; a resumed run uses its own again, since other threads give other last bits."""

    device: str
    precision: Precision
    layout: Layout
    threads: int
    compiled: bool = False
    rewrites: tuple[Rewrite, ...] = ()
    deterministic: bool = False    # PyTorch's deterministic algorithms alone, and no TF32

    def settle(self) -> None:
        """Set what PyTorch has for the whole process: threads and determinism."""
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        if self.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")    # without it CUDA's products are refused
        if self.deterministic != _SETTLED["deterministic"]:    # what a Python caller has set for himself stays
            # Not use_deterministic_algorithms, which imports the compiler: that takes as long as importing PyTorch.
            torch.set_deterministic_debug_mode("error" if self.deterministic else "default")
            torch.utils.deterministic.fill_uninitialized_memory = False    # type: ignore[attr-defined]
            torch.backends.cudnn.allow_tf32 = not self.deterministic
            _SETTLED["deterministic"] = self.deterministic

    def place(self, network: nn.Module) -> nn.Module:
        """The network, moved in place to the device and the layout, and rewritten; its weights keep their names."""
        network.to(self.device)
        if self.layout == "channels_last":
            network.to(memory_format=torch.channels_last)
        for name in self.rewrites:
            if name in TRAINING:
                TRAINING[name](network)
        if self.compiled:
            # In place: a wrapper would put a prefix before the weights' names. One graph a size: which graph is taken
            # would otherwise depend on the sizes seen before, and a resumed run has seen others.
            network.compile(dynamic=False)
        return network

    def arrange(self, images: Tensor) -> Tensor:
        """Pictures on their device already, in the layout."""
        return images.contiguous(memory_format=torch.channels_last) if self.layout == "channels_last" else images

    @property
    def kind(self) -> torch.dtype:
        """Of the numbers that are multiplied."""
        return _KINDS[self.precision]

    @property
    def packs(self) -> bool:
        """Whether weights may be laid out for the CPU's own convolutions in float32."""
        return self.precision == "float32" and torch.device(self.device).type == "cpu"

    def precise(self) -> AbstractContextManager[Any]:
        """The context in which forward and loss are computed."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=self.kind)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"rewrites": list(self.rewrites)}

    def in_words(self) -> str:
        """`bfloat16, channels_last, 2 threads`"""
        words = [self.precision, self.layout, f"{self.threads} thread{'s' * (self.threads != 1)}"]
        words += ["compiled"] * self.compiled + [one.replace("_", " ") for one in self.rewrites]
        return ", ".join(words + ["deterministic"] * self.deterministic)


# Names that older runs have for rewrites.
_FORMER: dict[str, Rewrite] = {"trim_kernels": "small_maps"}


def plan_from_json(content: dict[str, Any]) -> Plan:
    """The plan that a plan.json holds, on a device of this machine. Raises ModelError for one that is damaged."""
    own = {key: content[key] for key in (field.name for field in fields(Plan)) if key in content}
    try:
        rewrites = tuple(_FORMER.get(name, name) for name in own.get("rewrites", ()))
        found = Plan(**own | {"rewrites": rewrites})
        usable = (found.precision in get_args(Precision) and found.layout in get_args(Layout)
                  and int(found.threads) > 0 and set(found.rewrites) <= set(get_args(Rewrite)))
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ModelError(f"plan.json is damaged: it holds {own}, where device, precision, layout and threads stand")
    try:
        choose_device(found.device)
    except UserError:    # trained on another machine
        found = replace(found, device=str(choose_device("auto")))
    try:
        make_plan(device=found.device, precision=found.precision)
    except UserError:
        found = replace(found, precision="float32")
    return found


def make_plan(*, device: str = "auto", precision: Precision = "float32", layout: Layout = "channels_last",
              threads: int = 0, compiled: bool = False, rewrites: tuple[Rewrite, ...] = ()) -> Plan:
    """The plan as asked for, nothing timed; `threads` 0 takes what PyTorch would.

    Raises UserError for a precision that the device does not have.
    """
    if threads < 0:
        raise UserError(f"plan.threads must be 0 (all cores) or more; got {threads}")
    chosen = choose_device(device)
    if precision == "float16" and chosen.type != "cuda":
        raise UserError(f"plan.precision='float16' is for CUDA, and the device is {chosen}: use bfloat16 or float32")
    if precision == "bfloat16" and chosen.type == "mps":
        raise UserError("plan.precision='bfloat16' is not supported on mps here: use float32")
    if precision == "bfloat16" and chosen.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UserError(f"plan.precision='bfloat16' is not supported by {torch.cuda.get_device_name(chosen)}: use "
                        "float16 or float32")
    return Plan(str(chosen), precision, layout, threads or torch.get_num_threads(), compiled, rewrites)


def exact(*, device: str = "auto", threads: int = 0) -> Plan:
    """Deterministic float32, in PyTorch's own layout, nothing rewritten: the plan that others are compared with."""
    chosen = make_plan(device=device, layout="contiguous", threads=threads)
    return replace(chosen, deterministic=True)
