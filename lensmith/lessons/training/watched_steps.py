"""The first steps of a real learner, looked into: what went in, what came out, and what moved one weight."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lensmith.data.sources.sample import Batch
from lensmith.engine.supervised import Supervised
from lensmith.lessons.training.updates import UPDATES, WeightUpdate, explain_update
from lensmith.models.network import sees_targets
from lensmith.recipe.assemble import Assembled

_POINTS = 25    # at which the loss is measured while one weight moves


@dataclass(frozen=True)
class WatchedStep:
    """One optimizer step, and the weight that is followed in it."""

    step: int                        # from 1 on
    loss: float                      # before the step
    rate: float                      # of the weight's group
    before: float
    gradient: float                  # after clipping, where the run clips
    after: float                     # what the optimizer made of it
    update: WeightUpdate             # the same from the formula


@dataclass(frozen=True)
class WatchedTraining:
    """The first steps of a learner."""

    batch: Batch                             # of the first step
    output: Tensor | None                    # of the network for it, where that is one tensor
    terms: dict[str, float]                  # the loss of the first step, by term
    gradients: dict[str, float]              # first step: the norm of the gradient of each parameter that got one
    optimizer: str                           # of the weight: SGD, Adam or AdamW
    weight: str                              # conv1.weight [0, 0, 2, 3]; empty where none can be followed by a formula
    steps: tuple[WatchedStep, ...]           # none where no weight can be followed
    losses: tuple[float, ...]                # of all steps
    # (value of the weight, loss of the batch) around its first value; none where the gradient is of more than that.
    losses_along: tuple[tuple[float, float], ...] = ()

    @property
    def largest_error(self) -> float:
        """How far the formula was from the optimizer at most."""
        return max((abs(step.after - step.update.after) for step in self.steps), default=0.0)


@dataclass
class _Followed:
    """One weight, once it is chosen: in the first step the one with the largest gradient of the first layer that an
    optimizer moves element by element."""

    name: str = ""
    place: int = 0                                                   # in the flattened parameter
    parameter: nn.Parameter | None = None
    optimizer: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)         # a row a step
    gradients: dict[str, float] = field(default_factory=dict)        # of the first step


def watch_steps(job: Assembled, steps: int) -> WatchedTraining:
    """Let the learner of a job take its first steps, by its own optimizer and schedule, and look on.

    The learner is used up: it has taken these steps afterwards.
    """
    learner, followed, outputs = job.learner, _Followed(), list[Any]()
    begin = deepcopy(learner.network)
    handles = [learner.network.register_forward_hook(lambda module, inputs, output: outputs.append(output))]
    handles += [optimizer.register_step_pre_hook(_looker(learner, followed))
                for optimizer in learner.stepper.optimizers]
    losses, watched, first, output = list[float](), list[WatchedStep](), None, None
    terms = dict[str, float]()
    reports = (report for report in learner if report.row is None)
    try:
        for report in islice(reports, steps):
            losses.append(report.loss)
            if first is None:
                first, output = learner.batch, outputs[-1]
                assert first is not None
                terms = _terms(job, output, first)
            outputs.clear()
            if followed.parameter is not None:
                watched.append(_watched(followed, report.step, report.loss))
    finally:
        for handle in handles:
            handle.remove()
    assert first is not None
    place, parameter = followed.place, followed.parameter
    # A gradient that was clipped, or is of several batches or of a teacher too, is not the slope of this batch's loss.
    plain = learner.settings.accumulate == 1 and not learner.stepper.clip and learner.settings.teacher is None
    along = _losses_along(job, begin, first, followed.name, place) if parameter is not None and plain else ()
    return WatchedTraining(first, output.detach() if isinstance(output, Tensor) else None, terms, followed.gradients,
                           followed.optimizer, "" if parameter is None else _named(followed.name, parameter, place),
                           tuple(watched), tuple(losses), along)


def _looker(learner: Supervised, followed: _Followed) -> Callable[[Optimizer, Any, Any], None]:
    """What is called before each step of an optimizer, with the gradients in place."""
    names = {id(leaf.parameter): leaf.name for leaf in learner.stepper.leaves}

    def look(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None or id(parameter) not in names:
                    continue
                if not learner.stepper.done:
                    followed.gradients[names[id(parameter)]] = float(parameter.grad.norm())
        if followed.parameter is None:
            _choose_weight(optimizer, names, followed)
        if followed.parameter is not None:
            _note(optimizer, followed)

    return look


def _choose_weight(optimizer: Optimizer, names: dict[int, str], followed: _Followed) -> None:
    kind = type(optimizer).__name__
    own = {id(parameter): parameter for group in optimizer.param_groups for parameter in group["params"]}
    for key, name in names.items():    # in the order of the network
        parameter = own.get(key)
        if kind not in UPDATES or parameter is None or parameter.grad is None or parameter.ndim < 2:
            continue
        followed.name, followed.parameter, followed.optimizer = name, parameter, kind
        followed.place = int(parameter.grad.abs().argmax())
        return


def _note(optimizer: Optimizer, followed: _Followed) -> None:
    parameter = followed.parameter
    for group in optimizer.param_groups:
        if any(each is parameter for each in group["params"]) and parameter is not None and parameter.grad is not None:
            state = optimizer.state.get(parameter, {})
            moments = {key: float(value.flatten()[followed.place] if value.ndim else value)
                       for key, value in state.items() if isinstance(value, Tensor)}
            settings = {key: value for key, value in group.items() if key != "params"}
            followed.rows.append({"before": float(parameter.detach().flatten()[followed.place]),
                                  "gradient": float(parameter.grad.flatten()[followed.place]),
                                  "group": settings, "moments": moments})


def _watched(followed: _Followed, step: int, loss: float) -> WatchedStep:
    row, parameter = followed.rows[-1], followed.parameter
    assert parameter is not None
    update = explain_update(followed.optimizer, row["before"], row["gradient"], row["group"], row["moments"])
    assert update is not None
    return WatchedStep(step, loss, float(row["group"]["lr"]), row["before"], row["gradient"],
                       float(parameter.detach().flatten()[followed.place]), update)


def _terms(job: Assembled, output: Any, batch: Batch) -> dict[str, float]:
    """The loss by term, from the output that the learner's own forward gave."""
    if sees_targets(job.learner.network):    # its output is the terms
        return {name: float(term.detach()) for name, term in output.items()}
    with torch.no_grad():
        terms = job.task.loss(output, batch.to(job.plan.device).targets)
    return {name: float(term) for name, term in terms.items()}


def _losses_along(job: Assembled, network: nn.Module, batch: Batch, name: str,
                  place: int) -> tuple[tuple[float, float], ...]:
    """The loss of the batch while one weight of the network as it began moves and all others stay."""
    weight = network.get_parameter(name).detach().flatten()    # shares its memory: the plan is contiguous
    begin, reach = float(weight[place]), max(0.1, 2 * float(weight.std()))
    points = []
    network.train()
    for value in torch.linspace(begin - reach, begin + reach, _POINTS).tolist():
        weight[place] = value
        points.append((value, _loss_of(job, network, batch)))
    return tuple(points)


def _loss_of(job: Assembled, network: nn.Module, batch: Batch) -> float:
    placed = batch.to(job.plan.device)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)    # dropout drops the same values each time
        if sees_targets(network):
            terms = network(job.plan.arrange(placed.images), placed.targets)
        else:
            terms = job.task.loss(network(job.plan.arrange(placed.images)), placed.targets)
        return float(reduce(add, terms.values()))


def _named(name: str, parameter: Tensor, place: int) -> str:
    at: Sequence[int] = [int(axis) for axis in torch.unravel_index(torch.tensor(place), parameter.shape)]
    return f"{name} [{', '.join(map(str, at))}]"
