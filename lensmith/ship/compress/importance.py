"""How much each channel matters: by the loss on training pictures, its weights, or the scale of its batch norm."""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import add
from typing import Literal

import torch
from torch import Tensor, nn

from lensmith.base.errors import choose
from lensmith.data.sources.sample import Batch
from lensmith.models.widths import Axis, tensor_named
from lensmith.ship.compress.channels import ChannelGraph, ChannelGroup
from lensmith.tasks.task import Task

By = Literal["taylor", "norm", "scale"]
ByAxis = Mapping[Axis, Tensor]    # float [length] of each dimension that is channels


def importance(network: nn.Module, graph: ChannelGraph, task: Task, batches: Iterable[Batch],
               by: By = "taylor") -> list[Tensor]:
    """float [units] for each group of the graph: the larger, the more is lost without the unit.

    by: an entry of IMPORTANCE.
    batches: training pictures, on the CPU; those by norm and by scale need none.
    """
    axes = choose(IMPORTANCE, by, "compress.by")(network, graph, task, batches)
    return [_of_units(group, axes) for group in graph.groups]


def _of_units(group: ChannelGroup, axes: ByAxis) -> Tensor:
    return torch.tensor([sum(float(axes[axis][places].sum()) for axis, places in unit.items() if axis in axes)
                         for unit in group.units])


def _taylor(network: nn.Module, graph: ChannelGraph, task: Task, batches: Iterable[Batch]) -> ByAxis:
    """The change of the loss to first order when a slice s of a tensor is set to zero, in the mean over the batches:

        |sum_{i in s} w_i dL/dw_i|

    (Molchanov et al. 2019, "Importance estimation for neural network pruning", arXiv 1906.10771). Batch norm uses the
    statistics that it has kept.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    axes = [axis for axis in graph.lengths if axis[0] in parameters]
    sums = {axis: torch.zeros(graph.lengths[axis]) for axis in axes}
    network.eval()
    for batch in batches:
        loss = reduce(add, task.loss(network(batch.images), batch.targets).values())
        names = list(dict.fromkeys(name for name, _ in axes))
        gradients = dict(zip(names, torch.autograd.grad(loss, [parameters[name] for name in names], allow_unused=True),
                             strict=True))
        for axis in axes:
            gradient = gradients[axis[0]]
            if gradient is not None:
                sums[axis] += _over_others(parameters[axis[0]].detach() * gradient, axis[1]).abs()
    return sums


def _norm(network: nn.Module, graph: ChannelGraph, task: Task, batches: Iterable[Batch]) -> ByAxis:
    """The length of each slice of the weights of convolutions and dense layers, in units of the mean of its tensor, so
    that layers with large weights do not decide for those that their channels go together with (Li et al. 2017,
    "Pruning filters for efficient ConvNets", arXiv 1608.08710)."""
    lengths = {}
    for axis in graph.lengths:
        if axis[0] in graph.calls:
            length = _over_others(tensor_named(network, axis[0]).detach().square(), axis[1]).sqrt()
            lengths[axis] = length / length.mean().clamp(min=1e-12)
    return lengths


def _scale(network: nn.Module, graph: ChannelGraph, task: Task, batches: Iterable[Batch]) -> ByAxis:
    """The absolute scale of batch norm (Liu et al. 2017, "Network slimming", arXiv 1708.06519); of channels without one
    the norm of their weights."""
    scales = {axis: tensor_named(network, axis[0]).detach().abs() for axis in graph.lengths
              if axis[0].endswith("weight") and tensor_named(network, axis[0]).ndim == 1}
    with_scale = {axis for group in graph.groups if any(axis in scales for axis in group.places)
                  for axis in group.places}
    return scales | {axis: length for axis, length in _norm(network, graph, task, batches).items()
                     if axis not in with_scale}


def _over_others(tensor: Tensor, dimension: int) -> Tensor:
    """The sums over all dimensions but one."""
    others = [other for other in range(tensor.ndim) if other != dimension]
    return tensor.sum(others) if others else tensor


# How importance is told: from the network, its channels, its task and training pictures to numbers by dimension.
IMPORTANCE: dict[str, Callable[[nn.Module, ChannelGraph, Task, Iterable[Batch]], ByAxis]] = {
    "taylor": _taylor, "norm": _norm, "scale": _scale,
}
