"""How to run on this machine: device, precision, memory layout, threads, compilation, rewrites."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from lensmith.base.device import choose_device
from lensmith.base.errors import ModelError, UserError, in_short
from lensmith.models.rewrites.exact import TRAINING, Rewrite

Precision = Literal["float32", "bfloat16", "float16"]
Layout = Literal["contiguous", "channels_last"]
_THREADS = 256    # threads that any machine has room for
_SETTLED = {"deterministic": False}    # what was last set: PyTorch has one such state for the whole process
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Plan:
    """How a run computes. A resumed run uses its own plan again, since other threads give other last bits."""

    device: str
    precision: Precision
    layout: Layout
    threads: int
    compiled: bool = False
    rewrites: tuple[Rewrite, ...] = ()
    deterministic: bool = False    # only PyTorch's deterministic algorithms, and no TF32

    def settle(self) -> None:
        """Set what PyTorch has for the whole process: threads and determinism."""
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        if self.deterministic:
            # Without it PyTorch refuses matrix products on CUDA.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if self.deterministic != _SETTLED["deterministic"]:    # What a Python caller has set himself stays.
            # use_deterministic_algorithms would import the compiler, which takes as long as importing PyTorch.
            torch.set_deterministic_debug_mode("error" if self.deterministic else "default")
            torch.utils.deterministic.fill_uninitialized_memory = False    # type: ignore[attr-defined]
            torch.backends.cudnn.allow_tf32 = not self.deterministic
            _SETTLED["deterministic"] = self.deterministic

    def place(self, network: nn.Module) -> nn.Module:
        """The network, moved to the device and the layout and rewritten. In place; its weights keep their names."""
        network.to(self.device)
        if self.layout == "channels_last":
            network.to(memory_format=torch.channels_last)
        for name in self.rewrites:
            if name in TRAINING:
                TRAINING[name](network)
        if self.compiled:
            # In place, since a wrapper would put a prefix before the weights' names. One graph a size, since which
            # graph is taken would otherwise depend on the sizes seen before, and a resumed run has seen others.
            network.compile(dynamic=False)
        return network

    def arrange(self, images: Tensor) -> Tensor:
        """Pictures that are on their device already, in the layout of the plan."""
        return images.contiguous(memory_format=torch.channels_last) if self.layout == "channels_last" else images

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the numbers that are multiplied."""
        return _DTYPES[self.precision]

    @property
    def packs(self) -> bool:
        """Whether weights may be laid out for the CPU's own convolutions in float32."""
        return self.precision == "float32" and torch.device(self.device).type == "cpu"

    def precise(self) -> AbstractContextManager[Any]:
        """The context in which forward and loss are computed."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=self.dtype)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"rewrites": list(self.rewrites)}

    def in_words(self) -> str:
        """`bfloat16, channels_last, 2 threads`"""
        words = [self.precision, self.layout, f"{self.threads} thread{'s' * (self.threads != 1)}"]
        words += ["compiled"] * self.compiled + [name.replace("_", " ") for name in self.rewrites]
        return ", ".join(words + ["deterministic"] * self.deterministic)


def most_threads() -> int:
    """Threads that a plan may have here. OpenMP ends the process where the system has no room for as many as are set;
    a run that goes on has those of the machine that it began on."""
    return max(_THREADS, 4 * (os.cpu_count() or 1))


# Names of rewrites in the plan.json of older runs.
_FORMER: dict[str, Rewrite] = {"trim_kernels": "small_maps"}


def plan_from_json(content: dict[str, Any]) -> Plan:
    """The plan that a plan.json holds. On a machine that lacks its device or precision it has those of this machine.
    Raises ModelError for a file that is damaged."""
    values = {key: content[key] for key in (field.name for field in fields(Plan)) if key in content}
    try:
        rewrites = tuple(_FORMER.get(name, name) for name in values.get("rewrites", ()))
        plan = Plan(**values | {"rewrites": rewrites})
        usable = (isinstance(plan.device, str) and plan.precision in get_args(Precision)
                  and plan.layout in get_args(Layout) and 0 < int(plan.threads) <= most_threads()
                  and set(plan.rewrites) <= set(get_args(Rewrite)))
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ModelError(f"plan.json is damaged: it holds {in_short(values)}, where device, precision, layout and "
                         f"threads (at most {most_threads()}) stand")
    try:
        choose_device(plan.device)
    except UserError:    # The run was made on another machine.
        plan = replace(plan, device=str(choose_device("auto")))
    try:
        make_plan(device=plan.device, precision=plan.precision)
    except UserError:
        plan = replace(plan, precision="float32")
    return plan


def make_plan(*, device: str = "auto", precision: Precision = "float32", layout: Layout = "channels_last",
              threads: int = 0, compiled: bool = False, rewrites: tuple[Rewrite, ...] = ()) -> Plan:
    """The plan as asked for, nothing timed. With `threads` 0 it has as many as PyTorch would take.

    Raises UserError for a precision that the device does not have.
    """
    if not 0 <= threads <= most_threads():
        raise UserError(f"plan.threads must be 0 (all cores) to {most_threads()}; got {threads}")
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
    return replace(make_plan(device=device, layout="contiguous", threads=threads), deterministic=True)
