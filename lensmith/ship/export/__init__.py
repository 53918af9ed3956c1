"""What a run is written as for other programs: the table of targets, one file a target."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from lensmith.ship.export.onnx import write_onnx
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.tasks.task import Task

# The name of a target, which is also the suffix of its file -> what writes it.
TARGETS: dict[str, Callable[[nn.Module, Task, FileFacts, Path], FileFacts]] = {"onnx": write_onnx}
