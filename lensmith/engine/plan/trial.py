"""One way to run, tried on a copy of the network: its loss and gradient, and the time of its steps."""

import time
from collections.abc import Callable
from copy import deepcopy
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from lensmith.data.sources.sample import Batch
from lensmith.engine.plan.plan import Plan
from lensmith.engine.stepper import Stepper
from lensmith.models.network import sees_targets
from lensmith.tasks.task import Task

_SCALE = 1024.0    # the factor on the loss in float16, in which small gradients would vanish, as in training
Steppers = Callable[[nn.Module, Plan], Stepper]    # makes the stepper of a copy


class Trial:
    """A plan with a copy of the network that learns by it. The network itself is not changed."""

    def __init__(self, plan: Plan, network: nn.Module, task: Task, stepper: Steppers):
        self.plan, self.task = plan, task
        self.network = plan.place(deepcopy(network)).train()
        self.stepper = stepper(self.network, plan)
        self.times: list[float] = []    # seconds of each timed step
        self.moved = 0.0                # seconds in which the last step moved the weights

    @property
    def best(self) -> float:
        """The least time of a step, seconds: other work on the machine only ever adds to it."""
        return min(self.times, default=float("inf"))

    def gradient(self, batch: Batch, *, seed: int = 0) -> tuple[float, list[Tensor]]:
        """(loss, the gradient of each parameter) of a batch on its device. Dropout is off, and no weight moves."""
        self.plan.settle()
        dropping = [layer for layer in self.network.modules() if layer.training and _draws(layer)]
        for layer in dropping:
            layer.training = False
        loss = self._loss(batch, seed)
        for layer in dropping:
            layer.training = True
        factor = _SCALE if self.plan.precision == "float16" else 1.0
        (loss * factor).backward()
        gradient = [torch.zeros(()) if parameter.grad is None else parameter.grad / factor
                    for parameter in self.network.parameters()]
        for parameter in self.network.parameters():
            parameter.grad = None
        return loss.item(), gradient

    def step(self, batch: Batch, *, timed: bool = True) -> float:
        """One optimizer step on a batch; -> its seconds, which are kept where `timed`."""
        self.plan.settle()
        self.wait()
        began = time.perf_counter()
        self.stepper.add(self._loss(batch, 0))
        self.wait()
        added = time.perf_counter()
        self.stepper.move()
        self.wait()
        ended = time.perf_counter()
        seconds, self.moved = ended - began, ended - added
        if timed:
            self.times.append(seconds)
        return seconds

    def _loss(self, batch: Batch, seed: int) -> Tensor:
        torch.manual_seed(seed)
        seen = (batch.targets,) if sees_targets(self.network) else ()
        with self.plan.precise():
            output = self.network(self.plan.arrange(batch.images), *seen)
            return reduce(add, self.task.loss(output, batch.targets).values())

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        device_type = torch.device(self.plan.device).type
        if device_type == "cuda":
            torch.cuda.synchronize(self.plan.device)
        elif device_type == "mps":
            torch.mps.synchronize()


def product_seconds(precision: torch.dtype) -> float:
    """The least time of three products of two 256 x 256 matrices on the CPU, seconds."""
    left = right = torch.ones(256, 256, dtype=precision)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - began)
    return min(times)


def _draws(layer: nn.Module) -> bool:
    """Whether a layer drops values at random: PyTorch's dropout, torchvision's and timm's stochastic depth."""
    return any(word in type(layer).__name__ for word in ("Dropout", "DropPath", "StochasticDepth"))
