"""Whatever stands in a run folder, a command ends with a result or a line, in seconds and in little memory.

Each pair of a damage and a command follows from its number alone, so that one that fails can be tried again by it.
"""

import random
import resource
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from PIL import Image

from lensmith.api import train
from lensmith.base.folder_lock import LOCK
from lensmith.cli.app import VERBS, application, main
from lensmith.engine.vitals import Vitals
from lensmith.study.explain.page import write_explanations
from lensmith.training.exported import export_run
from lensmith.training.trained import load

HOSTILE = Path(__file__).with_name("hostile_folders.py")
SECONDS = 10.0           # of the processor, that a command may take
EXPORTING = 30.0         # that torch's exporter may: a whole detector takes it 8 on a busy machine
MEMORY = 8 << 30         # bytes of addresses that a process of its own gets; torch itself reserves several GB
CODES = (0, 2, 3, 4, 5, 6)
IN_PROCESS, A_TEST, QUICK = 20_000, 500, 40    # pairs in all, in one test of the slow tier, and in the fast tier
ALONE, ALONE_QUICK = 200, 2                    # pairs in processes of their own
BEGINNING = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({0}, {0})); " \
    "resource.setrlimit(resource.RLIMIT_CPU, ({1}, {1})); from lensmith.cli.app import main; main()"


@pytest.fixture(scope="module")
def hostile() -> Iterator[object]:
    """The module that damages, which lies beside this one."""
    sys.path.insert(0, str(HOSTILE.parent))
    import hostile_folders

    yield hostile_folders
    sys.path.remove(str(HOSTILE.parent))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A classifier, one that began with its weights, and a detector."""
    folder = tmp_path_factory.mktemp("whole")
    common = {"data.count": 24, "data.size": 20, "plan.mode": "exact"}
    with pytest.MonkeyPatch.context() as patch:    # so short a run has no time to be looked at
        patch.setattr(Vitals, "_is_time", lambda self, report, now: True)
        train("shapes", backbone="lenet", epochs=2, name="first", runs=folder, settings=common)
    train("shapes", epochs=1, name="second", runs=folder, trust=True,
          settings=common | {"learner.weights": str(folder / "first")})
    train("shapes", task="detection", backbone="simple", epochs=1, name="detector", runs=folder,
          settings=common | {"task.width": 8})
    Image.effect_noise((40, 40), 80).convert("RGB").save(folder / "picture.png")
    first = load(folder / "first")
    export_run(first)    # model.onnx and export.json
    write_explanations("first", first.explain(folder / "picture.png"), first.run.explained_folder())
    runs = [folder / name for name in ("first", "second", "detector")]
    for run in runs:
        for picture in sorted(run.rglob("*.png"))[2:]:    # copying them takes as long as most commands
            picture.unlink()
    return runs


def pair(number: int, runs: list[Path], place: Path, hostile) -> tuple[str, list[str]]:
    """What a number damages, and the command that is given the folder."""
    draw = random.Random(number)
    run = draw.choice(runs)
    copy = hostile.fresh_copy(run, place / "runs")
    shutil.rmtree(place / "out", ignore_errors=True)
    (place / "out").mkdir()
    done = hostile.damage(copy, draw)
    other = runs[1] if run == runs[0] else runs[0]
    return done, hostile.command_for(copy, other, runs[0].parent / "picture.png", place / "out" / "new", draw)


@cache
def command_of(verbs: tuple[str, ...]) -> Any:
    """The command, made once: it takes as long as reading a run folder."""
    return typer.main.get_command(application({name: VERBS[name] for name in verbs}))


def seconds_of_processor() -> float:
    """What this process has used, and those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def check(number: int, runs: list[Path], place: Path, hostile, capsys, monkeypatch) -> None:
    done, words = pair(number, runs, place, hostile)
    monkeypatch.setattr(sys, "argv", ["lensmith", *words])
    monkeypatch.setattr("lensmith.cli.app.command_with", lambda verbs: command_of(tuple(verbs)))
    what, began = f"pair {number}: {done}; lensmith {' '.join(words)}", seconds_of_processor()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main()
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__}") from error
    seconds, (_, err) = seconds_of_processor() - began, capsys.readouterr()
    torch.set_num_threads(1)
    assert code in CODES, f"{what}: exit code {code}"
    assert code == 0 or err.splitlines()[-1].startswith("lensmith: "), f"{what}: {err}"
    exports = words[0] in ("export", "benchmark", "compress") or "--runtime" in words
    limit = EXPORTING if exports else SECONDS
    assert seconds < limit, f"{what}: {seconds:.0f} s"


def test_every_file_and_every_verb_is_reached(runs, tmp_path: Path, hostile):
    damaged, verbs = set(), set()
    for number in range(800):
        done, words = pair(number, runs, tmp_path, hostile)
        damaged.add(done.partition(":")[0])
        verbs.add(next(name for name in VERBS if words[: len(name.split())] == name.split()))
    files = {path.name for run in runs for path in run.rglob("*") if path.is_file() and path.suffix != ".png"}
    assert files | {LOCK} <= damaged and len(files) >= 13 and any(name.endswith(".png") for name in damaged)
    assert verbs == set(VERBS) - {"data list", "data get", "info"}    # which take no folder


def check_several(numbers: range, runs, place, hostile, capsys, monkeypatch) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        check(number, runs, place, hostile, capsys, monkeypatch)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20    # kilobytes


def test_damaged_folders(runs, tmp_path: Path, hostile, capsys, monkeypatch):
    check_several(range(QUICK), runs, tmp_path, hostile, capsys, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, IN_PROCESS + QUICK, A_TEST))
def test_twenty_thousand_damaged_folders(runs, tmp_path: Path, hostile, capsys, monkeypatch, first: int):
    check_several(range(first, first + A_TEST), runs, tmp_path, hostile, capsys, monkeypatch)


def check_alone(number: int, runs: list[Path], place: Path, hostile) -> None:
    done, words = pair(number, runs, place, hostile)
    begin = BEGINNING.format(MEMORY, 3 * int(SECONDS))    # importing torch takes some of them
    ended = subprocess.run([sys.executable, "-c", begin, *words], capture_output=True, text=True, check=False,
                           timeout=600, errors="replace")
    what = f"pair {number}: {done}; lensmith {' '.join(words)}: exit code {ended.returncode}\n{ended.stderr[-2000:]}"
    assert ended.returncode in CODES and "Traceback" not in ended.stderr, what
    assert ended.returncode == 0 or ended.stderr.splitlines()[-1].startswith("lensmith: "), what


def test_damaged_folders_in_processes_of_their_own(runs, tmp_path: Path, hostile):
    for number in range(-ALONE_QUICK, 0):
        check_alone(number, runs, tmp_path, hostile)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(-ALONE, -ALONE_QUICK, 20))
def test_two_hundred_damaged_folders_in_processes_of_their_own(runs, tmp_path: Path, hostile, first: int):
    for number in range(first, min(first + 20, -ALONE_QUICK)):
        check_alone(number, runs, tmp_path, hostile)
