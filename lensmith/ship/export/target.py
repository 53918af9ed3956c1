"""What an export target is: a kind of file that a network is written as for other programs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.tasks.task import Task


@dataclass(frozen=True)
class Target:
    """One entry of the table `TARGETS`."""

    suffix: str    # of the file
    # Writes the file, whole or not at all; -> the facts as the file has them. Raises UserError where a package is
    # missing or the file cannot be written, ModelError for a network that has no such form.
    write: Callable[[nn.Module, Task, FileFacts, Path], FileFacts]
    name: str = "model"             # of the file by itself, without the suffix
    beside: tuple[str, ...] = ()    # suffixes of the files that belong to it
