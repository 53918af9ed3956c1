"""Operators of our own against their plain forms, in turn: time, memory on the way, and what is kept for the backward.

    python benchmarks/kernels.py [--seconds 2] [--no-write]

An operator that is not faster where it is used does not stay. Crop and flip are timed as augmentation uses them, on a
batch that was gathered before (in batches below 2 ** 18 values the plain form), and as one pass over the rows of a
store; on one thread, since it runs beside the training. The focal cost, and convolutions of small maps as the plan may
rewrite them (models/rewrites/small_maps.py), forward and backward, on all.
"""

import argparse
import copy
import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from results import machine, rates_in_words, this_command, write
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torchvision.ops import sigmoid_focal_loss as torchvisions

from lensmith.kernels.focal import focal_costs, plain_sigmoid_focal_loss
from lensmith.kernels.gather import gather_lines, plain_gather_crop_flip
from lensmith.models.rewrites.small_maps import small_maps

# (pictures of the store, channels, edge, batch, padding)
STORES = ((60_000, 1, 28, 64, 2), (60_000, 1, 28, 500, 2), (50_000, 3, 32, 64, 4), (50_000, 3, 32, 500, 4),
          (50_000, 3, 32, 2_000, 4), (1_000, 1, 224, 32, 16), (1_000, 3, 224, 32, 16), (1_000, 3, 224, 32, 0))
# (batch, channels, edge, channels that come out) of convolutions with a kernel of 3; beyond 8 pixels none is changed.
MAPS = ((64, 512, 1, 512), (64, 256, 2, 256), (64, 512, 4, 512), (1_000, 384, 3, 384), (32, 512, 7, 512),
        (64, 256, 8, 256))
COSTS = ((64, 80), (1_024, 80), (8_400, 80), (16 * 8_400, 80))
Form = Callable[[], object]


def medians(forms: list[Form], seconds: float) -> list[float]:
    """Milliseconds of each, called in turn for that long and seven times at least, after a turn that is not counted."""
    taken: list[list[float]] = [[] for _ in forms]
    began = time.perf_counter()
    while len(taken[0]) < 8 or time.perf_counter() - began < seconds:
        for form, own in zip(forms, taken, strict=True):
            started = time.perf_counter()
            form()
            own.append(time.perf_counter() - started)
    return [statistics.median(own[1:]) * 1e3 for own in taken]


