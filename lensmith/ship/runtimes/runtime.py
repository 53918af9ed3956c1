"""What a runtime is: a program that computes a network's answers from a file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor


class OpenFile(Protocol):
    """A file that is ready to be run."""

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        """The outputs of the file by name, for pictures uint8 or uint16 [batch, channels, height, width]."""


@dataclass(frozen=True)
class Runtime:
    """One entry of the table `RUNTIMES`."""

    package: str    # that has to be installed
    # From a file and a number of threads; None of torch, which runs the network of a run folder and no file.
    open: Callable[[Path, int], OpenFile] | None
