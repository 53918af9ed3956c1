"""Learn by playing. Knows networks, worlds and algorithms; knows no world or algorithm by name."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError, Stopped, UserError
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.learner import Report
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_schemas import problem_with
from lensmith.engine.stepper import Stepper
from lensmith.models.weights import load_into
from lensmith.rl.algorithms.algorithm import AlgorithmSettings, Setup
from lensmith.rl.evaluate import Episodes, play_episodes
from lensmith.rl.worlds.world import Step, World


@dataclass(frozen=True)
class PlaySettings:
    """How long is played, and when it is measured. Raises UserError for a number that is too small."""

    steps: int                    # of the world, all copies together
    every: int                    # steps from one measuring to the next: an epoch
    episodes: int                 # that are played to measure
    seed: int = 0                 # of what the algorithm draws
    replay: Path | None = None    # the file that a mapped replay is kept in

    def __post_init__(self) -> None:
        for name in ("steps", "every", "episodes"):
            if getattr(self, name) < 1:
                raise UserError(f"learner.{name} must be at least 1; got {getattr(self, name)}")


class Playing:
    """Learns to play a world.

    Yields a report after every moment, in which each copy takes one step and what is due is learned, and one more after
    every epoch. At each of them the learner is at rest: one that loads the state saved there goes on with the same
    bits.
    """

    def __init__(self, network: nn.Module, algorithm: AlgorithmSettings, world: World, *,
                 measuring: Callable[[], World], stepper: Stepper, plan: Plan, settings: PlaySettings,
                 process_group: ProcessGroup | None = None):
        """
        network: ends with the head of `algorithm`, placed where `plan` says, and changed in place.
        algorithm: an entry of ALGORITHMS with its settings.
        world: that is learned from.
        measuring: makes the world that is measured in, the same one each time.
        stepper: made of the network's parameters. Its `steps` are set here.
        """
        self.network, self.world, self.measuring, self.stepper = network, world, measuring, stepper
        self.plan, self.settings = plan, settings
        self.process_group = process_group or ProcessGroup()
        if self.process_group.world_size > 1:
            raise UserError("play is learned by one process: leave out plan.processes, and let play.copies be more")
        stepper.steps = max(1, algorithm.updates(self.steps, world.copies))
        self.algorithm = algorithm.begin(Setup(network, plan, world.spaces, world.copies, self.steps, settings.seed,
                                               math.ceil(settings.every / world.copies), settings.replay))
        self.observations: Tensor | None = None    # what the copies show; None before the first reset
        self.moment = self.epoch = 0               # steps of each copy, and epochs measured
        self.returns = torch.zeros(world.copies, dtype=torch.float64)    # of the episodes that are going on
        self.lengths = torch.zeros(world.copies, dtype=torch.int64)
        self.sums = _nothing()                     # of this epoch
        self.loss = 0.0                            # of the newest update
        self.notes: list[str] = []

    @property
    def steps(self) -> int:
        """Steps of the world in the whole run: all copies take the last one together."""
        copies = self.world.copies
        return math.ceil(self.settings.steps / copies) * copies

    @property
    def epochs(self) -> int:
        return math.ceil(self.settings.steps / self.settings.every)

    @property
    def judged(self) -> nn.Module:
        """The network that is measured and kept: the EMA of the weights where there is one."""
        return self.stepper.ema if self.stepper.ema is not None else self.network

    @property
    def played(self) -> int:
        """Steps of the world so far, all copies together."""
        return self.moment * self.world.copies

    def __iter__(self) -> Iterator[Report]:
        if self.observations is None:
            self.observations = self.world.reset()
        while self.epoch < self.epochs:
            end = min(self.settings.steps, (self.epoch + 1) * self.settings.every)
            while self.played < end:
                self._play()
                yield Report(self.played, self.steps, self.epoch, self.loss, note=self._taken_notes(),
                             measures=self.played >= end)
            yield self._finish_epoch()

    def _play(self) -> None:
        """One step of each copy, and the updates that are due after it."""
        assert self.observations is not None
        actions = self.algorithm.act(self.observations, self.moment)
        step = self.world.step(actions)
        self.algorithm.note(self.observations, actions, step)
        self.observations = step.observations
        self.moment += 1
        self._count(step)
        for terms in self.algorithm.losses():
            loss = reduce(add, terms.values())
            self.loss = loss.item()
            if not math.isfinite(self.loss):
                raise Stopped(self._not_finite(terms))
            self.stepper.add(loss)
            self.stepper.move()
            self.sums["loss"] += self.loss
            self.sums["updates"] += 1

    def _count(self, step: Step) -> None:
        """Take a step into the numbers of its episodes and of the epoch."""
        sums = self.sums
        self.returns += step.rewards
        self.lengths += 1
        sums["least"] = min(sums["least"], step.rewards.min().item())
        sums["most"] = max(sums["most"], step.rewards.max().item())
        over = step.ended | step.truncated
        if over.any():
            sums["episodes"] += int(over.sum())
            sums["ended"] += int(step.ended.sum())
            sums["return"] += float(self.returns[over].sum())
            sums["length"] += int(self.lengths[over].sum())
            self.returns[over], self.lengths[over] = 0.0, 0

    def _finish_epoch(self) -> Report:
        """Measure, move on to the next epoch and report."""
        sums = self.sums
        row = {"epoch": self.epoch + 1, "step": self.played, "rate": self.stepper.rate,
               "train/loss": sums["loss"] / max(1, sums["updates"]), "train/episodes": sums["episodes"],
               "reward/least": sums["least"], "reward/most": sums["most"]}
        if sums["episodes"]:
            row |= {f"train/{name}": sums[name] / sums["episodes"] for name in ("return", "length", "ended")}
        row |= self.algorithm.diagnostics() | self._measured()
        self.epoch, self.sums = self.epoch + 1, _nothing()
        return Report(self.played, self.steps, self.epoch, row["train/loss"], row, row["valid/return"],
                      note=self._taken_notes())

    def _measured(self) -> dict[str, float]:
        """The numbers of the network as it is now in a fresh world."""
        judged = self.judged
        expected: list[Tensor | None] = []

        def act(observations: Tensor) -> Tensor:
            if not expected:    # in the first moment, where all copies begin
                expected.append(self.algorithm.values(judged, observations))
            return self.algorithm.greedy(judged, observations)

        modes = [(module, module.training) for module in judged.modules()]
        judged.eval()
        with torch.no_grad():
            episodes = play_episodes(self.measuring(), act, self.settings.episodes, discount=self.algorithm.discount)
        for module, mode in modes:
            module.training = mode
        return _row_of(episodes, expected[0])

    def _taken_notes(self) -> str:
        """The notes since the last report, which are then forgotten."""
        notes, self.notes = "; ".join(self.notes), []
        return notes

    def _not_finite(self, terms: dict[str, Tensor]) -> str:
        values = ", ".join(f"{name} {term.item():g}" for name, term in terms.items())
        return (f"the loss is not finite after {self.played:,} steps (rate {self.stepper.rate:g}): {values}. Take a "
                "lower rate with optimizer.rate, clip gradients with learner.clip=1, or rewards with "
                "play.clip_rewards=true")

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "stepper": self.stepper.state_dict(),
                "algorithm": self.algorithm.state_dict(), "world": self.world.state_dict(), "moment": self.moment,
                "epoch": self.epoch, "returns": self.returns, "lengths": self.lengths, "loss": self.loss,
                "sums": {name: value for name, value in self.sums.items() if math.isfinite(value)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ModelError where the state is damaged or of another network, world or algorithm."""
        problem = problem_with("playing learner", state)
        if not problem and (state["epoch"] > self.epochs or state["moment"] * self.world.copies > self.steps):
            problem = f"{state['moment']:,} moments and {state['epoch']} epochs, where there are {self.steps:,} steps"
        if problem:
            raise ModelError(f"the run's last state is damaged ({problem}): put the file back, or train again")
        load_into(self.network, state["network"], what="the run's last state")
        self.stepper.load_state_dict(state["stepper"])
        self.algorithm.load_state_dict(state["algorithm"])
        self.observations = self.world.load_state_dict(state["world"])
        self.moment, self.epoch, self.loss = state["moment"], state["epoch"], state["loss"]
        self.returns.copy_(state["returns"])
        self.lengths.copy_(state["lengths"])
        self.sums = _nothing() | state["sums"]
        if not self.world.exact:
            self.algorithm.interrupt()
            self.returns.zero_()
            self.lengths.zero_()
            self.notes.append("the world cannot give its state: each copy begins a new episode, so that the numbers "
                              "are not those of a run that was never stopped")


def _nothing() -> dict[str, float]:
    """The sums of an epoch before its first step."""
    return {"loss": 0.0, "updates": 0, "episodes": 0, "ended": 0, "return": 0.0, "length": 0,
            "least": math.inf, "most": -math.inf}


def _row_of(episodes: Episodes, expected: Tensor | None) -> dict[str, float]:
    """The entries of a row of the history: the return is what ranks epochs. What was expected in the first moment
    stands beside what the same episodes brought, discounted: values that run away are far above."""
    row = {"valid/return": episodes.mean_return, "valid/length": episodes.mean_length,
           "valid/ended": sum(episodes.ended) / len(episodes.ended),
           "action/most": max(episodes.actions) / sum(episodes.actions)}
    if expected is not None:
        first = episodes.discounted[:len(expected)]
        row |= {"value/expected": expected[:len(first)].double().mean().item(),
                "value/returned": sum(first) / len(first)}
    return row
