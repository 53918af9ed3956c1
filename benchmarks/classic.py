"""The classic job, whole processes side by side: `lensmith train recipes/fashion-lenet.toml` against a plain script.

    python benchmarks/classic.py [times]

Both train the sigmoid LeNet on Fashion-MNIST for 5 epochs of batch 64 and test it on the 10,000 test pictures; Lensmith
also holds a part out, measures it after each epoch, saves, and writes its report. Run in turn, `times` times (3);
prints seconds, the ratio of each pair, peak memory, accuracy, and the medians.
"""

import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from lensmith.base.device import environment
from lensmith.data.idx import fashion_mnist

HERE = Path(__file__).parent


def timed(command: list[str], output: Path) -> tuple[float, float]:
    """(seconds, peak memory in MB) of a process, its stdout in `output`."""
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.execv(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{' '.join(command)} failed with status {status}")
    return seconds, usage.ru_maxrss / 1024


def torchvision_layout(folder: Path) -> None:
    """The files where torchvision looks for them, unpacked as it leaves them after a download."""
    source = Path(fashion_mnist().account["folder"])
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in source.glob("*ubyte*"):
        target = raw / file.name.removesuffix(".gz")
        target.write_bytes(gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes())


def main(times: int) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        torchvision_layout(folder)
        plain = [sys.executable, str(HERE / "classic_plain.py"), str(folder), "0"]
        ours = [sys.executable, "-m", "lensmith", "train", str(HERE.parent / "recipes" / "fashion-lenet.toml"),
                "--runs", str(folder / "runs"), "--json", "--quiet"]
        found = environment()
        print(f"{found['processor']}, {found['cores']} cores, torch {torch.__version__}, threads {found['threads']}")
        print("run  plain s  lensmith s  ratio  plain MB  lensmith MB  plain test  lensmith test")
        rows = []
        for number in range(times):
            plain_seconds, plain_memory = timed(plain, folder / "plain")
            own_seconds, own_memory = timed(ours, folder / "own")
            accuracy = json.loads((folder / "own").read_text())["test"]["accuracy_top1"]
            rows.append((plain_seconds, own_seconds, own_seconds / plain_seconds, plain_memory, own_memory))
            told = float((folder / "plain").read_text())
            print(f"{number + 1:>3}  {plain_seconds:7.1f}  {own_seconds:10.1f}  {rows[-1][2]:5.2f}  "
                  f"{plain_memory:8.0f}  {own_memory:11.0f}  {told:10.4f}  {accuracy:13.4f}", flush=True)
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"median ratio {medians[2]:.2f}, peak memory {medians[4]:.0f} MB against {medians[3]:.0f} MB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
