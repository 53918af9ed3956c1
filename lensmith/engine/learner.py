"""What every kind of learning gives: a stream of reports that can be stopped, saved and gone on with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from lensmith.engine.distributed.process_group import ProcessGroup


@dataclass(frozen=True)
class Report:
    """Where learning stands between two steps: all that a restart needs is on the learner."""

    step: int                              # optimizer steps taken so far
    steps: int                             # optimizer steps in all
    epoch: int                             # epochs finished
    loss: float                            # of the last step
    row: dict[str, float] | None = None    # the line of the history where an epoch has just been finished
    score: float | None = None             # with `row`: the number that ranks epochs, more is better; None where
                                           # nothing was held out to rank them by
    waited: float | None = None            # with `row`: the fraction of the epoch's time in which no batch was ready
    measures: bool = False                 # whether the epoch has been learned from and is measured next
    note: str = ""                         # what was changed on the way and is worth a line


class Learner(Protocol):
    """What the run loop asks of supervised learning and of deep Q-learning alike."""

    process_group: ProcessGroup

    @property
    def judged(self) -> nn.Module:
        """The network that is measured, and saved as the best."""

    def __iter__(self) -> Iterator[Report]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
