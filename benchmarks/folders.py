"""Class folders of photos: what loading them costs, the first epoch and later ones, without any network.

    python benchmarks/folders.py [REPEATS] [--count 2000] [--no-write]

The photos of LENSMITH_DATA, repeated to 2,000 files in 10 class folders, at 224 pixels in batches of 32: Lensmith's
store and Loader against torchvision's ImageFolder in a DataLoader of two workers. Every program is a process of its
own, and is stopped while others run. Its first turn is all from opening the folder to the end of the first epoch, the
means of the pictures and every decoding included; the three after it are whole epochs. Both end with standardised
float32 pictures, which in Lensmith is the network's work; the column without counts it to the network. A ratio is of
one repeat; the table has their medians.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pictures import class_folders
from results import this_command, write
from torchvision import datasets
from torchvision import transforms as form
from turns import Program, Turn, end_gently

from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.store.channel_statistics import statistics
from lensmith.recipe.open_data import open_data
from lensmith.recipe.sections import resolve

BATCH, SIZE, WORKERS, LATER = 32, 224, 2, 3
# (name, what runs it, whether it standardises), in the order of their turns.
PROGRAMS = (("Lensmith", "lensmith", True), ("torchvision", "torchvision", True),
            ("Lensmith, the network standardises", "lensmith", False))
# What is done with a picture in training: in words, and our settings; the peer's transforms are below.
CASES = {
    "crop": ("a part of the area and a flip", {"resized_crop": [0.08, 1.0], "flip": True}),
    "plain": ("the middle alone", {}),
    "shift": ("a shift by up to 28 pixels and a flip", {"crop_padding": 28, "flip": True}),
}
_MEAN, _DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def lensmith_epochs(case: str, folder: str, standardised: bool) -> None:
    """In a process of its own: epochs of Lensmith's batches."""
    turn = Turn()
    turn.begin()
    recipe = {"data": {"name": "folder", "path": folder}, "pictures": {"size": SIZE},
              "split": {"valid": 0.0, "test": 0.0}}
    train = open_data(resolve(recipe, trusted=False)).splits["train"]
    mean, deviation = (torch.tensor(found).view(1, -1, 1, 1) for found in statistics(train))
    augment = Augment(**CASES[case][1], seed=0, classes=train.classes, length=len(train))
    loader = Loader(train, BATCH, shuffle=True, augment=augment if augment.is_on else None)
    epoch = 0
    while True:
        seen = 0
        for batch in loader.at(epoch, 0):
            # In place, as torchvision's Normalize does it.
            seen += len(batch.images.float().sub_(mean).div_(deviation) if standardised else batch.images)
        turn.end(seen)
        epoch += 1
        turn.begin()


def torchvision_epochs(case: str, folder: str, standardised: bool) -> None:
    """In a process of its own: epochs of the best-known form of torchvision's examples."""
    turn = Turn()
    turn.begin()
    shown = {
        "crop": [form.RandomResizedCrop(SIZE), form.RandomHorizontalFlip()],
        "plain": [form.Resize(256), form.CenterCrop(SIZE)],
        "shift": [form.Resize(256), form.RandomCrop(SIZE), form.RandomHorizontalFlip()],
    }[case]
    whole = form.Compose([*shown, form.ToTensor(), form.Normalize(_MEAN, _DEVIATION)])
    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(datasets.ImageFolder(folder, whole), BATCH, shuffle=True, num_workers=WORKERS)
    while True:
        turn.end(sum(len(images) for images, _ in loader))
        turn.begin()


def measure(case: str, folder: Path) -> dict[str, list[float]]:
    """One repeat -> pictures a second of the first epoch and of the median later one, by program."""
    found: dict[str, list[float]] = {}
    for name, program, standardised in PROGRAMS:
        with tempfile.TemporaryDirectory() as cache:
            job = {"program": program, "case": case, "folder": str(folder), "standardised": standardised}
            one = Program(name, "folders", job, environment={"LENSMITH_CACHE": cache}, log=Path(cache) / "log")
            try:
                found[name] = [one.turn(), median(one.turn() for _ in range(LATER))]
            finally:
                one.end()
    return found


def row(case: str, epoch: str, found: list[dict[str, float]]) -> dict[str, Any]:
    """A line of the table out of each repeat's pictures a second by program."""
    own, peer, bare = (name for name, _, _ in PROGRAMS)
    return {"augmentation": CASES[case][0], "epoch": epoch,
            "Lensmith, pictures/s": round(median(rates[own] for rates in found), 1),
            "torchvision, pictures/s": round(median(rates[peer] for rates in found), 1),
            "ratio": round(median(rates[own] / rates[peer] for rates in found), 2),
            "ratio, standardised by the network": round(median(rates[bare] / rates[peer] for rates in found), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repeats", nargs="?", type=int, default=5)
    parser.add_argument("--count", type=int, default=2_000, help="files")
    parser.add_argument("--cases", default=",".join(CASES), help="of: " + ", ".join(CASES))
    parser.add_argument("--no-write", action="store_true", help="print the table alone")
    chosen = parser.parse_args()
    end_gently()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        what = class_folders("photos", chosen.count, Path(place))
        for case in chosen.cases.split(","):
            found = [measure(case, Path(place) / "train") for _ in range(chosen.repeats)]
            for number, epoch in enumerate(("first", "later")):
                rows.append(row(case, epoch, [{name: rates[number] for name, rates in one.items()} for one in found]))
                print("  ".join(f"{key}: {value}" for key, value in rows[-1].items()), flush=True)
    if not chosen.no_write:
        write("folders", this_command(), rows,
              [f"{chosen.count:,} files: {what}; medians of {chosen.repeats} repeats, each program in its own process; "
               f"batches of {BATCH} at {SIZE} pixels, without a network. The first epoch is all from opening the "
               "folder on.",
               f"They do not cut out the same: Lensmith's part of the area is one of the {SIZE}x{SIZE} picture that it "
               "keeps, torchvision's one of the whole file. Lensmith fits the shorter side to the size at once, "
               f"torchvision, as its examples do, to 256 pixels, of which it takes {SIZE}x{SIZE}."])


if __name__ == "__main__":
    if "BENCHMARK_TURNS" in os.environ:
        job = json.loads(sys.argv[1])
        {"lensmith": lensmith_epochs, "torchvision": torchvision_epochs}[job["program"]](
            job["case"], job["folder"], job["standardised"])
    main()
