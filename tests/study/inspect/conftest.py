"""Networks written to a file of the user's own, and what `inspect` says of them."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from lensmith.study.inspect.layers import Inspection, inspect_network
from lensmith.study.inspect.own_code import places_of_building

HEAD = """import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
"""
Inspect = Callable[..., Inspection]


def written(layers: str, forward: str) -> str:
    """The text of my_net.py: `layers` are set in __init__, `forward` ends with the line that returns."""
    indented = ["\n".join(f"        {line}" for line in text.strip().splitlines()) for text in (layers, forward)]
    return f"{HEAD}{indented[0]}\n\n    def forward(self, x):\n{indented[1]}\n"


def marked(text: str, mark: str = "# here") -> int:
    """The number of the line with the mark."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.endswith(mark))


@pytest.fixture
def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inspect:
    """The inspection of a network written to my_net.py, which lies in the working folder."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, *shape: int, timed: bool = False) -> Inspection:
        (tmp_path / "my_net.py").write_text(text)
        specification = importlib.util.spec_from_file_location("my_net", tmp_path / "my_net.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        with places_of_building() as built:
            network = module.Net()
        return inspect_network(network, shape, built=built, timed=timed)

    return run


def told(inspect: Inspect, layers: str, forward: str, *shape: int) -> str:
    """The gravest fault, whose place has to be the marked line; without the place."""
    text = written(layers, forward)
    problem = inspect(text, *shape).totals.problem
    place = f"my_net.py:{marked(text)}: "
    assert problem.startswith(place), problem
    assert "\n" not in problem and problem.endswith(".")
    return problem.removeprefix(place)
