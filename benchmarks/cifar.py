"""CIFAR-10 from JPEG files: recipes/cifar-fast.toml for some seeds, and once more as deterministic float32.

    python benchmarks/cifar.py [seeds] [--exact-share SHARE]

Unpacks $LENSMITH_DATA/cifar10-jpeg.tar (50,000 training and 10,000 test pictures in class folders) into a temporary
folder and runs `lensmith train` on it: `seeds` (3) times by the plan that Lensmith picks, once with `--plan exact`.
The exact run is as long as the others, or goes over the SHARE of the pictures in each epoch; then the ratio is of the
seconds a picture after the first epoch, since the first holds work that does not shrink with the share. Right before
each run the rates of matrix products are taken, since hours differ. Prints test accuracy, the seconds of the whole
process and of its training, peak memory and the plan, and writes results/cifar.json.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
from pathlib import Path

from pictures import cifar_archive, unpacked
from results import Row, machine_under, newest, rates_in_words, this_command, whole_run, write

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "cifar-fast.toml"
PICTURES = 50_000


def trained(what: str, folder: Path, share: float, *settings: str) -> Row:
    """A line of the table: one `lensmith train` of the recipe on `share` of the pictures below `folder`, with these
    settings beside."""
    about = machine_under({})
    ended = whole_run([sys.executable, "-m", "lensmith", "train", str(RECIPE), f"data.path={folder / 'pictures'}",
                       f"loading.fraction={share}", *settings, "--runs", str(folder / "runs"), "--json", "--quiet"],
                      {"LENSMITH_CACHE": str(folder / "cache")})
    run = newest(folder / "runs")
    with open(run / "history.csv", newline="") as lines:
        ends = [float(epoch["time"]) for epoch in csv.DictReader(lines)]    # of each epoch, in seconds of training
    plan = json.loads((run / "plan.json").read_text())
    found: Row = {
        "run": what, "accuracy": json.loads(ended.output)["test"]["accuracy_top1"],
        "process s": round(ended.seconds, 1),
        "training s": round(json.loads((run / "run.json").read_text())["seconds"], 1),
        "s after epoch 1, of all pictures": round((ends[-1] - ends[0]) / share, 1),
        "peak MB": round(ended.megabytes),
        "plan": f"{plan['precision']}, {plan['layout']}, {plan['threads']} threads", "plan from": plan["source"],
        "GFLOP/s float32": about["gflops_float32"], "GFLOP/s bfloat16": about["gflops_bfloat16"]}
    print("  ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    return found


def compared(rows: list[Row], share: float) -> list[str]:
    """Notes on the rows, of which the last is that of the exact run on `share` of the pictures."""
    accuracies = [float(one["accuracy"] or 0) for one in rows[:-1]]
    column = "training s" if share == 1 else "s after epoch 1, of all pictures"
    seconds = [float(one[column] or 0) for one in rows]
    what = "training takes" if share == 1 else "after the first epoch training takes, a picture,"
    notes = [f"least test accuracy {min(accuracies):.4f}, mean {statistics.mean(accuracies):.4f}, of {len(rows) - 1} "
             "seeds",
             f"{what} {statistics.median(seconds[:-1]) / seconds[-1]:.2f} of the time that it takes with --plan exact",
             "the cache of plans is empty at first; the rates of matrix products are those right before each run"]
    if share < 1:
        notes.append(f"the exact run went over {share:g} of the {PICTURES:,} training pictures in each epoch")
    return notes


def main(seeds: int, share: float) -> None:
    if (archive := cifar_archive("cifar")) is None:
        return
    about = machine_under({})
    print(f"{about['processor']}, {about['cores']} cores, {about['instructions']}; {rates_in_words(about)}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        unpacked(archive, folder / "pictures")
        rows = [trained(f"seed {seed}", folder, 1.0, "--seed", str(seed)) for seed in range(seeds)]
        rows.append(trained("exact" if share == 1 else f"exact, {share:g} of the pictures", folder, share, "--plan",
                            "exact"))
    notes = compared(rows, share)
    print("\n".join(notes))
    print("written:", write("cifar", this_command(), rows, notes, about=about))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", nargs="?", type=int, default=3)
    parser.add_argument("--exact-share", type=float, default=1.0)
    given = parser.parse_args()
    main(given.seeds, given.exact_share)
