"""ResNet-18 on CIFAR-10 with half of the multiply-adds: what `lensmith compress` costs in accuracy and gains in time.

    python benchmarks/compress.py [--epochs 15] [--fraction 1.0] [--macs 0.5] [--small-stem]

Unpacks $LENSMITH_DATA/cifar10-jpeg.tar into a temporary folder, trains ResNet-18 for so many epochs on a fraction of
the training pictures, and lets `lensmith compress RUN --macs` cut it and train it on for a third of the epochs. With
`--small-stem` its first layers are those for small pictures (He et al. 2016), with 15 times as many multiply-adds.
Bars: at most 1 point less on the 10,000 test pictures, at least 1.5 times as fast for one picture in the fastest
runtime. Prints the table of compress.json and writes results/compress.json.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from pictures import cifar_archive, unpacked
from results import Row, machine_under, rates_in_words, this_command, whole_run, write

LOSS, SPEED = 0.01, 1.5    # the bars


def commands(pictures: Path, runs: Path, given: argparse.Namespace) -> list[list[str]]:
    """`lensmith train` and `lensmith compress`, with all that they are given."""
    lensmith = [sys.executable, "-m", "lensmith"]
    stem = ["backbone.small_stem=true"] if given.small_stem else []
    return [[*lensmith, "train", str(pictures), "--backbone", "resnet18", *stem, "--scratch", "--epochs",
             str(given.epochs), f"loading.fraction={given.fraction}", "--name", "resnet18", "--runs", str(runs),
             "--json", "--quiet"],
            [*lensmith, "compress", str(runs / "resnet18"), "--macs", str(given.macs), "--name", "pruned", "--json",
             "--quiet"]]


def table(content: dict[str, Any], seconds: list[float]) -> list[Row]:
    """A row for each form of the network; the seconds are those of the two commands."""
    found: list[Row] = []
    for row, its_seconds in zip(content["rows"], seconds, strict=True):
        found.append({
            "network": row["name"], "test accuracy": row["score"], "multiply-adds": row["multiply_adds"],
            "parameters": row["parameters"], "file MB": round(row["file"] / 1e6, 2),
            "memory MB": round(row["memory"] / 1e6, 2),
            **{f"{runtime} p50 ms": round(1e3 * latency["p50"], 3) for runtime, latency in row["latency"].items()},
            "process s": round(its_seconds, 1)})
    return found


def bars(content: dict[str, Any], epochs: int) -> list[str]:
    """What was asked for, what was reached."""
    original, pruned = content["rows"]
    lost, times = pruned["difference"], original["latency"]
    fastest = min(times, key=lambda runtime: times[runtime]["p50"])
    faster = times[fastest]["p50"] / pruned["latency"][fastest]["p50"]
    interval = "" if lost["low"] is None else f" ({100 * lost['low']:+.2f} to {100 * lost['high']:+.2f})"
    return [f"the pruned network has {content['reached']['macs']:.3f} of the multiply-adds and learned for "
            f"{math.ceil(epochs / 3)} epochs after {epochs}",
            f"{100 * lost['value']:+.2f} points of test accuracy{interval}, where at most {-100 * LOSS:+.0f} was asked "
            f"for: {'met' if lost['value'] >= -LOSS else 'missed'}",
            f"{faster:.2f} times as fast for one picture in {fastest}, the fastest runtime, where {SPEED} was asked "
            f"for: {'met' if faster >= SPEED else 'missed'}",
            *(f"{row['name']}: {remark}" for row in content["rows"] for remark in row["remarks"])]


def main(given: argparse.Namespace) -> None:
    if (archive := cifar_archive("compress")) is None:
        return
    about = machine_under({})
    print(f"{about['processor']}, {about['cores']} cores, {about['instructions']}; {rates_in_words(about)}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures = unpacked(archive, folder / "pictures")
        ended = [whole_run(command, {}) for command in commands(pictures, folder / "runs", given)]
        content = json.loads(ended[1].output)
    rows, notes = table(content, [one.seconds for one in ended]), bars(content, given.epochs)
    if given.fraction < 1:
        notes.append(f"both learned from {given.fraction:g} of the training pictures")
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print("\n".join(notes))
    print("written:", write("compress", this_command(), rows, notes, about=about))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--small-stem", action="store_true")
    main(parser.parse_args())
