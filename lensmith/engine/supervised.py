"""Learn from examples. Knows networks, tasks and batches; knows no task, model or data set by name."""

import math
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from operator import add
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from lensmith.base.errors import ModelError, Stopped, UserError, first_line, no_memory
from lensmith.base.hashed_random import seed_of
from lensmith.data.batches.prefetch import Prefetch
from lensmith.data.sources.sample import Batch
from lensmith.engine.distributed.process_group import Elsewhere, ProcessGroup
from lensmith.engine.evaluate import evaluate
from lensmith.engine.learner import Report
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_schemas import problem_with
from lensmith.engine.running_statistics import RunningStatistics, moving_norms, retake
from lensmith.engine.stepper import Stepper
from lensmith.engine.teacher import Teacher
from lensmith.models.freeze import Unfreezing
from lensmith.models.network import sees_targets
from lensmith.models.weights import load_into
from lensmith.tasks.metrics.confusion import NothingToMeasure
from lensmith.tasks.metrics.own import not_measured
from lensmith.tasks.task import Task

_NOISE = 2    # the random stream of what the network itself draws: dropout, stochastic depth
_RETAKEN = 512    # pictures from which the EMA's batch norm statistics are taken after each epoch


class Batches(Sized, Iterable[Batch], Protocol):
    """Anything that gives batches again and again: a Loader, a list."""


@runtime_checkable
class Resumable(Protocol):
    """Batches that can begin in the middle of any epoch."""

    def at(self, epoch: int, position: int) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class LearningSettings:
    """How long a network learns, and what makes a step. Raises UserError for a number that is too small."""

    epochs: int                             # passes over the training split
    accumulate: int = 1                     # batches whose gradients make one optimizer step
    seed: int = 0                           # of what the network itself draws
    unfreezing: Unfreezing | None = None    # which parameters learn in which epoch; None where all do in all
    norm_floor: float = 0.0                 # the least momentum of batch norm; 0 leaves it as the network has it
    teacher: Teacher | None = None          # what is learned from beside the truth
    head_loss: float | None = None          # the training loss of a head that has learned already: the network is then
                                            # measured before its first step, as epoch 0; None where it has not

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UserError(f"learner.epochs must be at least 1; got {self.epochs}")
        if self.accumulate < 1:
            raise UserError(f"learner.accumulate must be at least 1; got {self.accumulate}")


