"""Make tests/fixtures/old_runs again: runs of a commit that were killed, and how the same runs ended undisturbed.

    python scripts/make_old_runs.py COMMIT [--folder FOLDER]

Each case has a folder `run`, as SIGKILL left it in the middle of an epoch, and a folder `end` with the last state and
the metrics of the run that was not killed. Everything is drawn and every path is relative, so that nothing in it tells
of the machine but environment.json.
"""


import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from same_numbers import REPOSITORY, checked_out

_MAPS = ("--backbone", "stack",
         'backbone.layers=[{conv = 4, kernel = 3, stride = 2, padding = 1}, {batchnorm = true}, "relu", '
         '{conv = 6, kernel = 3, stride = 2, padding = 1}, {batchnorm = true}, "relu", '
         '{conv = 8, kernel = 3, stride = 2, padding = 1}, {batchnorm = true}, "relu"]')
CASES = {
    "classification": (
        "data.count=180", "data.size=16", "--batch", "10", "learner.average=0.9", "augment.flip=true",
        "augment.crop_padding=2", "augment.mixup=0.3", "--backbone", "stack",
        'backbone.layers=[{conv = 8, kernel = 3, stride = 2}, {batchnorm = true}, "relu", {dropout = 0.2}, '
        '{separable = 16, kernel = 3}, {batchnorm = true}, "relu", {globalpool = "mean"}, {dropout = 0.1}]'),
    "detection": (
        "data.count=60", "data.size=32", "--task", "detection", *_MAPS, "task.width=8", "--batch", "8",
        "learner.average=0.9", "augment.mosaic=0.8", "augment.zoom=[0.5, 1.5]", "augment.flip=true",
        "augment.hue=0.02", "augment.close_mosaic=1"),
    "multitask": (
        "data.count=60", "data.size=32", "--task", "multitask", *_MAPS, "task.balance=uncertainty",
        'task.parts=["label", "mask"]', "task.settings={mask = {width = 2}}", "--batch", "8", "augment.flip=true"),
}
_COMMON = ("--epochs", "3", "--plan", "exact", "plan.threads=1", "--device", "cpu", "run.save_every=0.01", "--runs",
           "runs", "-q")
_KILLED_IN = 1         # epochs that are whole when the run is killed
_ATTEMPTS = 5
_KEPT = ("last.safetensors", "metrics.json")    # of the run that was not killed


def start(name: str, case: str, tree: Path, folder: Path) -> subprocess.Popen[bytes]:
    """A training of the case, as the run `name` under `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "lensmith", "train", "shapes", *CASES[case], *_COMMON, "--name", name], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL)


def killed_within(process: subprocess.Popen[bytes], run: Path) -> bool:
    """SIGKILL the process in the middle of an epoch; -> whether it was, with the checkpoint of a middle left behind."""
    while process.poll() is None:
        if _position(run) is not None:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    return process.wait() == -signal.SIGKILL and _position(run) is not None


def _position(run: Path) -> int | None:
    """The batch of its epoch that the last checkpoint stands at, where it is in the middle of the epoch wanted."""
    try:
        last = json.loads((run / "last.json").read_text())
    except (OSError, ValueError):
        return None
    return last["position"] if last["epoch"] == _KILLED_IN and last["position"] > 1 else None


def make(case: str, tree: Path, folder: Path, fixtures: Path) -> None:
    """The two runs of a case, and what is kept of them in `fixtures`."""
    if start("whole", case, tree, folder).wait():
        raise SystemExit(f"{case}: the run that was not to be killed has failed")
    run = folder / "runs" / case
    for _ in range(_ATTEMPTS):
        if killed_within(start(case, case, tree, folder), run):
            break
        shutil.rmtree(run, ignore_errors=True)
    else:
        raise SystemExit(f"{case}: no kill hit the middle of epoch {_KILLED_IN + 1}")
    kept = fixtures / case
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(run, kept / "run", ignore=shutil.ignore_patterns(".*"))    # what was being written
    (kept / "end").mkdir()
    for name in _KEPT:
        shutil.copyfile(folder / "runs" / "whole" / name, kept / "end" / name)
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    print(f"{case}: {size / 1000:,.0f} kB")


def main() -> None:
    """Make all cases at a commit."""
    reading = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reading.add_argument("commit", metavar="COMMIT")
    reading.add_argument("--folder", type=Path, default=REPOSITORY / "tests" / "fixtures" / "old_runs")
    given = reading.parse_args()
    with tempfile.TemporaryDirectory(prefix="old-runs-") as place, checked_out(given.commit, Path(place, "tree")):
        for case in CASES:
            folder = Path(place, case)
            folder.mkdir()
            make(case, Path(place, "tree"), folder, given.folder)


if __name__ == "__main__":
    main()
