"""What many tests need: the command in this process, small sets, and a folder of pictures."""

import importlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

from lensmith.base.pictures import to_pil
from lensmith.cli.app import main
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.data.sources.in_memory import InMemory
from lensmith.engine.plan.candidates import Choice

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
settings.register_profile("any machine", deadline=None)    # a busy one takes its time
settings.load_profile("any machine")
# A shell that starts the tests in the background has them ignore Ctrl-C, and their processes with them.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_timed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test does must not hang on which plan is faster at that moment; the user's cache is left alone. Small
    pictures are learned by a small network, which takes a second, unless a test asks for the default."""
    monkeypatch.setattr("lensmith.tasks.usual_settings._FEW", 0)
    monkeypatch.setattr("lensmith.recipe.choose_plan.pick", lambda wanted, *_, **__: Choice(wanted.plain()))
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def refused(self, *words: str, code: int = 2) -> None:
        """It has to have ended with this code and one line on stderr, which has all of the words."""
        lines = self.err.strip().splitlines()
        assert (self.code, len(lines)) == (code, 1), self.err
        for word in words:
            assert word in lines[0], lines[0]


Command = Callable[..., Ended]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `lensmith ...` in this process; -> its exit code, stdout and stderr."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["lensmith", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        signal.signal(signal.SIGINT, signal.default_int_handler)    # which what was interrupted ignores
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def drawn() -> dict[str, InMemory]:
    """The drawn set, small: "train" and "test"."""
    return dict(shapes(count=240, size=20).splits)


@pytest.fixture
def photos(tmp_path: Path, drawn: dict[str, InMemory]) -> Path:
    """Class folders of 60 PNG files in three classes, without a split."""
    folder = tmp_path / "photos"
    train = drawn["train"]
    names = train.classes["label"]
    for i in range(60):
        sample = train[i]
        place = folder / names[int(sample.targets["label"].index)]
        place.mkdir(parents=True, exist_ok=True)
        to_pil(sample.image).save(place / f"{i:03d}.png")
    return folder


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A benchmark's module by its name."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def found(name: str) -> ModuleType:
        return importlib.import_module(name)

    return found
