"""One way to run, tried beside the network: its loss and gradient, and the time that a step takes in it."""

import time
from collections.abc import Callable, Sequence
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
# What takes less than this many seconds is timed several times, and the least of them counts: one interruption of the
# process lasts longer.
_SHORT, _PASSES = 0.005, 3
Steppers = Callable[[nn.Module, Plan], Stepper]    # makes the stepper of a copy


class Trial:
    """A plan with a network that computes by it. No weight moves.

    Its weights lie in the memory of those of `network`, apart from those that the plan lays out in another way: a copy
    a candidate took several times the memory that the training takes. The network itself is not changed.
    """

    def __init__(self, plan: Plan, network: nn.Module, task: Task):
        self.plan, self.task = plan, task
        self.network = plan.place(on_the_same_weights(network)).train()
        self.times: list[float] = []    # seconds of each timed pass

    @property
    def best(self) -> float:
        """The least time of a pass, seconds: other work on the machine only ever adds to it."""
        return min(self.times, default=float("inf"))

    def gradient(self, batch: Batch, *, seed: int = 0) -> tuple[float, list[Tensor]]:
        """(loss, the gradient of each parameter) of a batch on its device. Dropout is off."""
        self.plan.settle()
        dropping = [layer for layer in self.network.modules() if layer.training and _draws(layer)]
        for layer in dropping:
            layer.training = False
        loss = self._loss(batch, seed)
        for layer in dropping:
            layer.training = True
        factor = _SCALE if self.plan.precision == "float16" else 1.0
        (loss * factor).backward()
        gradient = [torch.zeros(()) if parameter.grad is None else
                    parameter.grad if factor == 1.0 else parameter.grad.div_(factor)
                    for parameter in self.network.parameters()]
        self._drop()
        return loss.item(), gradient

    def step(self, batch: Batch, *, timed: bool = True) -> float:
        """Forward and backward on a batch, which is what the plans differ in: moving the weights takes the same time in
        all. -> seconds, which are kept where `timed`."""
        self.plan.settle()
        took: list[float] = []
        while not took or (timed and len(took) < _PASSES and took[0] < _SHORT):
            self.wait()
            began = time.perf_counter()
            self._loss(batch, 0).backward()
            self.wait()
            took.append(time.perf_counter() - began)
            self._drop()
        if timed:
            self.times.append(min(took))
        return min(took)

    def _loss(self, batch: Batch, seed: int) -> Tensor:
        torch.manual_seed(seed)
        seen = (batch.targets,) if sees_targets(self.network) else ()
        with self.plan.precise():
            output = self.network(self.plan.arrange(batch.images), *seen)
            return reduce(add, self.task.loss(output, batch.targets).values())

    def _drop(self) -> None:
        for parameter in self.network.parameters():
            parameter.grad = None

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        _wait(self.plan)


def on_the_same_weights(network: nn.Module) -> nn.Module:
    """A copy of a network whose parameters are its own, in the same memory. Buffers are copied, as a pass in training
    changes those of batch norm."""
    # deepcopy takes what it finds here in the place of a copy.
    same: dict[int, nn.Parameter] = {id(parameter): nn.Parameter(parameter.detach(), parameter.requires_grad)
                                     for parameter in network.parameters()}
    return deepcopy(network, same)


def moving_seconds(copied: nn.Module, gradient: Sequence[Tensor], plan: Plan, stepper: Steppers) -> float:
    """The time in which an optimizer step moves the weights, by taking one or a few with a copy of the network that is
    placed as the plan says, all along the same gradient."""
    plan.settle()
    moves = stepper(copied.train(), plan)
    took: list[float] = []
    while not took or (len(took) < _PASSES and took[-1] < _SHORT):
        for parameter, values in zip(copied.parameters(), gradient, strict=True):
            parameter.grad = values if values.shape == parameter.shape and parameter.requires_grad else None
        _wait(plan)
        began = time.perf_counter()
        moves.move()
        _wait(plan)
        took.append(time.perf_counter() - began)
    return min(took)


def _wait(plan: Plan) -> None:
    device_type = torch.device(plan.device).type
    if device_type == "cuda":
        torch.cuda.synchronize(plan.device)
    elif device_type == "mps":
        torch.mps.synchronize()


def product_seconds(precision: torch.dtype) -> float:
    """The least time of five products of two 256 x 256 matrices on one thread of the CPU, seconds. With several, one
    that has to wait for a busy core would hold up all."""
    torch.set_num_threads(1)
    left = right = torch.ones(256, 256, dtype=precision)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - began)
    return min(times)


def _draws(layer: nn.Module) -> bool:
    """Whether a layer drops values at random: PyTorch's dropout, torchvision's and timm's stochastic depth."""
    return any(word in type(layer).__name__ for word in ("Dropout", "DropPath", "StochasticDepth"))
