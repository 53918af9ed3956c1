"""Small runs that several files compress and learn from, each trained once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Command

LAYERS = ('backbone.layers=[{conv=16,kernel=3,padding=1},"batchnorm","relu",{maxpool=2},{residual=16},'
          '{separable=32,kernel=3},"relu",{globalpool="mean"}]')
WHOLE = ("shapes", "data.count=120", "data.size=20", "--backbone", "stack", LAYERS, "--device", "cpu",
         "plan.mode=exact", "--epochs", 2)
Once = Callable[..., Path]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they lie."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def once(runs: Path, command: Command) -> Once:
    """The run folder of a name, which a command makes where it is not there yet."""
    def made(name: str, *words: object) -> Path:
        if not (runs / name).exists():
            ended = command(*words, "--name", name, "--runs", runs, "--quiet")
            assert ended.code == 0, ended.err
        return runs / name

    return made


@pytest.fixture
def run(once: Once) -> Path:
    """A run that is large enough to be cut."""
    return once("whole", "train", *WHOLE)


@pytest.fixture
def without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ONNX file is written and timed, which takes long."""
    monkeypatch.setattr("lensmith.training.measured_rows._file", lambda *_: None)
    monkeypatch.setattr("lensmith.training.measured_rows._SECONDS", 0.1)


@pytest.fixture
def pruned(once: Once, run: Path, without_files: None) -> Path:
    """The same with half of the multiply-adds."""
    return once("whole-pruned", "compress", run, "--macs", 0.5)
