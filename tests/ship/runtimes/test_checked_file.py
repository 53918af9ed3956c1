"""What opening and running a file takes is told by the process that does it, and not by the one that asks."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from lensmith.ship.runtimes.checked_file import check_file, memory_of_file
from tests.hostile_onnx import own_network

HELD = 96 << 20    # bytes of a tensor that the file makes of a picture


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small classifier that makes a large tensor on the side."""
    model = own_network()
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([HELD // 4, 1], np.int64), "large"))
    graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
    softmax = graph.node.pop()
    for node in (helper.make_node("ReduceMean", ["logits"], ["mean"], keepdims=0),
                 helper.make_node("Expand", ["mean", "large"], ["tensor"]),
                 helper.make_node("Gather", ["tensor", "first"], ["one"], axis=0),
                 helper.make_node("Sub", ["one", "mean"], ["zero"]),
                 helper.make_node("Add", ["logits", "zero"], ["same"])):
        graph.node.append(node)
    softmax.input[0] = "same"
    graph.node.append(softmax)
    onnx.save(model, tmp_path / "large.onnx")
    return tmp_path / "large.onnx"


def test_memory_is_that_of_the_file_however_much_this_process_holds(file: Path):
    ours = np.ones(2 * HELD, np.uint8)    # which a process that this one starts is said to have had at most
    checked = check_file(file, ["onnxruntime"])
    assert HELD <= checked.memory < 1.5 * HELD
    found = memory_of_file(file, checked.facts, "onnxruntime")
    assert found is not None and HELD <= found < 1.5 * HELD and ours[0] == 1
