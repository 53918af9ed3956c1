"""Measure a network: predictions over batches, and what the task's metrics make of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from lensmith.base.values import Value
from lensmith.data.sample import Batch
from lensmith.engine.plan import Plan
from lensmith.tasks.task import Task


@torch.inference_mode()
def predictions(network: nn.Module, task: Task, batches: Iterable[Batch], *,
                plan: Plan) -> Iterator[tuple[Batch, dict[str, Value], dict[str, float]]]:
    """Each batch with what the network says of it, on the CPU, and the parts of its loss."""
    network.eval()
    for batch in batches:
        place = batch.to(plan.device)
        with plan.precise():
            output = network(plan.arrange(place.images))
            parts = task.loss(output, place.targets) if place.targets else {}
        found = {name: value.to("cpu") for name, value in task.decode(output).items()}
        yield batch, found, {name: part.item() for name, part in parts.items()}


def evaluate(network: nn.Module, task: Task, batches: Iterable[Batch], *, plan: Plan,
             watch: Any = None) -> dict[str, Any]:
    """The task's metrics with `loss` and `count`. `watch`, where given, sees each batch with its predictions by
    `watch.update(batch, predictions)`, so that a gallery needs no second pass."""
    metrics, total, count = task.metrics(), 0.0, 0
    for batch, found, parts in predictions(network, task, batches, plan=plan):
        metrics.update(found, batch.targets)
        total += sum(parts.values()) * len(batch)
        count += len(batch)
        if watch is not None:
            watch.update(batch, found)
    result = metrics.result()
    return {**result, "loss": total / max(1, count), "count": count}
