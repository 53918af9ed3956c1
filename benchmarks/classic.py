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
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from pictures import fashion
from results import newest, this_command, whole_run, write

from lensmith.base.errors import DataError

HERE = Path(__file__).parent
TEXTBOOK = 0.8744    # what the textbook reports for its script


def compare(recipe: str, workers: int, times: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each pair of runs, the script first. Raises DataError where the pictures are not on this machine."""
    source = fashion(folder)
    cache = {"LENSMITH_CACHE": str(folder / "cache")}    # empty: the first run picks its plan, the others may find it
    plain = [sys.executable, str(HERE / "classic_plain.py"), str(folder), str(workers)]
    ours = [sys.executable, "-m", "lensmith", "train", str(HERE.parent / "recipes" / f"{recipe}.toml"),
            f"data.path={source}", "--runs", str(folder / "runs"), "--json", "--quiet"]
    rows: list[dict[str, Any]] = []
    for number in range(times):
        script = whole_run(plain, {})
        own = whole_run([*ours, "--seed", str(number)], cache)
        score, seconds = json.loads(own.output)["test"]["accuracy_top1"], round(own.seconds, 2)
        rows.append({"run": number + 1, "script s": round(script.seconds, 1), "lensmith s": seconds,
                     "ratio": round(script.seconds / own.seconds, 2), "script test": float(script.output),
                     "lensmith test": score, f"s to {TEXTBOOK}": seconds if score >= TEXTBOOK else None,
                     "script MB": round(script.megabytes), "lensmith MB": round(own.megabytes),
                     "plan from": json.loads((newest(folder / "runs") / "plan.json").read_text())["source"]})
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
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = compare(recipe, workers, asked.times, Path(folder))
    except DataError as error:
        print(f"{job} was not measured: {error}")
        return
    ratios, scores = [row["ratio"] for row in rows], [row["lensmith test"] for row in rows]
    reached = sum(score >= TEXTBOOK for score in scores)
    notes = [f"`{recipe}` is {statistics.median(ratios):.1f} times as fast as the script with {workers} workers, the "
             f"median of {len(rows)} pairs ({min(ratios):.1f} to {max(ratios):.1f}).",
             f"The first run finds no plan in the cache and has to pick one: it is {ratios[0]:.1f} times as fast.",
             f"Its test accuracy is {min(scores):.4f} to {max(scores):.4f}; {reached} of {len(rows)} seeds reach the "
             f"{TEXTBOOK} that the textbook reports for its script.",
             "Seconds and memory are of whole processes, from their start; memory is that of the largest one."]
    print("\n".join(notes))
    write(job, this_command(), rows, notes)


if __name__ == "__main__":
    main()
