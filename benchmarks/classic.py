"""The classic job, whole processes side by side, in turn: from process start to a test accuracy on Fashion-MNIST.

    python benchmarks/classic.py [times]            # recipes/fashion-fast.toml against the textbook's script
    python benchmarks/classic.py --lenet [times]    # recipes/fashion-lenet.toml: the same network, batch and epochs

The textbook's script trains the sigmoid LeNet for 5 epochs of batch 64 by four loading workers, and ends with a test
accuracy of 0.8744. `fashion-fast` has to reach that, with a seed of its own in each of `times` (5) runs, in a sixth of
the script's time; the score is known when the process ends. With --lenet both train the same network for as long, the
script without workers. Lensmith also saves, and writes its run folder with a report; both measure the 10,000 test
pictures. Prints seconds, the ratio of each pair, accuracy and peak memory of the largest process.
"""

import argparse
import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results import write

from lensmith.data.idx import fashion_mnist

HERE = Path(__file__).parent
TEXTBOOK = 0.8744    # what the textbook reports for its script


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    seconds: float     # from its start
    megabytes: float   # most memory of it, or of the largest of the processes that it started
    output: str


def run(command: list[str], output: Path) -> Ended:
    """Run a command, its stdout by way of the file `output`; leaves this process where it fails."""
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
    return Ended(seconds, usage.ru_maxrss / 1024, output.read_text())


def torchvision_layout(source: Path, folder: Path) -> None:
    """The files of `source` where torchvision looks for them, unpacked as it leaves them after a download."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in source.glob("*ubyte*"):
        target = raw / file.name.removesuffix(".gz")
        target.write_bytes(gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes())


def compare(recipe: str, workers: int, times: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each pair of runs, the script first."""
    source = Path(fashion_mnist().account["folder"])
    torchvision_layout(source, folder)
    os.environ["LENSMITH_CACHE"] = str(folder / "cache")    # empty: the first run picks its plan, the others find it
    plain = [sys.executable, str(HERE / "classic_plain.py"), str(folder), str(workers)]
    ours = [sys.executable, "-m", "lensmith", "train", str(HERE.parent / "recipes" / f"{recipe}.toml"),
            f"data.path={source}", "--runs", str(folder / "runs"), "--json", "--quiet"]
    rows: list[dict[str, Any]] = []
    for number in range(times):
        script = run(plain, folder / "script")
        own = run([*ours, "--seed", str(number)], folder / "own")
        score, seconds = json.loads(own.output)["test"]["accuracy_top1"], round(own.seconds, 2)
        rows.append({"run": number + 1, "script s": round(script.seconds, 1), "lensmith s": seconds,
                     "ratio": round(script.seconds / own.seconds, 2), "script test": float(script.output),
                     "lensmith test": score, f"s to {TEXTBOOK}": seconds if score >= TEXTBOOK else None,
                     "script MB": round(script.megabytes), "lensmith MB": round(own.megabytes)})
        if number == 0:
            print("  ".join(rows[0]))
        print("  ".join(f"{value!s:>{len(name)}}" for name, value in rows[-1].items()), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lenet", action="store_true", help="the same network, batch and epochs on both sides")
    parser.add_argument("times", type=int, nargs="?", default=5, help="pairs of runs, each with its own seed")
    asked = parser.parse_args()
    job, recipe, workers = ("classic", "fashion-lenet", 0) if asked.lenet else ("fashion", "fashion-fast", 4)
    folder = Path(tempfile.mkdtemp())
    try:
        rows = compare(recipe, workers, asked.times, folder)
    finally:
        shutil.rmtree(folder)
    ratios, scores = [row["ratio"] for row in rows], [row["lensmith test"] for row in rows]
    reached = sum(score >= TEXTBOOK for score in scores)
    notes = [f"`{recipe}` is {statistics.median(ratios):.1f} times as fast as the script with {workers} workers, the "
             f"median of {len(rows)} pairs ({min(ratios):.1f} to {max(ratios):.1f}).",
             f"Its test accuracy is {min(scores):.4f} to {max(scores):.4f}; {reached} of {len(rows)} seeds reach the "
             f"{TEXTBOOK} that the textbook reports for its script.",
             "Seconds and memory are of whole processes, from their start; memory is that of the largest one."]
    print("\n".join(notes))
    write(job, f"python benchmarks/classic.py{' --lenet' * asked.lenet} {asked.times}", rows, notes)


if __name__ == "__main__":
    main()
