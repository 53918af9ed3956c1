"""What a trained network costs, measured once when its run ends, so that runs are compared by it without a network."""

import sys
import time
from typing import Any

import torch
from torch import nn

from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import Run
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode

_TRIES, _LONG = 5, 0.2    # timed forward passes of one picture, and the seconds after which there is no other


def write_cost(run: Run, network: nn.Module, form: Form, plan: Plan) -> None:
    """Write cost.json: multiply-adds and milliseconds for one picture, and the most memory that this process had."""
    pictures = torch.zeros((1, form.channels, *form.size), dtype=form.dtype, device=plan.device)
    run.write_json("cost.json", {"multiply_adds": _multiply_adds(network, pictures),
                                 "milliseconds": _milliseconds(network, pictures, plan),
                                 "memory_bytes": _most_memory(plan)})


def _multiply_adds(network: nn.Module, pictures: torch.Tensor) -> int | None:
    """Those of convolutions and dense layers; None for a network that does not run on such pictures.

    `inspect` counts functional calls too, by a trace that imports PyTorch's compiler, which takes seconds.
    """
    counts: list[int] = []

    def count(layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        weight: Any = layer.weight
        # A transposed convolution spreads each value of its input, all others gather one of their output.
        values = given[0].numel() if isinstance(layer, nn.modules.conv._ConvTransposeNd) else output.numel()
        counts.append(values * weight[0].numel())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad(), in_evaluation_mode(network):
            network(pictures)
    except REFUSALS:
        return None
    finally:
        for handle in handles:
            handle.remove()
    return sum(counts)


@torch.inference_mode()
def _milliseconds(network: nn.Module, pictures: torch.Tensor, plan: Plan) -> float | None:
    """The least of a few forward passes, the first of which warms up."""
    network.eval()
    least: float | None = None
    for number in range(_TRIES):
        began = time.perf_counter()
        with plan.precise():
            network(plan.arrange(pictures))
        if pictures.is_cuda:
            torch.cuda.synchronize(pictures.device)
        seconds = time.perf_counter() - began
        if number or seconds > _LONG:
            least = seconds if least is None else min(least, seconds)
        if seconds > _LONG:
            break
    return None if least is None else round(1000 * least, 4)


def _most_memory(plan: Plan) -> int | None:
    """Bytes of the device, or of this process on the CPU; None where the system does not say."""
    if torch.device(plan.device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(plan.device))
    try:
        import resource
    except ImportError:    # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
