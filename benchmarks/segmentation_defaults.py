"""Masks by all defaults beside segmentation_models_pytorch's U-Net in a plain loop: the same weights, the same time.

    python benchmarks/segmentation_defaults.py [--only SET ...] [--seeds 1] [--alone] [--settings SECTION.KEY=VALUE ...]

The sets are those of segmentation_sets.py, at 128 x 128 pixels. Lensmith: `lensmith train FOLDER` with no flag, which
begins from the ImageNet weights of EfficientNet-lite0 and holds a tenth of the train folder out. The peer begins from
the same weights, learns from all of the train folder (AdamW, one cycle of the rate to 1e-3, batches of 16, half of the
pictures mirrored, channels_last, two loading workers), and gets the epochs that end in the seconds that Lensmith's
whole process took, by the pace of the second epoch of a short run. Both are measured on the test folder by the same
code.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import needed
from PIL import Image
from results import Row, newest, this_command, whole_run, write
from segmentation import BATCH, ENCODER, RATE, WEIGHTS, WORKERS, smp
from segmentation_sets import EDGE, NAMES, SETS, Set, written

from lensmith.base.cache_folder import cache_folder
from lensmith.base.errors import DataError
from lensmith.recipe import schema as recipes
from lensmith.tasks.metrics.pixel_metrics import MaskMetrics
from lensmith.values.semantic_mask import Mask


def pairs(folder: Path, part: str) -> tuple[list[str], list[str]]:
    """The pictures of a part and the mask of each."""
    return tuple([str(file) for file in sorted((folder / part / kind).iterdir())]    # type: ignore[return-value]
                 for kind in ("images", "masks"))


def peer(folder: Path, classes: int, epochs: int, seed: int) -> dict[str, Any]:
    """What the plain loop takes and finds."""
    with tempfile.TemporaryDirectory() as place:
        job = {"encoder": ENCODER, "weights": str(needed(WEIGHTS)), "classes": classes,
               "ids": {number: number for number in range(classes)}, "mean": [0.5] * 3, "deviation": [0.5] * 3,
               "train": pairs(folder, "train"), "test": pairs(folder, "test"), "size": EDGE, "batch": BATCH,
               "rate": RATE, "epochs": epochs, "seed": seed, "workers": WORKERS, "answer": f"{place}/found.npy"}
        return smp(job)


def score(folder: Path, classes: tuple[str, ...], found: torch.Tensor) -> dict[str, Any]:
    """The metrics of masks, uint8 [n, height, width], of the test pictures in the order of their names."""
    metrics = MaskMetrics(classes)
    for row, file in enumerate(pairs(folder, "test")[1]):
        with Image.open(file) as mask:
            truth = torch.from_numpy(np.array(mask))
        metrics.update({"mask": Mask(found[row:row + 1])}, {"mask": Mask(truth[None])}, count=1)
    return metrics.result()


def ours(folder: Path, seed: int, settings: list[str], place: Path) -> tuple[float, int, dict[str, Any]]:
    """Seconds of a whole `lensmith train` with an empty cache, its epochs, and its metrics of the test part."""
    ended = whole_run([sys.executable, "-m", "lensmith", "train", str(folder), *settings, "--seed", str(seed), "--runs",
                       str(place / "runs"), "--quiet", "--json"], {"LENSMITH_CACHE": str(place / "cache")})
    run = newest(place / "runs")
    return (ended.seconds, int(recipes.read_recipe(run / "recipe.toml")["learner"]["epochs"]),
            json.loads((run / "metrics.json").read_text())["test"])


def measured(one: Set, folder: Path, asked: argparse.Namespace, seed: int) -> list[Row]:
    """A row of ours and one of the peer, paced by the second of two epochs that do not count."""
    classes = one.classes()
    with tempfile.TemporaryDirectory() as place:
        seconds, epochs, found = ours(folder, seed, asked.settings, Path(place))
    rows = [_row(one.name, "Lensmith", seed, epochs, seconds, found)]
    if not asked.alone:
        pace = peer(folder, len(classes), 2, seed)["epochs"][-1]
        answer = peer(folder, len(classes), max(1, round(seconds / pace)), seed)
        rows.append(_row(one.name, "smp", seed, len(answer["epochs"]), sum(answer["epochs"]),
                         score(folder, classes, answer["found"])))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="SET", help=", ".join(NAMES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="without the peer; prints alone")
    parser.add_argument("--settings", nargs="*", default=[], help="more arguments of lensmith train; prints alone")
    asked = parser.parse_args()
    rows: list[Row] = []
    for one in SETS:
        if one.name in asked.only:
            try:
                folder = written(one, cache_folder() / "benchmarks" / "masks" / one.name)
            except DataError as error:
                print(f"{one.name} was not measured: {error}")
                continue
            for seed in range(asked.seeds):
                rows += measured(one, folder, asked, seed)
    if rows and not asked.alone and not asked.settings:
        write("segmentation-defaults", this_command(), rows,
              ["Seconds: of Lensmith its whole process with test and report, of the peer its epochs alone.",
               "Classes at 0: of those that the test part shows, how many have an IoU under 0.005."])


def _row(name: str, program: str, seed: int, epochs: int, seconds: float, found: dict[str, Any]) -> Row:
    ious = [one["IoU"] for one in found["details"]["per_class"] if one["IoU"] is not None]
    row: Row = {"set": name, "program": program, "seed": seed, "epochs": epochs, "s": round(seconds, 1),
                "mIoU": round(found["mIoU"], 4), "classes at 0": sum(iou < 0.005 for iou in ious)}
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


if __name__ == "__main__":
    main()
