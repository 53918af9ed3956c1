"""The benchmarks: all compile, and the tiny form of what needs no other environment than ours."""

import importlib
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from lensmith.base.device import environment
from lensmith.engine.plan import Plan
from lensmith.models import find_backbone
from lensmith.models.network import Network

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
PROGRAM = """
from turns import Turn
turn = Turn()
turn.told = {"colour": "blue"}
for pictures in (5, 10, 20):
    turn.begin()
    turn.end(pictures)
"""
ABOUT = {"processor": "a processor", "cores": 2, "threads": 2, "memory_gb": 16.0, "instructions": "AVX2", "cuda": [],
         "python": "3.11.7", "packages": {"torch": "2.15.0"}, "load": 0.5, "gflops_float32": 200.0,
         "gflops_bfloat16": 1500.0}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A benchmark's module by its name."""
    monkeypatch.syspath_prepend(FOLDER)

    def found(name: str) -> ModuleType:
        return importlib.import_module(name)

    return found


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_compiles(path: Path, tmp_path: Path) -> None:
    py_compile.compile(str(path), cfile=str(tmp_path / "compiled"), doraise=True)
    assert path.name == "__init__.py" or path.read_text().startswith('"""')


def test_results_are_written_and_shown_on_the_page(module: Any, tmp_path: Path) -> None:
    rows = [{"network": "lenet", "pictures/s": 12345.6, "ratio": None}, {"network": "a|b", "pictures/s": 7.25,
                                                                        "ratio": 2.5}]
    path = module("results").write("kernels", "python benchmarks/kernels.py", rows, ["Taken at noon."], about=ABOUT,
                                   folder=tmp_path / "results")
    assert json.loads(path.read_text())["rows"] == rows
    module("report").main(tmp_path / "results", tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text().splitlines()
    assert "## Operators" in page and any(line.startswith("`python benchmarks/kernels.py`, 20") for line in page)
    assert "| network | pictures/s | ratio |" in page
    assert "| lenet | 12,346 |  |" in page and "| a\\|b | 7.25 | 2.5 |" in page
    assert "- Taken at noon" in page
    assert any("200 GFLOP/s in float32 and 1500 in bfloat16" in line for line in page)
    assert "- CIFAR-10: `cifar` has no results yet" in page
    assert any(line.startswith("- GPUs: none was at hand") for line in page)


def test_rows_have_the_same_columns(module: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the rows of start have different columns"):
        module("results").write("start", "x", [{"a": 1}, {"b": 1}], about=ABOUT, folder=tmp_path)


def test_no_results_are_told(module: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run a benchmark first"):
        module("report").main(tmp_path, tmp_path / "page.md")


def test_the_machine_is_described(module: Any) -> None:
    found = module("results").machine(size=128, seconds=0.01)
    assert found["gflops_float32"] > 0 and found["gflops_bfloat16"] > 0
    assert found["packages"] == environment()["packages"] and set(found) == set(ABOUT)


def test_the_page_is_that_of_the_results(module: Any, tmp_path: Path) -> None:
    if not list((FOLDER / "results").glob("*.json")):
        pytest.skip("no benchmark has been run")
    module("report").main(target=tmp_path / "page.md")
    assert (FOLDER.parent / "docs" / "performance.md").read_text() == (tmp_path / "page.md").read_text(), \
        "docs/performance.md is not what benchmarks/report.py makes of benchmarks/results: run it"


@pytest.fixture
def program(module: Any, tmp_path: Path) -> Any:
    """Start a program whose source is given."""
    turns = module("turns")
    started = []

    def make(source: str) -> Any:
        (tmp_path / "drawn_program.py").write_text(source)
        path = os.pathsep.join([str(tmp_path), str(FOLDER)])
        started.append(turns.Program("drawn", "drawn_program", {}, environment={"PYTHONPATH": path},
                                     log=tmp_path / "log"))
        return started[-1]

    yield make
    for one in started:
        one.end()


def test_programs_take_turns(module: Any, program: Any) -> None:
    found = program(PROGRAM)
    assert found.told["colour"] == "blue" and found.start_seconds > 0
    rates = module("turns").in_turn([found], rounds=2)
    assert len(rates) == 2 and all(rate[0] > 0 for rate in rates)


def test_a_program_is_stopped_between_its_turns(program: Any) -> None:
    found = program(PROGRAM)
    _, status = os.waitpid(found.process.pid, os.WUNTRACED)    # returns once it is stopped, or has ended
    assert os.WIFSTOPPED(status)
    found.turn()
    found.end()
    assert found.process.returncode == -9


def test_a_program_that_fails_says_why(module: Any, program: Any) -> None:
    with pytest.raises(module("turns").Failed, match="drawn ended with 1: ValueError: no pictures"):
        program("raise ValueError('no pictures')")


@pytest.mark.parametrize(("name", "inputs", "size", "small_stem"), [
    ("lenet", 1, 28, False), ("cnn3", 3, 32, False), ("resnet18", 3, 32, False), ("resnet18", 3, 32, True),
    ("mobilenet_v3_small", 3, 64, False)])
def test_the_peers_train_the_same_network(module: Any, name: str, inputs: int, size: int, small_stem: bool) -> None:
    plain = module("peers.networks").network(name, 10, small_stem=small_stem)
    options = {"small_stem": True} if small_stem else {}
    backbone = find_backbone(name, trusted=False)(inputs=inputs, size=(size, size), **options)
    own = Network(backbone, backbone.classifier(10), mean=[0.0] * inputs, deviation=[1.0] * inputs)
    weights, others = list(plain.parameters()), list(own.parameters())
    assert [one.shape for one in weights] == [one.shape for one in others]
    with torch.no_grad():
        for one, other in zip(weights, others, strict=True):
            one.copy_(other)
    images = torch.rand(2, inputs, size, size)
    torch.testing.assert_close(plain.eval()(images), own.eval()(images))


def test_pictures_are_drawn_where_there_are_none(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path / "absent"))
    assert module("pictures").class_folders("cifar", 23, tmp_path / "data") == "drawn JPEG"
    assert len(list((tmp_path / "data" / "train").glob("*/*.jpg"))) == 23
    assert len(list((tmp_path / "data" / "val").glob("*/*.jpg"))) == 10


def test_candidates_are_all_but_the_picked_and_the_refused(module: Any) -> None:
    picked = Plan("cpu", "bfloat16", "channels_last", 2, rewrites=("fold_batch_norm",))
    half, first = Plan("cpu", "bfloat16", "channels_last", 1), Plan("cpu", "float32", "contiguous", 2, compiled=True)
    told = picked.as_json() | {"timings": [
        picked.as_json() | {"verdict": "chosen"}, half.as_json() | {"verdict": "slower"},
        first.as_json() | {"verdict": "refused: its loss is 3, that of float32 2"}]}
    assert module("candidates").candidates(told) == [
        Plan("cpu", "float32", "channels_last", 2), Plan("cpu", "float32", "contiguous", 2),
        Plan("cpu", "bfloat16", "contiguous", 2), half]


@pytest.mark.slow
def test_a_quick_look_at_the_throughput() -> None:
    done = subprocess.run([sys.executable, FOLDER / "throughput.py", "--quick", "--networks", "cnn3", "--programs",
                           "plain PyTorch"], check=True, capture_output=True, text=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith("network cnn3")]
    assert ["program Lensmith" in rows[0], "program plain PyTorch" in rows[1]] == [True, True]
    assert "Lensmith faster by" in rows[1] and "written" not in done.stdout
