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

    package: str                   # that has to be installed
    suffixes: tuple[str, ...]      # of the files that it opens
    # What it can multiply weights of float32 in, on a machine that has it. An INT8 file is opened like one of float32.
    precisions: tuple[str, ...]
    # From a file, a number of threads and a precision; None of torch, which runs the network of a run folder and no
    # file.
    open: Callable[[Path, int, str], OpenFile] | None
