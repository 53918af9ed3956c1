"""A network of PyTorch's in the plans and with the rewrites that inference may gain by."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.engine.evaluate import for_inference
from lensmith.engine.plan.plan import Layout, Plan, make_plan
from lensmith.ship.runtimes.candidates import FLOAT32, Candidate, precisions_here

_LAYOUTS: tuple[Layout, ...] = ("channels_last", "contiguous")


@dataclass(frozen=True)
class OfTorch:
    """An output that PyTorch computed, where others are of a file."""

    output: Any


def inference_plans(threads: Sequence[int], *, own: Plan | None = None,
                    precisions: Sequence[str] | None = None) -> list[Plan]:
    """The plans on the CPU that a network is tried in: both layouts in float32, one in 16 bits, with batch norm folded,
    on each number of threads, with the rewrites of the plan `own` that it was trained in, and as it is."""
    precisions = precisions_here("torch") if precisions is None else precisions
    plans = []
    for number in threads:
        for precision in precisions:
            layouts = _LAYOUTS if precision == FLOAT32 else _LAYOUTS[:1]
            plans += [make_plan(device="cpu", precision=precision, layout=layout, threads=number,    # type: ignore[arg-type]
                                rewrites=("fold_batch_norm",)) for layout in layouts]
    rewrites = [] if own is None else [name for name in own.rewrites if name != "fold_batch_norm"]
    plans += [replace(plan, rewrites=(*rewrites, *plan.rewrites)) for plan in plans[:len(_LAYOUTS)] if rewrites]
    return [*plans, make_plan(device="cpu", layout="contiguous", threads=threads[0])]


def candidate_of(plan: Plan) -> Candidate:
    """A plan as a way to compute answers."""
    words = [plan.layout, *(name.replace("_", " ") for name in plan.rewrites), *["compiled"] * plan.compiled]
    return Candidate("torch", plan.precision, plan.threads, ", ".join(words))


def open_with_torch(network: nn.Module, plan: Plan, pictures: Tensor) -> Callable[[Tensor], OfTorch]:
    """A copy of the network that computes by the plan. `pictures` are shown to it for the rewrites, which keep its
    numbers for them."""
    placed = replace(plan, compiled=False)
    copied, settled = for_inference(placed.place(deepcopy(network)).eval(), placed, pictures[:2])
    if plan.compiled:
        copied.compile(dynamic=False)

    @torch.inference_mode()
    def run(pictures: Tensor) -> OfTorch:
        settled.settle()
        with settled.precise():
            return OfTorch(copied(settled.arrange(pictures)))

    return run
