"""Where the time of a training step goes: layer by layer, forward and backward, in NumPy and in PyTorch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import count
from lensmith.engine.optimize import leaves, sgd
from lensmith.lessons.numpy_network.in_pytorch import in_pytorch
from lensmith.lessons.numpy_network.layer import Array
from lensmith.lessons.numpy_network.network import NumpyNetwork, Sgd, train_step
from lensmith.lessons.numpy_network.softmax import numpy_cross_entropy

# Everything is repeated so often at least, and for so many seconds; the least time is kept, since other work on the
# machine only ever adds to it.
_REPEATS, _SECONDS = 7, 0.05
_WHOLE = 10    # times as long for a whole step, which is the first to be interrupted
_RATE = 1e-6    # so small that the steps that are timed change nothing


@dataclass(frozen=True)
class LayerTime:
    """Seconds of one layer for one batch."""

    layer: str
    forward: float
    backward: float


@dataclass(frozen=True)
class WhereTime:
    """Seconds of a training step on one batch in one way to compute it."""

    where: str    # NumPy; PyTorch on cpu, 2 threads
    step: float   # forward, loss, backward and update at once, as training does it
    layers: tuple[LayerTime, ...]


def times_beside(network: NumpyNetwork, pictures: Array, labels: Array) -> list[WhereTime]:
    """The times of NumPy, then of PyTorch on each device that there is, with the same weights and the same batch."""
    found = [_in_numpy_time(network, pictures, labels)]
    return found + [_on_device_time(in_pytorch(network), torch.from_numpy(pictures), torch.from_numpy(labels), device)
                    for device in devices()]


def devices() -> list[str]:
    """cpu, and what else PyTorch finds here."""
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else []),
            *(["mps"] if torch.backends.mps.is_available() else [])]


def _in_numpy_time(network: NumpyNetwork, pictures: Array, labels: Array) -> WhereTime:
    optimizer, layers = Sgd(_RATE), list(network.layers.items())
    inputs, forward = pictures, []
    for _, layer in layers:
        forward.append(_least(partial(layer.forward, inputs)))
        inputs = layer.forward(inputs)
    gradient, backward = numpy_cross_entropy(inputs, labels)[1], []
    for number, (_, layer) in reversed(list(enumerate(layers))):
        backward.append(_least(partial(layer.backward, gradient, inputs_too=number > 0)))
        passed = layer.backward(gradient)
        assert passed is not None
        gradient = passed
    names = [name for name, _ in layers]
    times = tuple(map(LayerTime, names, forward, reversed(backward)))
    whole = _least(partial(train_step, network, pictures, labels, optimizer), seconds=_WHOLE * _SECONDS)
    return WhereTime("NumPy", whole, times)


def _on_device_time(network: nn.Sequential, pictures: Tensor, labels: Tensor, device: str) -> WhereTime:
    network, pictures, labels = network.to(device), pictures.to(device), labels.to(device)
    optimizers = sgd(leaves(network), rate=_RATE, nesterov=False, decay=0.0)

    def step() -> None:
        F.cross_entropy(network(pictures), labels).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    whole = _least(step, device, seconds=_WHOLE * _SECONDS)
    times, inputs = [], pictures
    for number, (name, module) in enumerate(network.named_children()):
        begin = inputs.detach().requires_grad_(number > 0)
        output = module(begin)
        wanted = [*([begin] if number > 0 else []), *module.parameters()]
        gradient = torch.ones_like(output)
        forward = _least(partial(module, begin), device)
        backward = _least(partial(torch.autograd.grad, output, wanted, gradient, retain_graph=True),
                          device) if wanted else 0.0
        times.append(LayerTime(name, forward, backward))
        inputs = output
    threads = f", {count(torch.get_num_threads(), 'thread')}" if device == "cpu" else ""
    return WhereTime(f"PyTorch on {device}{threads}", whole, tuple(times))


def _least(work: Callable[[], object], device: str = "cpu", *, seconds: float | None = None) -> float:
    """Seconds of the fastest of several runs, which take `seconds` or more in all; the first is not counted."""
    work()
    most, taken = _SECONDS if seconds is None else seconds, list[float]()
    while len(taken) < _REPEATS or sum(taken) < most:
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _wait(device: str) -> None:
    """Until what was given to the device has been computed: otherwise only the giving would be timed."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
