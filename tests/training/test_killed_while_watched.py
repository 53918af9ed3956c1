"""A run that is looked at and killed by SIGKILL goes on to the bits of one that was never looked at."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

ARGUMENTS = ["shapes", "data.count=3000", "data.size=32", "--backbone", "lenet3x3", "--epochs", "5", "--plan", "exact",
             "plan.threads=1", "learner.average=0.9", "augment.flip=true", "augment.mixup=0.2", "run.save_every=0.2",
             "-q"]


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "lensmith", "train", *arguments])


def rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / "vitals.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def kill_after(process: subprocess.Popen[bytes], folder: Path, seen: int) -> int:
    """Kill the process once so many looks were written; -> how many had been."""
    limit = time.monotonic() + 600
    while len(rows(folder)) < seen and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    assert process.poll() is None, "it had ended before"
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(rows(folder))


def test_it_learns_the_same_bits(tmp_path: Path):
    new = [*ARGUMENTS, "--runs", str(tmp_path), "--name"]
    on, off = tmp_path / "on", tmp_path / "off"
    assert start(*new, "off", "run.vitals=false").wait(900) == 0
    seen = kill_after(start(*new, "on"), on, 1)
    seen = kill_after(start("--resume", str(on), "-q"), on, seen + 1)
    assert start("--resume", str(on), "-q").wait(900) == 0
    assert len(rows(on)) >= seen and not (off / "vitals.json").exists()
    for file in ("last", "best"):
        wanted, got = (load_file(folder / f"{file}.safetensors") for folder in (off, on))
        assert wanted.keys() == got.keys() and all(torch.equal(value, got[name]) for name, value in wanted.items())