class Supervised:
    """Fits a network to the targets of a data set.

    Yields a report after every optimizer step and one more after every epoch. At each of them the learner is between
    two steps: one that loads the state saved there goes on with the same bits.
    """

    def __init__(self, network: nn.Module, task: Task, train: Batches, *, valid: Batches | None, stepper: Stepper,
                 plan: Plan, settings: LearningSettings, process_group: ProcessGroup | None = None):
        """
        network: placed where `plan` says, and changed in place.
        task: its loss, and its metrics on the validation split.
        train: the batches of one epoch, the same number in each.
        valid: the batches that are measured after each epoch; None where nothing was held out.
        stepper: made of the network's parameters. Its `steps` are set here.
        plan: device, precision and layout in which a step is computed.
        settings: epochs, accumulation, seed and unfreezing.
        process_group: the processes that share this training; None where this one is alone.
        """
        self.network, self.task, self.train, self.valid, self.stepper = network, task, train, valid, stepper
        self.plan, self.settings = plan, settings
        self.process_group = process_group or ProcessGroup()
        # The DDP wrapper. DDP registers the parameters that require a gradient now, so what is unfrozen later must not
        # be frozen yet.
        self.wrapped = self.process_group.wrap(network)
        self.epoch = self.position = self.seen = 0    # position: batches of this epoch that were learned from
        stepper.steps = self.steps
        self.statistics = RunningStatistics(network, settings.norm_floor, compiled=plan.compiled)
        self.sums: dict[str, float] = {}              # of each loss term over the samples of this epoch
        self.micro_batches = 1                        # that a batch is cut into, more where the memory is too small
        self.measured = False    # whether this run has been measured before, be it as epoch 0
        self.batch: Batch | None = None    # the newest that was learned from
        self.notes: list[str] = []
        self.unmeasured: set[str] = set()    # the user's metrics of which it was noted that they are not measured
        self.waited = self.spent = 0.0                # seconds of this epoch, since it was begun or gone on with

    def __iter__(self) -> Iterator[Report]:
        if self.settings.head_loss is not None and not self.measured and self.valid is not None:
            yield self._measured({"epoch": 0, "step": 0, "rate": 0.0, "train/loss": self.settings.head_loss})
        while self.epoch < self.settings.epochs:
            for loss in self._fit():
                yield Report(self.stepper.done, self.steps, self.epoch, loss, note=self._taken_notes(),
                             measures=self.position == len(self.train))
            yield self._finish_epoch()

    @property
    def steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.settings.epochs * math.ceil(len(self.train) / self.settings.accumulate)

    @property
    def judged(self) -> nn.Module:
        """The network that is measured and kept: the EMA of the weights where there is one."""
        return self.stepper.ema if self.stepper.ema is not None else self.network

    def _fit(self) -> Iterator[float]:
        """Learn from the remaining batches of this epoch; yields the loss of each optimizer step."""
        began, self.waited, self.spent = time.perf_counter(), 0.0, 0.0
        accumulate = self.settings.accumulate
        if self.settings.unfreezing is not None:
            self.settings.unfreezing.settle(self.network, self.epoch)
        group: list[Batch] = []    # the batches whose gradients make the coming step
        with Prefetch(_from(self.train, self.epoch, self.position)) as batches:
            for batch in batches:
                group.append(batch)
                self.batch = batch
                # The last group of an epoch may be smaller. Its gradient is the mean over the batches that it has.
                start = self.position - self.position % accumulate
                size = min(accumulate, len(self.train) - start)
                last = self.position == start + size - 1
                losses, count = self._learn(group, 1 / size, last=last)
                for name, loss in losses.items():
                    self.sums[name] = self.sums.get(name, 0.0) + loss * count
                self.seen += count
                self.position += 1
                if last:
                    self.stepper.move()
                    group = []
                    self.waited, self.spent = batches.waited, time.perf_counter() - began
                    yield sum(losses.values())

    def _learn(self, group: list[Batch], weight: float, *, last: bool) -> tuple[dict[str, float], int]:
        """Add the gradient of the group's newest batch, the `last` of its step or not; -> the loss terms and the number
        of pictures, over all processes.

        Where the memory does not suffice, every batch is cut into twice as many micro-batches from then on, and the
        gradients of the whole group are computed anew, since some may have been lost.
        """
        todo = group[-1:]
        while True:
            if not self.network.training:
                self.network.train()
            try:
                for number, batch in enumerate(todo, start=len(group) - len(todo)):
                    position = self.position - len(group) + 1 + number
                    losses = self._add_gradient(batch, weight, position, last=last)
                return losses
            except (MemoryError, RuntimeError) as error:
                # Several processes would have to cut alike, and those that had the memory have gone on.
                if (not no_memory(error) or self.process_group.world_size > 1
                        or not self._cut(group[-1], first_line(error))):
                    raise
            # Outside of the handler, whose error holds on to the tensors that filled the memory.
            self.stepper.drop()
            todo = group

    def _cut(self, batch: Batch, reason: str) -> bool:
        """Learn from each batch in twice as many micro-batches; False where one would hold too few pictures."""
        has_batch_norm = self._fewest > 1
        if len(batch) < 2 * self.micro_batches * self._fewest:
            return False
        self.micro_batches *= 2
        before, now = (math.ceil(len(batch) / number) for number in (self.micro_batches // 2, self.micro_batches))
        changed = f"batch norm now sees {now} at a time, which changes what is learned" if has_batch_norm else \
            "where every picture counts alike that changes nothing else"
        self.notes.append(f"not enough memory for a step on {before} pictures at once ({reason}): from step "
                          f"{self.stepper.done + 1} on each batch is learned from in {self.micro_batches} "
                          f"micro-batches, whose gradients are added up; {changed}")
        return True

    @property
    def _fewest(self) -> int:
        """Pictures that a micro-batch must have: batch norm cannot learn from one value."""
        return 1 + any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.network.modules())

    def _add_gradient(self, batch: Batch, weight: float, position: int, *,
                      last: bool) -> tuple[dict[str, float], int]:
        """Forward and backward on one batch, whose loss counts with this `weight` in the step; -> the loss terms, their
        mean over the pictures of all processes, and the number of these pictures.

        The gradient of a batch of n pictures, in micro-batches of n_i, is the sum of n_i / n times that of each.
        """
        _seed(seed_of(self.settings.seed, self.stepper.done, position, _NOISE, *self.process_group.noise))
        placed = batch.to(self.plan.device)
        losses: dict[str, float] = {}
        count, begun = 0, 0.0
        number = max(1, min(self.micro_batches, len(batch) // self._fewest)) if self.micro_batches > 1 else 1
        for micro_batch in _micro_batches(placed, number):
            fraction = len(micro_batch) / len(batch)
            with self.process_group.gradient_sync(self.wrapped, last=last):
                with self.plan.precise():
                    seen = (micro_batch.targets,) if sees_targets(self.network) else ()
                    with self._moving_statistics(position, begun, fraction):
                        output = self.wrapped(self.plan.arrange(micro_batch.images), *seen)
                    terms = self.task.loss(output, micro_batch.targets)
                    if self.settings.teacher is not None:
                        terms = self.settings.teacher.join(terms, output, self.plan.arrange(micro_batch.images))
                values = {name: term.item() for name, term in terms.items()}
                whole, means = self.process_group.reduce_loss(len(micro_batch), values)
                if not _finite(values):
                    raise Stopped(self._not_finite(values, batch))
                if not _finite(means):
                    raise Elsewhere("the loss of another process is not finite")
                share = self.process_group.loss_weight(len(micro_batch), whole)
                self.stepper.add(reduce(add, terms.values()), weight=weight * fraction * share)
            count, begun = count + whole, begun + fraction
            for name, value in means.items():
                losses[name] = losses.get(name, 0.0) + value * fraction
        return losses, count

    def _moving_statistics(self, position: int, begun: float, fraction: float) -> AbstractContextManager[None]:
        """Around the forward pass on a `fraction` of the batch at this position of the epoch, after the fraction
        `begun`. What batch norm keeps follows the batches, and k batches were learned from before this one."""
        if not self.settings.norm_floor:
            return nullcontext()
        return self.statistics.moved(self.epoch * len(self.train) + position, begun=begun, fraction=fraction)

    def _retake_statistics(self) -> None:
        """Take the EMA's batch norm statistics anew. As means of what the network had they would lag twice: behind the
        batches, and behind the weights.

        The pictures are the first ones of the epoch, whose order is hashed anew each time, augmented as they were
        learned from, since that is what the weights are used to. With statistics of plain pictures, drawn boxes that
        were learned with mosaic scored mAP50-95 0.51 in place of 0.55 (the mean of two seeds). Every process looks at
        its own, since batch norm that synchronises waits for all; those of rank 0 are kept.
        """
        if not self.settings.norm_floor or self.stepper.ema is None:
            return
        if not self.network.training:    # as where nothing of this epoch was left to learn after a restart
            self.network.train()
        names = {name for name, norm in moving_norms(self.network).items() if norm.training}
        # The same number in all processes, though their batches may differ by a picture.
        of_batch = self.seen / len(self.train) / self.process_group.world_size
        most = max(1, math.floor(_RETAKEN / of_batch))
        if names:
            with Prefetch(_from(self.train, self.epoch, 0)) as batches:
                retake(self.stepper.ema, names, (batch.to(self.plan.device).images for batch in islice(batches, most)),
                       self.plan)

    def _finish_epoch(self) -> Report:
        """Measure, move on to the next epoch and report."""
        losses = {name: total / self.seen for name, total in self.sums.items()}
        row = {"epoch": self.epoch + 1, "step": self.stepper.done, "rate": self.stepper.rate,
               "train/loss": sum(losses.values())}
        if len(losses) > 1:
            row |= {f"train/{name}": loss for name, loss in losses.items()}
        self._retake_statistics()
        report = self._measured(row)
        self.epoch, self.position, self.seen, self.sums = self.epoch + 1, 0, 0, {}
        return replace(report, epoch=self.epoch, waited=self.waited / self.spent if self.spent else None)

    def _measured(self, row: dict[str, float]) -> Report:
        """The report of the network as it is now on the validation split, whose numbers are added to the `row`."""
        self.measured = True
        score = None
        if self.valid is not None:
            self.process_group.broadcast_buffers(self.judged)
            try:
                metrics = evaluate(self.judged, self.task, self.valid, plan=self.plan,
                                   process_group=self.process_group)
            except NothingToMeasure:    # said before training; the newest epoch is then the best
                metrics = {}
            self._note_unmeasured(metrics)
            row |= {f"valid/{name}": value for name, value in metrics.items() if isinstance(value, float)}
            score = metrics.get(self.task.score)
        return Report(self.stepper.done, self.steps, self.epoch, row["train/loss"], row, score,
                      note=self._taken_notes())

    def _note_unmeasured(self, metrics: dict[str, Any]) -> None:
        """Note, once each, which of the user's own metrics could not be measured."""
        problems = not_measured(metrics)
        self.notes += [problem for name, problem in problems.items() if name not in self.unmeasured]
        self.unmeasured |= problems.keys()

    def _taken_notes(self) -> str:
        """The notes since the last report, which are then forgotten."""
        notes, self.notes = "; ".join(self.notes), []
        return notes

    def _not_finite(self, values: dict[str, float], batch: Batch) -> str:
        terms = ", ".join(f"{name} {value:g}" for name, value in values.items())
        files = [place.file for place in batch.places]
        names = f"; the batch's files: {', '.join(files)}" if files else ""
        return (f"the loss is not finite at step {self.stepper.done} (epoch {self.epoch + 1}, rate "
                f"{self.stepper.rate:g}): {terms}. Take a lower rate with optimizer.rate, clip gradients with "
                f"learner.clip=1, or look at these pictures{names}")

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "stepper": self.stepper.state_dict(), "epoch": self.epoch,
                "position": self.position, "seen": self.seen, "sums": dict(self.sums), "pieces": self.micro_batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ModelError where the state is damaged or of another network."""
        problem = problem_with("supervised learner", state) or self._misplaced(state)
        if problem:
            raise ModelError(f"the run's last state is damaged ({problem}): put the file back, or train again")
        load_into(self.network, state["network"], what="the run's last state")
        self.stepper.load_state_dict(state["stepper"])
        self.epoch, self.position = state["epoch"], state["position"]
        self.seen, self.sums, self.micro_batches = state["seen"], dict(state["sums"]), state.get("pieces", 1)
        self.measured = True    # a head that learns first is measured, and saved, before the first step


    def _misplaced(self, state: dict[str, Any]) -> str:
        """Why no training of these epochs and batches can be where a state says; empty where it can."""
        epoch, position = state["epoch"], state["position"]
        if epoch > self.settings.epochs or position > len(self.train) or (position and not state["seen"]):
            return (f"{position} batches and {state['seen']} pictures of epoch {epoch + 1}, where there are "
                    f"{len(self.train)} batches and {self.settings.epochs} epochs")
        return ""


def _from(batches: Batches, epoch: int, position: int) -> Iterator[Batch]:
    """The batches of an epoch from a position on."""
    if isinstance(batches, Resumable):
        return batches.at(epoch, position)
    return islice(iter(batches), position, None)


def _micro_batches(batch: Batch, number: int) -> Iterator[Batch]:
    """The batch as `number` micro-batches, in order."""
    if number == 1:
        yield batch
        return
    for rows in torch.arange(len(batch)).tensor_split(number):
        if len(rows):
            chosen = rows.to(batch.images.device)
            yield Batch(batch.images[chosen], {name: value.take(chosen) for name, value in batch.targets.items()})


def _finite(values: dict[str, float]) -> bool:
    return all(math.isfinite(value) for value in values.values())


def _seed(seed: int) -> None:
    """What the network draws in a step depends on the step alone, so no generator's state has to be saved."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
