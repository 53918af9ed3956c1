"""How many epochs of a program end with a budget of seconds, from a short run of it that does not count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEEWAY = 1.03    # an epoch that ends this little behind the budget is still taken


@dataclass(frozen=True)
class Pace:
    """Seconds of a program: beside epochs and test, of what comes before the first whole epoch, and a picture."""

    rest: float     # of a process, whatever it learns from
    head: float     # a picture, of the epoch of the head alone that fine-tuning begins with; 0 where there is none
    epoch: float    # a picture of an epoch, with what the program does after each
    test: float     # a picture of the test

    def epochs(self, seconds: float, *, train: int, test: int) -> int:
        """The epochs on `train` pictures after which a process that tests `test` ends with `seconds`; at least one."""
        left = LEEWAY * seconds - self.rest - test * self.test - train * self.head
        return max(1, int(left / (train * self.epoch)))


def pace_of(answer: dict[str, Any], process: float, *, train: int, test: int, with_head: bool) -> Pace:
    """The pace of a run that took `process` seconds, by the seconds of its epochs and its test that it tells.

    The last epoch stands for all, as the first one warms up.
    """
    epochs: Sequence[float] = answer["epochs"]
    return Pace(rest=process - sum(epochs) - answer["testing"], head=epochs[0] / train if with_head else 0.0,
                epoch=epochs[-1] / train, test=answer["testing"] / test)
