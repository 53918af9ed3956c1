"""The breeds of pets from ImageNet weights: Lensmith fine-tuned and as a linear probe, and fastai's fine_tune.

    python benchmarks/transfer.py [--epochs 2] [--seeds 3] [--settings SECTION.KEY=VALUE ...]

All get the 480 training and 120 test pictures that recipes/pets3-breeds.toml divides LENSMITH_DATA/pets3 into, and the
weights of EfficientNet-lite0. fastai trains as `vision_learner(...).fine_tune(epochs)` does, one epoch of the head and
so many of all, on middle squares of 224 pixels in batches of 32, with two loading workers; Lensmith by
recipes/pets3-breeds.toml and `--settings`, and by recipes/pets3-probe.toml. Prints and writes results/transfer.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pictures import shared
from results import Row, newest, this_command, whole_run, write

from lensmith.recipe import schema as recipes
from lensmith.recipe.open_data import open_data
from lensmith.recipe.sections import SECTIONS, resolve
from lensmith.values.labels import Label

HERE = Path(__file__).resolve().parent
RECIPES = HERE.parent / "recipes"
WEIGHTS = "weights/tf_efficientnet_lite0_fp16.safetensors"
NETWORK, SIZE, BATCH, WORKERS = "tf_efficientnet_lite0", 224, 32, 2


class Set:
    """The pictures with their breeds, as the recipe divides them."""

    def __init__(self, table: Path):
        given = recipes.override(recipes.read_recipe(RECIPES / "pets3-breeds.toml"), [f"data.path={table}"], SECTIONS)
        self.pairs: dict[str, tuple[list[str], list[str]]] = {}
        for part, pictures in open_data(resolve(given, trusted=False)).splits.items():
            ((name, labels),) = pictures.targets.items()
            assert isinstance(labels, Label)
            breeds = [pictures.classes[name][one] for one in labels.index.tolist()]
            self.pairs[part] = [str(table.parent / place.file) for place in pictures.places], breeds

    def accuracy(self, found: list[str]) -> float:
        """The share of the test pictures that were named rightly."""
        return statistics.mean(float(one == true) for one, true in zip(found, self.pairs["test"][1], strict=True))


def fastai(data: Set, epochs: int, seed: int, folder: Path, weights: Path) -> dict[str, Any]:
    """What fastai takes and finds."""
    job = {"network": NETWORK, "weights": str(weights), **data.pairs, "size": SIZE, "batch": BATCH, "epochs": epochs,
           "augment": False, "seed": seed, "workers": WORKERS, "answer": str(folder / f"fastai-{seed}.json")}
    told = folder / "job.json"
    told.write_text(json.dumps(job))
    done = subprocess.run([sys.executable, "-m", "peers.fastai_tuner", str(told)], cwd=HERE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))
    if done.returncode:
        sys.exit(f"fastai failed:\n{done.stdout[-3000:]}")
    answer: dict[str, Any] = json.loads((folder / f"fastai-{seed}.json").read_text())
    return answer


def trained(recipe: str, settings: list[str], table: Path, seed: int, folder: Path, weights: Path) -> Row:
    """A row for a whole `lensmith train` of a recipe."""
    ended = whole_run([sys.executable, "-m", "lensmith", "train", str(RECIPES / f"{recipe}.toml"), f"data.path={table}",
                       f"learner.weights={weights}", *settings, "--seed", str(seed), "--runs", str(folder / "runs"),
                       "--quiet", "--json"], {"LENSMITH_CACHE": str(folder / "cache")})
    epochs = int(recipes.read_recipe(newest(folder / "runs") / "recipe.toml")["learner"]["epochs"])
    return _row(f"Lensmith, {recipe}", seed, epochs, ended.seconds, json.loads(ended.output)["test"]["accuracy_top1"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2, help="of fastai, after one of its head alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print alone")
    parser.add_argument("--settings", nargs="*", default=[], help="more arguments of lensmith train, fine-tuning")
    asked = parser.parse_args()
    table, weights = shared("pets3/labels.csv"), shared(WEIGHTS)
    if table is None or weights is None:
        print(f"transfer was not measured: pets3 or {WEIGHTS} is not there; set LENSMITH_DATA to the folder that holds "
              "them")
        return
    rows: list[Row] = []
    data = Set(table)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for seed in range(asked.seeds):
            other = fastai(data, asked.epochs, seed, folder, weights)
            rows += [_row(f"fastai, fine_tune({asked.epochs})", seed, asked.epochs + 1, other["seconds"],
                          data.accuracy(other["found"])),
                     trained("pets3-breeds", asked.settings, table, seed, folder, weights),
                     trained("pets3-probe", [], table, seed, folder, weights)]
    means = [f"{program}: {statistics.mean(found):.4f}" for program in dict.fromkeys(row["program"] for row in rows)
             if (found := [float(row["accuracy"] or 0) for row in rows if row["program"] == program])]
    notes = [f"{len(data.pairs['train'][0])} pictures to train, {len(data.pairs['test'][0])} to test, the same "
             "ImageNet weights for all.",
             f"Mean accuracy of {asked.seeds} seeds: {'; '.join(means)}.",
             "Seconds: of Lensmith its whole process with test and report, of fastai its call of fine_tune alone."]
    print("\n".join(notes))
    if not asked.no_write:
        write("transfer", this_command(), rows, notes)


def _row(program: str, seed: int, epochs: int, seconds: float, accuracy: float) -> Row:
    row: Row = {"program": program, "seed": seed, "epochs": epochs, "s": round(seconds, 1),
                "accuracy": round(accuracy, 4)}
    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


if __name__ == "__main__":
    main()
