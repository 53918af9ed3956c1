"""Learn from examples. Knows networks, tasks and batches; knows no task, model or data set by name."""

import math
from collections.abc import Iterable, Iterator, Sized
from functools import reduce
from itertools import islice
from operator import add
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from lensmith.base.draw import seed_of
from lensmith.base.errors import Stopped, UserError
from lensmith.data.sample import Batch
from lensmith.engine.evaluate import evaluate
from lensmith.engine.learner import Report
from lensmith.engine.optimize import Stepper
from lensmith.engine.plan import Plan
from lensmith.models.weights import load_into
from lensmith.tasks.task import Task

_NOISE = 2    # the stream of what the network itself draws: dropout, stochastic depth


class Batches(Sized, Iterable[Batch], Protocol):
    """Anything that gives batches again and again: a Loader, a list."""


@runtime_checkable
class Resumable(Protocol):
    """Batches that can begin in the middle of any epoch."""

    def at(self, epoch: int, position: int) -> Iterator[Batch]: ...


class Supervised:
    """Fits a network to the targets of a data set.

    Yields a report after every optimizer step and one more after every epoch, always at rest: a learner that loads
    the state saved there goes on with the same bits.
    """

    def __init__(self, network: nn.Module, task: Task, train: Batches, *, valid: Batches | None, stepper: Stepper,
                 plan: Plan, epochs: int, accumulate: int = 1, seed: int = 0):
        if epochs < 1:
            raise UserError(f"learner.epochs must be at least 1; got {epochs}")
        if accumulate < 1:
            raise UserError(f"learner.accumulate must be at least 1; got {accumulate}")
        self.network, self.task, self.train, self.valid, self.stepper = network, task, train, valid, stepper
        self.plan, self.epochs, self.accumulate, self.seed = plan, epochs, accumulate, seed
        self.epoch = self.position = self.seen = 0       # position: batches of this epoch that were learned from
        stepper.steps = self.steps
        self.sums: dict[str, float] = {}                 # of each part of the loss over the samples of this epoch

    def __iter__(self) -> Iterator[Report]:
        while self.epoch < self.epochs:
            for loss in self._fit():
                yield Report(self.stepper.done, self.steps, self.epoch, loss)
            yield self._finish_epoch()

    @property
    def steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.epochs * math.ceil(len(self.train) / self.accumulate)

    @property
    def judged(self) -> nn.Module:
        """The network that is measured and kept: the averaged one where weights are averaged."""
        return self.stepper.average if self.stepper.average is not None else self.network

    def _fit(self) -> Iterator[float]:
        """Learn from what is left of this epoch; yields the loss of each optimizer step."""
        length = len(self.train)
        for batch in _from(self.train, self.epoch, self.position):
            if not self.network.training:
                self.network.train()
            _seed(seed_of(self.seed, self.stepper.done, self.position, _NOISE))
            place = batch.to(self.plan.device)
            with self.plan.precise():
                output = self.network(self.plan.arrange(place.images))
                parts = self.task.loss(output, place.targets)
            loss = reduce(add, parts.values())
            values = {name: part.item() for name, part in parts.items()}
            if not all(math.isfinite(value) for value in values.values()):
                raise Stopped(self._not_finite(values, batch))
            # The last group of an epoch may be smaller: its gradient is the mean over what it has.
            start = self.position - self.position % self.accumulate
            size = min(self.accumulate, length - start)
            final = self.position == start + size - 1
            self.stepper.step(loss, share=1 / size, final=final)
            for name, value in values.items():
                self.sums[name] = self.sums.get(name, 0.0) + value * len(batch)
            self.seen += len(batch)
            self.position += 1
            if final:
                yield sum(values.values())

    def _finish_epoch(self) -> Report:
        """Measure, move on to the next epoch and report."""
        parts = {name: total / self.seen for name, total in self.sums.items()}
        row = {"epoch": self.epoch + 1, "step": self.stepper.done, "rate": self.stepper.rate,
               "train/loss": sum(parts.values())}
        if len(parts) > 1:
            row |= {f"train/{name}": value for name, value in parts.items()}
        score = None
        if self.valid is not None:
            found = evaluate(self.judged, self.task, self.valid, plan=self.plan)
            row |= {f"valid/{name}": value for name, value in found.items() if isinstance(value, float)}
            score = found[self.task.score]
        self.epoch, self.position, self.seen, self.sums = self.epoch + 1, 0, 0, {}
        return Report(self.stepper.done, self.steps, self.epoch, row["train/loss"], row, score)

    def _not_finite(self, values: dict[str, float], batch: Batch) -> str:
        parts = ", ".join(f"{name} {value:g}" for name, value in values.items())
        files = [place.file for place in batch.places]
        shown = f"; the batch's files: {', '.join(files)}" if files else ""
        return (f"the loss is not finite at step {self.stepper.done} (epoch {self.epoch + 1}, rate "
                f"{self.stepper.rate:g}): {parts}. Take a lower rate with --rate, clip gradients with learner.clip=1, "
                f"or look at these pictures{shown}")

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "stepper": self.stepper.state_dict(), "epoch": self.epoch,
                "position": self.position, "seen": self.seen, "sums": dict(self.sums)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ModelError where the state is of another network."""
        load_into(self.network, state["network"], what="the run's last state")
        self.stepper.load_state_dict(state["stepper"])
        self.epoch, self.position = state["epoch"], state["position"]
        self.seen, self.sums = state["seen"], dict(state["sums"])


def _from(batches: Batches, epoch: int, position: int) -> Iterator[Batch]:
    if isinstance(batches, Resumable):
        return batches.at(epoch, position)
    return islice(iter(batches), position, None)


def _seed(seed: int) -> None:
    """What the network draws in a step depends on the step alone, so no generator's state has to be saved."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)