def peak(form: Form) -> float | None:
    """MB that a call takes beyond what was held before it: the growth of the peak of a process forked for it. None
    below 30, where what any first call takes hides it."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        torch.set_num_threads(1)    # OpenMP threads do not survive a fork
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        form()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(send, str(grown / 1024).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(send)
    with os.fdopen(receive) as told:
        grown = float(told.read())
    return round(grown, 1) if grown >= 30 else None


def kept(costs: Callable[[], Tensor]) -> float:
    """MB that autograd keeps between forward and backward."""
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        held = costs()
    del held
    return round(sum(seen.values()) / 1e6, 2)


def gathering(seconds: float) -> list[dict[str, Any]]:
    """The rows of crop and flip: of a batch gathered before, as augmentation uses them, and of rows of the store in one
    pass; other rows every time, as in an epoch."""
    rows, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    for count, channels, edge, batch, padding in STORES:
        store = torch.randint(256, (count, channels, edge, edge), dtype=torch.uint8)
        draws = [(torch.randint(count, (batch,)), torch.randint(-padding, padding + 1, (batch,)),
                  torch.randint(-padding, padding + 1, (batch,)), torch.rand(batch) < 0.5) for _ in range(50)]
        turn = [0, 0]

        def of(which: int, form: Callable[..., Tensor], store: Tensor = store, draws: Any = draws,
               turn: list[int] = turn) -> Form:
            def call() -> Tensor:
                turn[which] += 1
                return form(store, *draws[turn[which] % len(draws)])

            return call

        gathered = [(store.index_select(0, picked), torch.arange(batch), *moves) for picked, *moves in draws[:8]]
        turn_gathered = [0, 0]

        def after(which: int, form: Callable[..., Tensor], gathered: Any = gathered,
                  turn: list[int] = turn_gathered) -> Form:
            def call() -> Tensor:
                turn[which] += 1
                return form(*gathered[turn[which] % len(gathered)])

            return call

        for name, way in (("crop, flip", after), ("gather, crop, flip", of)):
            forms = [way(0, plain_gather_crop_flip), way(1, gather_lines)]
            plain, own = medians(forms, seconds)
            rows.append(row(name, f"{batch} of {channels} x {edge} x {edge}, padding {padding}", plain, own,
                            memory=[peak(form) for form in forms]))
    torch.set_num_threads(threads)
    return rows


def focal(seconds: float) -> list[dict[str, Any]]:
    """The rows of the focal cost, gamma 2, forward and backward."""
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        for shape in COSTS:
            logits = (torch.randn(shape) * 3).to(dtype).requires_grad_()
            targets = torch.rand(shape).round()

            def of(form: Callable[..., Tensor], logits: Tensor = logits, targets: Tensor = targets) -> Form:
                def call() -> None:
                    logits.grad = None
                    form(logits, targets, 2.0).sum().backward()

                return call

            def its(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
                return torchvisions(logits.float(), targets, alpha=-1, gamma=gamma)

            compared: list[Callable[..., Tensor]] = [plain_sigmoid_focal_loss, focal_costs, its]
            plain, own, other = medians([of(form) for form in compared], seconds)
            rows.append(row("focal cost", f"{shape[0]:,} x {shape[1]}, {str(dtype).removeprefix('torch.')}", plain, own,
                            other, memory=[peak(of(form)) for form in compared[:2]],
                            between=[kept(lambda form=form, logits=logits, targets=targets:    # type: ignore[misc]
                                          form(logits, targets, 2.0)) for form in compared[:2]]))
    return rows


def convolutions(seconds: float) -> list[dict[str, Any]]:
    """The rows of convolutions of small maps, weights in float32 and channels_last, the numbers by autocast."""
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        for batch, channels, edge, out in MAPS:
            layer = nn.Conv2d(channels, out, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
            images = torch.randn(batch, channels, edge, edge).to(dtype).contiguous(memory_format=torch.channels_last)
            gradient = torch.randn(batch, out, edge, edge).to(dtype).contiguous(memory_format=torch.channels_last)
            images.requires_grad_()
            changed = copy.deepcopy(layer)
            small_maps(changed)

            def of(layer: nn.Module, images: Tensor = images, gradient: Tensor = gradient,
                   half: bool = dtype == torch.bfloat16) -> Form:
                def call() -> None:
                    images.grad = layer.weight.grad = None    # type: ignore[union-attr]
                    with torch.autocast("cpu", torch.bfloat16, enabled=half):
                        found = layer(images)
                    found.backward(gradient)

                return call

            plain, own = medians([of(layer), of(changed)], seconds)
            shape = f"{batch:,} of {channels} x {edge} x {edge} to {out}, {str(dtype).removeprefix('torch.')}"
            rows.append(row("convolution, kernel 3", shape, plain, own, memory=[None, None]))
    return rows


def row(operator: str, of: str, plain: float, own: float, other: float | None = None, *, memory: list[float | None],
        between: list[float] | None = None) -> dict[str, Any]:
    """A row of the table, and its line on the screen."""
    found = {"operator": operator, "of": of, "plain ms": round(plain, 3), "own ms": round(own, 3),
             "times as fast": round(plain / own, 2), "torchvision ms": None if other is None else round(other, 3),
             "plain MB": memory[0], "own MB": memory[1], "plain kept MB": between[0] if between else None,
             "own kept MB": between[1] if between else None}
    print("  ".join(f"{name} {value}" for name, value in found.items() if value is not None), flush=True)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=2.0, help="of turns for each row")
    arguments.add_argument("--no-write", action="store_true", help="print alone")
    given = arguments.parse_args()
    torch.manual_seed(0)
    about = machine()
    print(rates_in_words(about))
    rows = gathering(given.seconds) + focal(given.seconds) + convolutions(given.seconds)
    if not given.no_write:
        write("kernels", this_command(), rows, [
            "medians of calls in turn; MB: by how much the peak of a process grew in one call, from 30 on; kept: "
            "between forward and backward",
            "gathering on one thread, the focal cost and convolutions on all; torchvision's costs hard targets alone",
            "the forms for CUDA and MPS were not run"], about=about)


if __name__ == "__main__":
    main()
