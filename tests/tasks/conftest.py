"""What the tests of detectors share: learning a few drawn pictures by heart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lensmith.data.formats.drawn_shapes import shapes
from lensmith.engine.optimize import adamw, leaves
from lensmith.engine.schedule import cosine
from lensmith.engine.stepper import Stepper
from lensmith.models.backbone import Backbone
from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network
from lensmith.tasks.task import Task


@pytest.fixture
def backbone_with() -> Callable[..., Backbone]:
    """A backbone with these members, as `channels` and `outputs`, and no layers."""

    def make(**members: Any) -> Backbone:
        backbone = Backbone()
        for name, value in members.items():
            setattr(backbone, name, value)
        return backbone

    return make


@pytest.fixture
def learned() -> Callable[[Task, int], float]:
    return _learned


def _learned(task: Task, steps: int) -> float:
    """mAP50 on eight drawn pictures that were learned by heart."""
    part = shapes(48, 64).splits["train"].subset(range(8))
    truth = part.targets["boxes"]
    torch.manual_seed(0)
    trunk = BACKBONES["stack"](inputs=3, size=(64, 64), layers=[
        {"conv": 16, "kernel": 3, "stride": 2, "padding": 1}, "batchnorm", "relu",
        {"conv": 24, "kernel": 3, "stride": 2, "padding": 1}, "batchnorm", "relu",
        {"conv": 32, "kernel": 3, "stride": 2, "padding": 1}, "batchnorm", "relu",
        {"conv": 48, "kernel": 3, "stride": 2, "padding": 1}, "batchnorm", "relu"])
    network = Network(trunk, task.head(trunk), mean=[110.0] * 3, deviation=[60.0] * 3)
    chosen = leaves(network)
    stepper = Stepper(network, chosen, adamw(chosen, rate=4e-3), schedule=cosine(), clip=10.0)
    stepper.steps = steps
    first = last = 0.0
    for step in range(steps):
        loss = sum(task.loss(network(part.images), {"boxes": truth}).values())
        first, last = (loss.item() if not step else first), loss.item()
        stepper.add(loss)
        stepper.move()
    assert last < first / 2
    network.eval()
    with torch.no_grad():
        found = task.decode(network(part.images))["boxes"]
    metrics = task.metrics()
    metrics.update({"boxes": found}, {"boxes": truth}, count=8)
    return metrics.result()["mAP50"]
