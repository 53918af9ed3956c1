"""Ctrl-C twice and three times in quick succession, by real signals: run.json is true and says how to go on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A training that takes its time at a place: in a step, in one of the second process alone, while it is measured.
PROGRAM = """
import os, sys, time
from pathlib import Path
import lensmith.cli.train as verb
from lensmith.cli import main
from lensmith.engine.distributed.launch import is_distributed, launch

place, rank = sys.argv.pop(1), os.environ.get("RANK", "0")
verb.launch = lambda count, arguments: launch(count, [place, *arguments], program=[__file__])

def slow(kind, name):
    real = getattr(kind, name)
    def slowly(*given, **named):
        Path(f"began{rank}").touch()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.01)
        return real(*given, **named)
    setattr(kind, name, slowly)

if is_distributed() or "--processes" not in sys.argv:
    from lensmith.engine.stepper import Stepper
    from lensmith.training.session import Session
    if place == "measure":
        slow(Session, "_measure")
    elif place == "step" or rank == "1":
        slow(Stepper, "move")
main()
"""
COMMAND = ["train", "shapes", "data.count=60", "data.size=32", "--backbone", "lenet", "--plan", "exact", "--epochs",
           "1", "--batch", "8", "--device", "cpu", "-q"]
SLOW = pytest.mark.slow


@pytest.mark.parametrize(("place", "processes", "times"), [
    ("measure", 1, 3), pytest.param("measure", 1, 2, marks=SLOW), pytest.param("step", 1, 2, marks=SLOW),
    pytest.param("step", 1, 3, marks=SLOW), pytest.param("measure", 2, 2, marks=SLOW),
    pytest.param("measure", 2, 3, marks=SLOW), pytest.param("step", 2, 2, marks=SLOW),
    pytest.param("step", 2, 3, marks=SLOW), pytest.param("other", 2, 2, marks=SLOW),
    pytest.param("other", 2, 3, marks=SLOW)])
@pytest.mark.parametrize("pause", [0.0, pytest.param(0.2, marks=SLOW)])
def test_quick_ctrl_cs_are_written_and_the_run_goes_on(tmp_path: Path, command, monkeypatch, place: str,
                                                       processes: int, times: int, pause: float):
    monkeypatch.chdir(tmp_path)
    Path("program.py").write_text(PROGRAM)
    several = ["--processes", str(processes)] if processes > 1 else []
    process = subprocess.Popen([sys.executable, "program.py", place, *COMMAND, *several, "--name", "k", "--runs", "."],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not Path("began1" if place == "other" else "began0").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01 + pause)
    told = process.communicate(timeout=120)[1]
    words = "interrupted while it was measured" if place == "measure" else "interrupted before the step had ended"
    assert process.returncode == 130 and "Traceback" not in told, told
    assert told == f"lensmith: {words}; the last state saved is whole. Go on with: lensmith train --resume k\n"
    facts = json.loads(Path("k/run.json").read_text())
    assert facts["status"] == "interrupted" and f"lensmith: {facts['reason']}\n" == told
    assert "This run was interrupted" in Path("k/report.html").read_text() and not list(Path("k").glob(".*"))
    if processes == 1:
        assert command("train", "--resume", "k").code == 0
        assert json.loads(Path("k/run.json").read_text())["status"] == "finished"
