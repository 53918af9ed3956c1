"""Four tasks on one network beside each of them alone: species, breed, head and outline of pets.

    python benchmarks/tasks.py [--splits 5] [--settings SECTION.KEY=VALUE ...]

Trains recipes/pets3-tasks.toml on LENSMITH_DATA/pets3 with all parts, and with each part alone, for as many epochs, on
`--splits` divisions of the pictures into 480 and 120; all from the ImageNet weights of EfficientNet-lite0. Prints and
writes results/tasks.json: the score of each part on the test pictures, alone and together, and how many times as long
the four runs took as the one.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from pictures import shared
from results import Row, newest, this_command, whole_run, write

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "pets3-tasks.toml"
WEIGHTS = "weights/tf_efficientnet_lite0_fp16.safetensors"
SCORES = {"species": "accuracy_top1", "breed": "accuracy_top1", "head": "mAP50", "outline": "mIoU"}


def trained(parts: list[str], split: int, begun: list[str], folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of a whole `lensmith train` of some parts, and the score of each on the test pictures."""
    ended = whole_run([sys.executable, "-m", "lensmith", "train", str(RECIPE), *begun,
                       f"task.parts={json.dumps(parts)}", f"split.seed={split}", "--seed", str(split), "--runs",
                       str(folder / "runs"), "--quiet", "--json"],
                      {"LENSMITH_CACHE": str(folder / "cache")})
    test = json.loads((newest(folder / "runs") / "metrics.json").read_text())["test"]
    return ended.seconds, {part: test[f"{part}/{SCORES[part]}"] for part in parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--no-write", action="store_true", help="print alone")
    parser.add_argument("--settings", nargs="*", default=[], help="more arguments of lensmith train")
    asked = parser.parse_args()
    table, weights = shared("pets3/labels.csv"), shared(WEIGHTS)
    if table is None or weights is None:
        print(f"tasks was not measured: pets3 or {WEIGHTS} is not there; set LENSMITH_DATA to the folder that holds "
              "them")
        return
    begun = [f"data.path={table}", f"learner.weights={weights}", *asked.settings]
    rows: list[Row] = []
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        for split in range(asked.splits):
            together, joint = trained(list(SCORES), split, begun, Path(place))
            alone = {part: trained([part], split, begun, Path(place)) for part in SCORES}
            ratios.append(sum(seconds for seconds, _ in alone.values()) / together)
            for part, (seconds, found) in alone.items():
                row: Row = {"split": split, "part": part, "score": SCORES[part], "alone": round(found[part], 4),
                            "together": round(joint[part], 4), "points": round(100 * (joint[part] - found[part]), 1),
                            "s alone": round(seconds, 1), "s together": round(together, 1)}
                rows.append(row)
                print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    points = {part: statistics.mean(float(row["points"] or 0) for row in rows if row["part"] == part)
              for part in SCORES}
    notes = [f"The mean of {asked.splits} divisions, together less alone, in points: "
             f"{', '.join(f'{part} {value:+.1f}' for part, value in points.items())}.",
             f"The four alone took {statistics.median(ratios):.2f} times as long as all together, the median "
             f"({min(ratios):.2f} to {max(ratios):.2f}); seconds are of whole processes, with test and report."]
    print("\n".join(notes))
    if not asked.no_write:
        write("tasks", this_command(), rows, notes)


if __name__ == "__main__":
    main()
