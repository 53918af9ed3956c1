"""A network of anybody's as an ONNX file: whatever its output is made of, the tensors come in their order."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.ship.export.flat_outputs import tensors_in, write_flat_onnx
from lensmith.ship.runtimes import RUNTIMES


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


@dataclass
class Record:
    word: str
    value: Tensor


class Own(nn.Module):
    """Takes floats, and gives a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, pictures: Tensor) -> dict[str, object]:
        maps = self.layer(pictures)
        return {"maps": [maps], "mean": maps.mean((2, 3))}


def test_tensors_are_found_in_their_order():
    one, two, three, four = (torch.tensor(number) for number in range(4))
    output = {"a": [one, None, 3], "b": Pair(two, three), "c": Record("word", four)}
    assert [int(tensor) for tensor in tensors_in(output)] == [0, 1, 2, 3]
    assert tensors_in("nothing") == []


def test_the_file_gives_what_the_network_gives_for_any_batch(tmp_path: Path):
    network, pictures = Own().train(), torch.rand(5, 3, 12, 10)
    write_flat_onnx(network, pictures[:1], tmp_path / "own.onnx")
    assert network.training
    expected = network(pictures)
    for name in ("onnxruntime", "openvino"):
        opener = RUNTIMES[name].open
        assert opener is not None
        found = opener(tmp_path / "own.onnx", 1, "float32")(pictures)
        assert list(found) == ["output_0", "output_1"]
        torch.testing.assert_close(found["output_0"], expected["maps"][0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found["output_1"], expected["mean"], atol=1e-5, rtol=1e-4)


def test_a_network_without_tensors_is_refused(tmp_path: Path):
    class Words(nn.Module):
        def forward(self, pictures: Tensor) -> str:
            return "cat"

    with pytest.raises(ModelError, match="gives no tensor"):
        write_flat_onnx(Words(), torch.rand(1, 3, 8, 8), tmp_path / "words.onnx")
    assert not list(tmp_path.iterdir())
