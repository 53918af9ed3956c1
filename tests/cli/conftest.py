"""What several verbs are tested on: one trained run."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, trained by the command in a process of its own."""
    runs = tmp_path_factory.mktemp("trained")
    done = subprocess.run([sys.executable, "-m", "lensmith", "train", "shapes", "data.count=900", "data.size=20",
                           "--backbone", "lenet",
                           "--batch", "16", "--epochs", "6", "--name", "one", "--runs", str(runs), "--device", "cpu"],
                          capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("valid accuracy_top1 ") and lines[1].startswith("test  accuracy_top1 ")
    assert lines[2].startswith("      always naming '") and lines[3] == f"run    {runs / 'one'}"
    assert lines[4] == f"report {runs / 'one' / 'report.html'}"
    assert "epoch 6/6" in done.stderr and "epoch" not in done.stdout
    return runs / "one"
