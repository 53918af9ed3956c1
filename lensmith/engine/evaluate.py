"""Measure a network: predictions over batches, and what the task's metrics make of them."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.data.sources.fitting import in_files
from lensmith.data.sources.sample import Batch
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.plan.plan import Plan
from lensmith.models.rewrites.exact import fold_batch_norm
from lensmith.tasks.task import Task
from lensmith.values.value import Value

_TRIES, _LONG = 4, 0.5    # forwards that are timed, and the seconds of one that is not tried again


@torch.inference_mode()
def predictions(network: nn.Module, task: Task, batches: Iterable[Batch], *,
                plan: Plan) -> Iterator[tuple[Batch, dict[str, Value], dict[str, float]]]:
    """Each batch with what the network says of it, on the CPU, and the parts of its loss."""
    if network.training:    # to say it to each of its layers takes as long as a small network does
        network.eval()
    for batch in batches:
        place = batch.to(plan.device)
        network, plan = for_inference(network, plan, place.images)
        with plan.precise():
            output = network(plan.arrange(place.images))
            parts = task.loss(output, place.targets) if place.targets else {}
        found = {name: value.to("cpu") for name, value in task.decode(output).items()}
        yield batch, found, {name: part.item() for name, part in parts.items()}


@torch.inference_mode()
def for_inference(network: nn.Module, plan: Plan, images: Tensor) -> tuple[nn.Module, Plan]:
    """The network with the plan's rewrites that are for inference alone, and the plan without them; both as they are
    where there are none, or where they do not keep the numbers. `images`, on their device, are tried."""
    if "fold_batch_norm" not in plan.rewrites:
        return network, plan
    rest = replace(plan, rewrites=tuple(one for one in plan.rewrites if one != "fold_batch_norm"))
    return fold_batch_norm(network, plan.arrange(images[:2]), pack=plan.packs) or network, rest


@torch.inference_mode()
def quickest(network: nn.Module, plan: Plan, images: Tensor) -> Plan:
    """The plan with all of its threads or with one, whichever takes the least time for these `images`: a small network
    is many times slower on two threads where another program has taken a core. Only for answers: other threads give
    other last bits."""
    if torch.device(plan.device).type != "cpu" or plan.threads == 1:
        return plan
    network.eval()
    took: dict[int, float] = {}
    for threads in (1, plan.threads):
        replace(plan, threads=threads).settle()
        for number in range(_TRIES):
            began = time.perf_counter()
            with plan.precise():
                network(plan.arrange(images))
            seconds = time.perf_counter() - began
            if number or seconds > _LONG:    # the first is for warming up
                took[threads] = min(seconds, took.get(threads, seconds))
            if seconds > _LONG:
                break
    return replace(plan, threads=min(took, key=lambda threads: took[threads]))


def evaluate(network: nn.Module, task: Task, batches: Iterable[Batch], *, plan: Plan,
             watch: Any = None, process_group: ProcessGroup | None = None) -> dict[str, Any]:
    """The task's metrics with `loss` and `count`. `watch`, where given, sees each batch with its predictions by
    `watch.update(batch, predictions)`, so that a gallery needs no second pass. With a `process_group` the batches of
    all its processes are measured together."""
    metrics, losses = task.metrics(), []
    for batch, found, parts in predictions(network, task, batches, plan=plan):
        metrics.update(in_files(found, batch.places), in_files(batch.targets, batch.places),
                       count=len(batch))
        losses.append((sum(parts.values()) * len(batch) if parts else math.nan, len(batch)))
        if watch is not None:
            watch.update(batch, found)
    if process_group is not None and process_group.world_size > 1:
        shares = process_group.all_gather((metrics.state(), losses))
        metrics, losses = task.metrics(), []
        for state, own in shares:    # in the order of the samples: the same sums, to the bit, as of one process
            metrics.merge(state)
            losses += own
    count = sum(number for _, number in losses)
    loss = sum(loss for loss, _ in losses) / max(1, count)
    # A whole detector has a loss only where it learns.
    return {**metrics.result(), **({} if math.isnan(loss) else {"loss": loss}), "count": count}
