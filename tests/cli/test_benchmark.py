"""The verb `benchmark`: every runtime on a network of anybody's, and what is refused in one line."""

import json
import re
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

QUICK = ("--seconds", "0.1", "--threads", "1")
OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                                    nn.LazyLinear(outputs))
        self.layers(torch.zeros(2, 3, 16, 16))

    def forward(self, pictures):
        return self.layers(pictures)
"""


def foreign(path: Path, *, batch: str | int = "batch", channels: int = 3, kind: int = TensorProto.FLOAT,
            inputs: int = 1) -> Path:
    """An ONNX file that Lensmith did not write: the mean of each picture."""
    values = [helper.make_tensor_value_info(f"input_{number}", kind, [batch, channels, "height", 8])
              for number in range(inputs)]
    nodes = [helper.make_node("Cast", ["input_0"], ["floats"], to=TensorProto.FLOAT),
             helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2, 3], keepdims=1)]
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, [batch, 1, 1, 1])
    graph = helper.make_graph(nodes, "any", values, [mean])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_network_of_the_tables_in_every_runtime(command):
    ended = command("benchmark", "lenet", "--size", "20", "--batch", "1,3", "--json", *QUICK)
    found = json.loads(ended.out)
    assert ended.err == "" and found["shape"] == [3, 20, 20] and found["dtype"] == "uint8" and found["threads"] == 1
    assert found["problems"] == {} and found["machine"]["cores"] >= 1
    whats = ["torch", "torch rewritten", "onnxruntime", "openvino", "training step"]
    assert [(row["batch"], row["what"]) for row in found["rows"] if "bfloat16" not in row["what"]] == \
        [(batch, what) for batch in (1, 3) for what in whats]
    for row in found["rows"]:
        assert 0 < row["p50_ms"] <= row["p95_ms"] and row["calls"] >= 5 and row["cpu_ms"] > 0
        assert row["pictures_per_second"] == pytest.approx(1000 * row["batch"] / row["p50_ms"], rel=0.01)
        assert row["memory_bytes"] is None or row["memory_bytes"] >= 0
        exact = row["what"] in ("torch rewritten", "onnxruntime", "openvino")
        assert row["difference"] < 1e-4 if exact else "bfloat16" in row["what"] or row["difference"] is None


def test_the_table_and_a_network_of_ones_own(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_net.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lensmith.ship.runtimes.packages.find_spec", lambda name: None if name == "openvino" else name)
    ended = command("benchmark", "my_net.py:Net", "--size", "16", "--batch", "1,2", *QUICK)
    lines = ended.out.splitlines()
    assert re.fullmatch(r"my_net.py:Net: [\d,]+ parameters, float32 pictures of 3 x 16 x 16, 1 thread of \d+ on .+",
                        lines[0])
    assert lines[1].split() == ["batch", "what", "p50", "ms", "p95", "ms", "CPU", "ms", "pictures/s", "memory", "MB",
                                "difference", "calls"]
    assert [line.split()[0] for line in lines[2:10]] == ["1"] * 4 + ["2"] * 4
    assert lines[2].split()[1:3] == ["torch", "(float32,"] and lines[5].split()[1:3] == ["training", "step"]
    assert re.match(r"batch 1: (torch|torch rewritten|onnxruntime) is the fastest", lines[10])
    assert 'openvino was not measured: it is not installed: pip install "lensmith[deploy]"' in ended.err
    assert not list(tmp_path.glob("*.onnx"))


def test_a_run_with_its_answers(trained: Path, command):
    found = json.loads(command("benchmark", trained, "--batch", "2", "--json", *QUICK).out)
    assert found["shape"] == [3, 20, 20] and {row["what"] for row in found["rows"]} >= {"torch", "openvino"}
    assert all(row["difference"] < 1e-4 for row in found["rows"] if row["what"] in ("onnxruntime", "openvino"))


def test_a_file_of_anybodys(command, tmp_path: Path):
    file = foreign(tmp_path / "any.onnx")
    found = json.loads(command("benchmark", file, "--size", "24x8", "--batch", "1,4", "--json", *QUICK).out)
    assert found["network"] == "any.onnx" and found["shape"] == [3, 24, 8] and found["dtype"] == "float32"
    assert [(row["batch"], row["what"]) for row in found["rows"] if "bfloat16" not in row["what"]] == \
        [(1, "onnxruntime"), (1, "openvino"), (4, "onnxruntime"), (4, "openvino")]
    ended = command("benchmark", foreign(tmp_path / "one.onnx", batch=1, kind=TensorProto.UINT8), *QUICK)
    assert "uint8 pictures of 3 x 224 x 8" in ended.out and ended.code == 0
    assert "batch 32 was not measured: the file takes batches of 1 alone" in ended.err


def test_what_cannot_be_timed_is_one_line(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def refused(text: str, *arguments: object, code: int = 2) -> None:
        ended = command("benchmark", *arguments)
        assert ended.code == code and ended.err.count("\n") == 1 and ended.out == "", ended.err
        assert text in ended.err, ended.err

    for batch in ("0", "1,x", "", "1,,2", "9999", "-1"):
        refused("--batch takes numbers of pictures from 1 to 4,096, as 1,32; got ", "lenet", f"--batch={batch}")
    refused("--size takes the edge of a square picture", "lenet", "--size", "0")
    refused("Did you mean 'lenet'?", "lennet", code=4)
    refused("there is no file none.onnx", "none.onnx", code=4)
    refused("is a file, which has no settings: leave 'depth=2' out", "none.onnx", "depth=2")
    (tmp_path / "text.onnx").write_text("no network")
    refused("is not an ONNX file, or is damaged", "text.onnx", code=4)
    refused("takes 2 inputs ('input_0', 'input_1'), and a network of pictures takes one",
            foreign(tmp_path / "two.onnx", inputs=2), code=4)
    refused("of type 7, and pictures are four axes of float32, float16, uint8",
            foreign(tmp_path / "int64.onnx", kind=TensorProto.INT64), code=4)
    refused("takes pictures of 1 channels, and 3 are asked for: leave --channels out",
            foreign(tmp_path / "gray.onnx", channels=1), "--channels", "3", code=4)
    refused("takes pictures of ? x 8 pixels, and size in the command is 16 x 16: leave size out",
            tmp_path / "gray.onnx", "--size", "16", code=4)
    (tmp_path / "my_net.py").write_text(OWN)
    refused("my_net.py:Net cannot be run on pictures of 3 x 40 x 40 (", "my_net.py:Net", "--size", "40", *QUICK,
            code=4)
    assert "torch" in sys.modules
