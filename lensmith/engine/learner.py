"""What every kind of learning gives: a stream of reports that can be stopped, saved and gone on with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Report:
    """Where learning stands, at rest: everything that a restart needs is on the learner."""

    step: int                              # optimizer steps taken so far
    steps: int                             # optimizer steps in all
    epoch: int                             # epochs finished
    loss: float                            # of the last step
    row: dict[str, float] | None = None    # the line of the history where an epoch has just been finished
    score: float | None = None             # with `row`: the number that ranks epochs, more is better; None where
                                           # nothing was held out to rank them by
    waited: float | None = None            # with `row`: the share of the epoch's time in which no batch was ready
    note: str = ""                         # what was changed on the way and is worth a line


class Learner(Protocol):
    """Supervised learning and deep Q-learning alike."""

    def __iter__(self) -> Iterator[Report]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
