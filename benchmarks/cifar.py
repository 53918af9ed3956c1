"""CIFAR-10 from JPEG files: recipes/cifar-fast.toml for some seeds, and once more as deterministic float32.

    python benchmarks/cifar.py [seeds] [--exact-share SHARE]

Unpacks $LENSMITH_DATA/cifar10-jpeg.tar (50,000 training and 10,000 test pictures in class folders) into a temporary
folder and runs `lensmith train` on it: `seeds` (3) times by the plan that Lensmith picks, once with `--plan exact`.
The exact run is as long as the others, or goes over the SHARE of the pictures in each epoch; the ratio is of training
seconds a picture, so it may be compared either way. Prints test accuracy, the seconds of the whole process and of its
training, peak memory and the plan, and writes results/cifar.json.
"""

import argparse
import json
import os
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from results import Row, machine, write

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "cifar-fast.toml"
PICTURES = 50_000


def trained(folder: Path, *settings: str) -> dict[str, Any]:
    """One `lensmith train` of the recipe on the pictures below `folder`: what it told, its seconds and peak memory."""
    command = [sys.executable, "-m", "lensmith", "train", str(RECIPE), f"data.path={folder / 'pictures'}", *settings,
               "--runs", str(folder / "runs"), "--json", "--quiet"]
    told = folder / "told.json"
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, str(told), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)])
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed with status {os.waitstatus_to_exitcode(status)}")
    run = Path(sorted((folder / "runs").iterdir(), key=lambda one: one.stat().st_mtime)[-1])
    return {"accuracy": json.loads(told.read_text())["test"]["accuracy_top1"], "seconds": time.perf_counter() - started,
            "training": json.loads((run / "run.json").read_text())["seconds"], "memory": usage.ru_maxrss / 1024,
            "plan": json.loads((run / "plan.json").read_text())}


def row(what: str, found: dict[str, Any], share: float) -> Row:
    """A line of the table; `share` is that of the training pictures."""
    plan = found["plan"]
    return {"run": what, "accuracy": found["accuracy"], "process s": round(found["seconds"], 1),
            "training s": round(found["training"], 1),
            "training s of a whole run": round(found["training"] / share, 1), "peak MB": round(found["memory"]),
            "plan": f"{plan['precision']}, {plan['layout']}, {plan['threads']} threads"}


def main(seeds: int, share: float) -> None:
    data = Path(os.environ.get("LENSMITH_DATA", "")) / "cifar10-jpeg.tar"
    if not data.is_file():
        sys.exit(f"{data} is not there: set LENSMITH_DATA to the folder that holds cifar10-jpeg.tar")
    about = machine()
    print(f"{about['processor']}, {about['cores']} cores, {about['instructions']}; products of 4096 x 4096: "
          f"{about['gflops_float32']:g} GFLOP/s in float32, {about['gflops_bfloat16']:g} in bfloat16; load "
          f"{about['load']:g}", flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with tarfile.open(data) as archive:
            archive.extractall(folder / "pictures", filter="data")
        for seed in range(seeds):
            rows.append(row(f"seed {seed}", trained(folder, "--seed", str(seed)), 1.0))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
        exact = trained(folder, "--plan", "exact", f"loading.fraction={share}")
        rows.append(row("exact" if share == 1 else f"exact, {share:g} of the pictures", exact, share))
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    accuracies = [float(one["accuracy"] or 0) for one in rows[:-1]]
    whole = [float(one["training s of a whole run"] or 0) for one in rows]
    ratio = statistics.median(whole[:-1]) / whole[-1]
    notes = [f"least test accuracy {min(accuracies):.4f}, mean {statistics.mean(accuracies):.4f}, of {seeds} seeds",
             f"training takes {ratio:.2f} of the time that it takes with --plan exact"]
    if share < 1:
        notes.append(f"the exact run went over {share:g} of the {PICTURES:,} training pictures in each epoch; its time "
                     "of a whole run follows from that")
    for note in notes:
        print(note)
    command = f"python benchmarks/cifar.py {seeds}" + (f" --exact-share {share:g}" if share < 1 else "")
    print(write("cifar", command, rows, notes, about=about))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", nargs="?", type=int, default=3)
    parser.add_argument("--exact-share", type=float, default=1.0)
    given = parser.parse_args()
    main(given.seeds, given.exact_share)
