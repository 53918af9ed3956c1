"""The outlines of pets: Lensmith and segmentation_models_pytorch's U-Net in a plain loop, from the same weights.

    python benchmarks/segmentation.py [--epochs 6] [--seeds 1] [--scratch] [--alone] [--settings SECTION.KEY=VALUE ...]

Both get the 480 training and 120 test pictures that recipes/pets3-outline.toml divides LENSMITH_DATA/pets3 into,
stretched to 256 x 256, and the ImageNet weights of EfficientNet-lite0; with --scratch none. The peer trains for
`--epochs` (AdamW, one cycle of the rate to 1e-3, batches of 16, half of the pictures mirrored, channels_last, two
loading workers); Lensmith by the recipe and `--settings`, with --scratch nothing frozen. The masks of both are measured
at 256 x 256 by the same code, which equals scikit-learn's (tests/tasks/metrics/test_pixel_metrics.py); the border of
a trimap is void. Prints and writes results/segmentation.json, or segmentation-scratch.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import shared
from results import Row, newest, this_command, whole_run, write

import lensmith
from lensmith.data.sources.mask_files import MaskFiles, PixelMask
from lensmith.recipe import schema as recipes
from lensmith.recipe.open_data import open_data, open_splits
from lensmith.recipe.sections import SECTIONS, resolve
from lensmith.tasks.metrics.pixel_metrics import MaskMetrics
from lensmith.values.semantic_mask import Mask

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "pets3-outline.toml"
WEIGHTS = "weights/tf_efficientnet_lite0_fp16.safetensors"
ENCODER, RATE, SIZE, BATCH, WORKERS = "tu-tf_efficientnet_lite0", 1e-3, 256, 16, 2


class Set:
    """The pictures and masks as the recipe divides them; `truth` are the test masks."""

    def __init__(self, folder: Path):
        settings = [f"data.path={folder}", f"pictures.size={SIZE}"]
        given = recipes.override(recipes.read_recipe(RECIPE), settings, SECTIONS)
        recipe = resolve(given, trusted=False)
        (source,) = open_splits(recipe).splits.values()
        files = source.targets["mask"]
        assert isinstance(files, MaskFiles)
        masks = {str(path): mask for path, mask in zip(source.paths, files.masks, strict=True)
                 if isinstance(mask, PixelMask)}
        opened = open_data(recipe).splits
        self.pairs: dict[str, tuple[list[str], list[str]]] = {}
        for part in ("train", "test"):
            pictures = [str(folder / place.file) for place in opened[part].places]
            self.pairs[part] = pictures, [str(masks[name].path) for name in pictures]
        self.names, self.truth = opened["test"].classes["mask"], opened["test"].targets["mask"]
        table = next(iter(masks.values())).coding.table
        self.ids = {number: int(table[number]) for number in range(256) if table[number] < len(self.names)}

    def score(self, classes: torch.Tensor) -> dict[str, Any]:
        """The metrics of masks, uint8 [n, height, width], of the test pictures in their order."""
        metrics = MaskMetrics(self.names)
        for row in range(len(classes)):    # one by one, as edges of many take memory
            rows = torch.tensor([row])
            metrics.update({"mask": Mask(classes[rows])}, {"mask": self.truth.take(rows)}, count=1)
        return metrics.result()


def peer(data: Set, asked: argparse.Namespace, seed: int, folder: Path, weights: Path) -> dict[str, Any]:
    """What the plain loop takes and finds."""
    half = [0.5] * 3    # the mean and deviation that these weights are used to
    job = {"encoder": ENCODER, "weights": "" if asked.scratch else str(weights), "classes": len(data.names),
           "ids": data.ids, "mean": half, "deviation": half, **data.pairs, "size": SIZE, "batch": BATCH, "rate": RATE,
           "epochs": asked.epochs, "seed": seed, "workers": WORKERS, "answer": str(folder / f"peer-{seed}.npy")}
    return smp(job)


def smp(job: dict[str, Any]) -> dict[str, Any]:
    """What peers/smp_segmenter.py takes and finds with a job; ends this process where it fails."""
    done = subprocess.run([sys.executable, "-m", "peers.smp_segmenter", json.dumps(job)], cwd=HERE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))
    if done.returncode:
        sys.exit(f"segmentation_models_pytorch failed:\n{done.stdout[-3000:]}")
    answer: dict[str, Any] = json.loads(Path(job["answer"]).with_suffix(".json").read_text())
    return {**answer, "found": torch.from_numpy(np.load(job["answer"]))}


def trained(asked: argparse.Namespace, data: Path, seed: int, folder: Path, weights: Path) -> tuple[float, Path]:
    """Seconds of a whole `lensmith train`, and its run folder."""
    path, begun = RECIPE, [f"learner.weights={weights}"]
    if asked.scratch:    # what is frozen there would be what nobody has taught
        recipe = recipes.read_recipe(RECIPE)
        del recipe["learner"]["freeze"]
        path, begun = folder / RECIPE.name, []
        path.write_text(recipes.as_toml(recipe), encoding="utf-8")
    ended = whole_run([sys.executable, "-m", "lensmith", "train", str(path), f"data.path={data}", *begun,
                       *asked.settings, "--seed", str(seed), "--runs", str(folder / "runs"), "--quiet", "--json"],
                      {"LENSMITH_CACHE": str(folder / "cache")})
    return ended.seconds, newest(folder / "runs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6, help="of the peer")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scratch", action="store_true", help="both begin without weights")
    parser.add_argument("--alone", action="store_true", help="without the peer")
    parser.add_argument("--no-write", action="store_true", help="print alone")
    parser.add_argument("--settings", nargs="*", default=[], help="more arguments of lensmith train")
    asked = parser.parse_args()
    pets, weights = shared("pets3"), shared(WEIGHTS)
    if pets is None or weights is None:
        print(f"segmentation was not measured: pets3 or {WEIGHTS} is not there; set LENSMITH_DATA to the folder that "
              "holds them")
        return
    rows: list[Row] = []
    shares = []
    data = Set(pets)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for seed in range(asked.seeds):
            other = None if asked.alone else peer(data, asked, seed, folder, weights)
            seconds, run = trained(asked, pets, seed, folder, weights)
            network = lensmith.load(run)
            epochs = int(recipes.read_recipe(run / "recipe.toml")["learner"]["epochs"])
            test = json.loads((run / "metrics.json").read_text())["test"]
            if other is not None:
                took = sum(other["epochs"])
                shares.append(seconds / took)
                rows.append(_row(f"smp Unet({ENCODER!r})", seed, asked.epochs, took, other["parameters"],
                                 data.score(other["found"])))
            rows.append(_row("Lensmith", seed, epochs, seconds,
                             sum(one.numel() for one in network.network.parameters()), test))
    begun = "no weights from elsewhere" if asked.scratch else "all began with the same ImageNet weights"
    notes = [f"{len(data.pairs['train'][0])} pictures to train, {len(data.pairs['test'][0])} to test, all at {SIZE} x "
             f"{SIZE}; {begun}.",
             "Seconds: of Lensmith its whole process with test and report, of the peer its epochs alone."]
    if shares:
        notes.append(f"Lensmith took {', '.join(f'{share:.2f}' for share in shares)} of the peer's time.")
    print("\n".join(notes))
    if not asked.no_write:
        write("segmentation-scratch" if asked.scratch else "segmentation", this_command(), rows, notes)


def _row(program: str, seed: int, epochs: int, seconds: float, parameters: int, found: dict[str, Any]) -> Row:
    ious = {one["class"]: one["IoU"] for one in found["details"]["per_class"]}
    row: Row = {"program": program, "seed": seed, "epochs": epochs, "s": round(seconds, 1), "parameters": parameters,
                "IoU of the pet": round(ious["pet"], 4), "mIoU": round(found["mIoU"], 4)}
    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


if __name__ == "__main__":
    main()
