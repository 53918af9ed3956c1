"""Latencies: what is counted, and by which names a file's and a module's are given."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lensmith.ship.runtimes.latency import Took, drawn_batch, in_turn, latency, latency_of, timed_call


class Slow(nn.Module):
    """Takes so many seconds, and notes in which mode it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training)
        time.sleep(0.01)
        return pictures.float().mean((1, 2, 3))


def test_percentiles_are_those_of_numpy():
    times = np.random.default_rng(0).exponential(size=(37, 2))
    found = latency([Took(*row) for row in times.tolist()])
    assert (found.p50, found.p95) == pytest.approx(np.percentile(times[:, 0], [50, 95])) and found.calls == 37
    assert found.cpu == pytest.approx(np.median(times[:, 1]))
    assert found.as_json() == {"p50": found.p50, "p95": found.p95, "cpu": found.cpu, "calls": 37}


def test_runs_take_turns_and_the_first_call_of_each_prepares(monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    monkeypatch.setattr("time.perf_counter", lambda: float(len(calls)))
    monkeypatch.setattr("time.process_time", lambda: float(2 * len(calls)))
    found = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, seconds=0)
    assert calls == ["a", "b"] * 6 and found == {"a": [Took(1.0, 2.0)] * 5, "b": [Took(1.0, 2.0)] * 5}


def test_computing_and_waiting_are_told_apart():
    waited = timed_call(lambda: time.sleep(0.05))
    assert waited.seconds >= 0.05 > waited.cpu
    computed = timed_call(lambda: sum(range(1_000_000)))
    assert 0.5 * computed.cpu <= computed.seconds and computed.cpu > 0.001


def test_a_module_is_timed_in_evaluation_mode_and_left_as_it_was():
    network, threads = Slow().train(), torch.get_num_threads()
    found = latency_of(network, (2, 3, 8, 8), threads=1, seconds=0.05)
    assert list(found) == ["torch"] and found["torch"].p50 >= 0.01 and found["torch"].calls >= 5
    assert network.training and not any(network.modes) and torch.get_num_threads() == threads


def test_a_file_is_timed_in_every_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from onnx import TensorProto, helper, save_model

    inputs = helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", 3, 8, 8])
    outputs = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], "one", [inputs],
                              [outputs])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10),
               tmp_path / "one.onnx")
    found = latency_of(tmp_path / "one.onnx", (4, 3, 8, 8), seconds=0.01, of_file="int8")
    assert list(found) == ["onnxruntime", "openvino"]
    monkeypatch.setattr("lensmith.ship.runtimes.candidates.multiplies_bfloat16", lambda: True)
    found = latency_of(tmp_path / "one.onnx", (4, 3, 8, 8), seconds=0.01)
    assert list(found) == ["onnxruntime", "openvino", "openvino:bfloat16"]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_a_drawn_batch_is_the_same_each_time_and_fills_its_range(dtype: torch.dtype):
    batch = drawn_batch((2, 3, 32, 32), dtype)
    assert batch.dtype == dtype and torch.equal(batch, drawn_batch((2, 3, 32, 32), dtype))
    numbers = batch.double()
    largest = {torch.uint8: 255, torch.uint16: 65535, torch.float32: 1}[dtype]
    assert numbers.min() < 0.02 * largest and 0.98 * largest < numbers.max() <= largest
