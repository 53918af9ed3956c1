"""Measure a network: predictions over batches, and what the task's metrics make of them."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lensmith.data.sources.fitting import in_files
from lensmith.data.sources.sample import Batch
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.plan.plan import Plan
from lensmith.models.rewrites.exact import fold_batch_norm
from lensmith.tasks.task import Task
from lensmith.values.value import Value

_TRIES = 4     # timed forward passes of each number of threads
_LONG = 0.5    # seconds of a forward pass that is not repeated


class Watch(Protocol):
    """What looks at an evaluation while it goes on."""

    def update(self, batch: Batch, predictions: dict[str, Value]) -> None:
        """Look at one batch, and at the predictions for it in the pixels of the network."""


@torch.inference_mode()
def predictions(network: nn.Module, task: Task, batches: Iterable[Batch], *,
                plan: Plan) -> Iterator[tuple[Batch, dict[str, Value], dict[str, float]]]:
    """Each batch with the predictions for it, on the CPU, and its loss terms."""
    if network.training:    # `eval()` walks all modules, which costs as much as a forward pass of LeNet.
        network.eval()
    for batch in batches:
        placed = batch.to(plan.device)
        network, plan = for_inference(network, plan, placed.images)
        with plan.precise():
            output = network(plan.arrange(placed.images))
            terms = task.loss(output, placed.targets) if placed.targets else {}
        predicted = {name: value.to("cpu") for name, value in task.decode(output).items()}
        yield batch, predicted, {name: term.item() for name, term in terms.items()}


@torch.inference_mode()
def for_inference(network: nn.Module, plan: Plan, images: Tensor) -> tuple[nn.Module, Plan]:
    """The network with those rewrites of the plan that are for inference alone, and the plan without them. The network
    stays as it is where the plan has none, or where they do not keep the numbers for the `images`, on their device."""
    if "fold_batch_norm" not in plan.rewrites:
        return network, plan
    others = replace(plan, rewrites=tuple(name for name in plan.rewrites if name != "fold_batch_norm"))
    return fold_batch_norm(network, plan.arrange(images[:2]), pack=plan.packs) or network, others


@torch.inference_mode()
def quickest(network: nn.Module, plan: Plan, images: Tensor) -> Plan:
    """The plan with all of its threads or with one, whichever takes the least time for these `images`: a small network
    is many times slower on two threads where another program has taken a core. For predictions alone, since other
    threads give other last bits, and what is measured and trained keeps the plan's own."""
    if torch.device(plan.device).type != "cpu" or plan.threads == 1:
        return plan
    network.eval()
    least: dict[int, float] = {}    # threads -> seconds
    for threads in (1, plan.threads):
        replace(plan, threads=threads).settle()
        for number in range(_TRIES):
            began = time.perf_counter()
            with plan.precise():
                network(plan.arrange(images))
            seconds = time.perf_counter() - began
            if number or seconds > _LONG:    # The first pass warms up.
                least[threads] = min(seconds, least.get(threads, seconds))
            if seconds > _LONG:
                break
    return replace(plan, threads=min(least, key=lambda threads: least[threads]))


def evaluate(network: nn.Module, task: Task, batches: Iterable[Batch], *, plan: Plan,
             watches: Sequence[Watch] = (), process_group: ProcessGroup | None = None) -> dict[str, Any]:
    """The task's metrics with `loss` and `count`, the pictures.

    Each of `watches` sees each batch, so that a gallery needs no second pass. With a `process_group` the batches of all
    its processes are measured together.
    """
    metrics, losses = task.metrics(), []
    for batch, predicted, terms in predictions(network, task, batches, plan=plan):
        metrics.update(in_files(predicted, batch.places), in_files(batch.targets, batch.places), count=len(batch))
        losses.append((sum(terms.values()) * len(batch) if terms else math.nan, len(batch)))
        for watch in watches:
            watch.update(batch, predicted)
    if process_group is not None and process_group.world_size > 1:
        states = process_group.all_gather((metrics.state(), losses))
        metrics, losses = task.metrics(), []
        # By rank, which is the order of the samples: the sums are those of one process, to the bit.
        for state, its_losses in states:
            metrics.merge(state)
            losses += its_losses
    count = sum(number for _, number in losses)
    loss = sum(loss for loss, _ in losses) / max(1, count)
    # A detector of torchvision has a loss only where it learns.
    return {**metrics.result(), **({} if math.isnan(loss) else {"loss": loss}), "count": count}
