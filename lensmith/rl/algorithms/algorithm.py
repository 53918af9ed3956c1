"""What every algorithm of play is: settings that a recipe has, and what learns by them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.engine.plan.plan import Plan
from lensmith.rl.worlds.world import Spaces, Step


@dataclass(frozen=True)
class Setup:
    """Where an algorithm learns."""

    network: nn.Module       # placed where the plan says
    plan: Plan
    spaces: Spaces           # of the world
    copies: int              # of the world, which step together
    steps: int               # that are played in all, of all copies together
    seed: int
    interval: int            # moments that may be played between two checkpoints; in one, every copy takes a step
    file: Path | None        # where a replay may be kept in a mapped file

    @property
    def moments(self) -> int:
        """Steps of each copy in the whole run."""
        return math.ceil(self.steps / self.copies)

    def output(self, network: nn.Module, observations: Tensor) -> Tensor:
        """float32 [batch, outputs]: what a network says of observations, which may lie on another device."""
        placed = observations.to(self.plan.device)
        with self.plan.precise():
            output: Tensor = network(self.plan.arrange(placed) if self.spaces.pictures else placed)
        return output.float()


class AlgorithmSettings(Protocol):
    """An entry of the table ALGORITHMS, made of the settings of section [algorithm]."""

    def head(self, features: int, actions: int) -> nn.Module:
        """What the network ends with, from [batch, features]."""
        ...

    def updates(self, steps: int, copies: int) -> int:
        """Optimizer steps in a run of so many steps of the world, all copies together; at most, where it depends."""
        ...

    def begin(self, setup: Setup) -> "Algorithm":
        """What learns. Raises UserError for settings that do not go with the world or with each other."""
        ...


class Algorithm(Protocol):
    """What acts and learns. At rest between two moments, when all that it goes on from is in its state."""

    def act(self, observations: Tensor, moment: int) -> Tensor:
        """int64 [copies]: what is played, exploring; a function of the state, the seed and the moment."""
        ...

    def note(self, observations: Tensor, actions: Tensor, step: Step) -> None:
        """Take in what came of the actions."""
        ...

    def losses(self) -> Iterator[dict[str, Tensor]]:
        """The loss terms of each update that is due now. The caller moves the weights before it asks for the next."""
        ...

    def interrupt(self) -> None:
        """Nothing goes on from what was seen last: the world has begun new episodes."""
        ...

    def greedy(self, network: nn.Module, observations: Tensor) -> Tensor:
        """int64 [copies]: what `network`, the one that is judged, plays when it is measured."""
        ...

    def values(self, network: nn.Module, observations: Tensor) -> Tensor | None:
        """float [copies]: the discounted return that it expects from here; None where it expects none."""
        ...

    @property
    def discount(self) -> float: ...

    def diagnostics(self) -> dict[str, float]:
        """What the next row of the history says of it, since it was last asked; "exploration" among it."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def at_least(name: str, value: float, least: float) -> None:
    """Raises UserError for a setting of section [algorithm] below `least`, or that is not a number."""
    if not least <= value < math.inf:
        raise UserError(f"algorithm.{name} must be at least {least:,}; got {value}")


def in_unit(name: str, value: float) -> None:
    """Raises UserError for a setting that is no fraction."""
    if not 0 <= value <= 1:
        raise UserError(f"algorithm.{name} is in 0 .. 1; got {value}")


def one_of(name: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise UserError(f"algorithm.{name} is one of {', '.join(accepted)}; got {value!r}")
