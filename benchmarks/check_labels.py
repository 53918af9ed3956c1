"""Suspicious labels, boxes and masks: how many planted faults `lensmith check` finds, beside cleanlab.

    python benchmarks/check_labels.py [--only fashion pets boxes masks] [--seed 0]

Each part is a process of its own, of which the time and the peak memory are told:

- fashion: the 60,000 training pictures of Fashion-MNIST, 5 % of the labels flipped to another class at random. What is
  found: the labels that are called likely wrong.
- pets: 480 of the pictures in LENSMITH_DATA/pets3, with 10 breeds flipped. What is found: those among the first 25.
- boxes: 600 drawn pictures that a detector never learned from, of whose boxes 20 are removed, 20 shifted by half their
  edge and 20 given another class. What is found: those among the first 90 that are named with their fault.
- masks: the same with masks. What is found: those among the first 90.

cleanlab gets the same probabilities or boxes: of labels its `find_label_issues` says how many it takes, and of the
other parts its ranking of pictures is cut at the same place. Prints and writes results/check-labels.json.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import shared
from results import Row, this_command, whole_run, write

import lensmith
from lensmith.base.hashed_random import hashed
from lensmith.data.batches.loader import Loader
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.recipe.sections import resolve
from lensmith.study.check.known_set import KnownSet, know
from lensmith.study.check.labels.confident_learning import calibrated, rank_labels
from lensmith.study.check.labels.held_out import HeldOut
from lensmith.study.check.labels.quick_probe import QuickProbe
from lensmith.study.check.labels.suspicious_boxes import MISPLACED, OTHER_CLASS, OVERLOOKED, suspicious_boxes
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label
from lensmith.values.semantic_mask import Mask

BUDGET = 300.0
FLIPPED, FIRST_OF_PETS = 0.05, 25
DRAWN, SIZE, OF_EACH, FIRST_OF_DRAWN = 600, 64, 20, 90
FAULTS = (OVERLOOKED, MISPLACED, OTHER_CLASS)
EPOCHS = {"boxes": 10, "masks": 6}


def flipped(known: KnownSet, split: str, rows: np.ndarray, number: int, seed: int) -> tuple[KnownSet, str, np.ndarray]:
    """The set with the `rows` of one of its splits alone, of whose labels so many are flipped; its target, and bool:
    which ones."""
    source = known.sources[split].subset(rows.tolist())
    (target,) = source.targets
    draw = np.random.default_rng(seed)
    wrong = np.zeros(len(rows), dtype=bool)
    wrong[draw.permutation(len(rows))[:number]] = True
    true, classes = source.targets[target].index.numpy(), len(source.classes[target])
    labels = np.where(wrong, (true + draw.integers(1, classes, len(rows))) % classes, true)
    source.targets = {target: Label(torch.from_numpy(labels))}
    at = known.starts[split] + rows
    pictures = replace(known.pictures, reasons={}, **{
        name: getattr(known.pictures, name)[at] for name in ("light", "colours", "sizes", "contents", "modes",
                                                             "orientations", "darkest", "lightest", "contrast",
                                                             "sharpness")})
    return KnownSet(known.source, known.recipe, {split: source}, known.account, pictures,
                    {"train": np.arange(len(rows))}), target, wrong


def labels_part(known: KnownSet, target: str, wrong: np.ndarray, first: int | None, began: float) -> Row:
    """What is found of flipped labels; among the `first`, or among those that are called likely."""
    from cleanlab.filter import find_label_issues

    value, rows = known.stacked(target), np.arange(len(wrong))
    probe = QuickProbe(known, seconds=BUDGET, tell=lambda line: print(line, file=sys.stderr))
    training, processor = time.time(), time.process_time()
    said = probe.say(value, rows, len(known.classes[target]))
    training, processor = time.time() - training, time.process_time() - processor
    labels = value.index.numpy()[said.rows]    # type: ignore[attr-defined]
    probabilities = calibrated(labels, said.logits)
    ranking = rank_labels(labels, probabilities)
    listed = said.rows[ranking.rows[: ranking.likely if first is None else first]]
    seconds, processor = time.time() - began - training, time.process_time() - processor
    theirs = said.rows[find_label_issues(labels, probabilities, n_jobs=1, return_indices_ranked_by="self_confidence")]
    theirs = theirs if first is None else theirs[:first]
    return {"pictures": len(wrong), "planted": int(wrong.sum()), "listed": len(listed),
            "found": int(wrong[listed].sum()), "cleanlab listed": len(theirs),
            "cleanlab found": int(wrong[theirs].sum()), "s of the probe": round(training), "s besides": round(seconds),
            "CPU s besides": round(processor)}


def fashion(seed: int) -> Row:
    began = time.time()
    known = know(resolve({"data": {"name": "fashion-mnist"}}, trusted=False), source="fashion-mnist")
    number = len(known.sources["train"])
    return labels_part(*flipped(known, "train", np.arange(number), int(FLIPPED * number), seed), None, began)


def pets(seed: int) -> Row:
    began, table = time.time(), shared("pets3/labels.csv")
    assert table is not None, "pets3 is not there: set LENSMITH_DATA to the folder that holds it"
    section = {"name": "table", "path": str(table), "pictures": "images/{name}.jpg", "target": "breed", "split": False}
    known = know(resolve({"data": section, "split": {"valid": 0.0, "test": 0.2}}, trusted=False), source=str(table))
    return labels_part(*flipped(known, "all", known.splits["train"], 10, seed), FIRST_OF_PETS, began)


def spoiled_boxes(boxes: Boxes, seed: int) -> tuple[Boxes, dict[int, str]]:
    """Boxes of which there is one in each picture, some of them spoiled; the fault of each spoiled picture."""
    order = hashed(seed, np.arange(len(boxes.corners))).argsort()
    faults = {int(row): FAULTS[number // OF_EACH] for number, row in enumerate(order[: 3 * OF_EACH])}
    corners, classes = boxes.corners.clone(), boxes.classes.clone()
    for row, fault in faults.items():
        if fault == MISPLACED:
            edges = corners[row, 2:] - corners[row, :2]
            room = corners[row, 2:] + edges / 2 <= SIZE    # towards the side on which there is room
            shift = torch.where(room, edges / 2, -edges / 2)
            corners[row] += shift.repeat(2)
        elif fault == OTHER_CLASS:
            classes[row] = (classes[row] + 1) % 3
    kept = torch.tensor([faults.get(row) != OVERLOOKED for row in range(len(classes))])
    return replace(boxes, corners=corners.clamp(0, SIZE), classes=classes).chosen(kept), faults


def boxes_part(seed: int) -> Row:
    began = time.time()
    held_out, source = drawn_held_out("detection", "boxes", seed)
    training = time.time() - began
    boxes = source.targets["boxes"]
    source.targets["boxes"], faults = spoiled_boxes(boxes, seed)
    annotated, predicted = held_out.boxes("boxes")
    ranking = suspicious_boxes(annotated, predicted, 3)[:FIRST_OF_DRAWN]
    found = {box.row for box in ranking if faults.get(box.row) == box.fault}
    theirs = cleanlab_boxes(annotated, predicted)[:FIRST_OF_DRAWN]
    return {"pictures": DRAWN, "planted": len(faults), "listed": len(ranking), "found": len(found),
            "cleanlab listed": len(theirs), "cleanlab found": len(set(theirs.tolist()) & set(faults)),
            "s of the probe": round(training), "s besides": round(time.time() - began - training),
            "CPU s besides": None}


def masks_part(seed: int) -> Row:
    began = time.time()
    held_out, source = drawn_held_out("segmentation", "mask", seed)
    training = time.time() - began
    _, faults = spoiled_boxes(drawn(seed).targets["boxes"], seed)
    masks = source.targets["mask"].classes.clone()
    for row, fault in faults.items():
        if fault == OVERLOOKED:
            masks[row] = 0
        elif fault == OTHER_CLASS:
            masks[row] = torch.where(masks[row] > 0, masks[row] % 3 + 1, 0)
        else:
            masks[row] = masks[row].roll((SIZE // 6, SIZE // 6), (0, 1))
    source.targets["mask"] = Mask(masks)
    judged = held_out.masks("mask")
    ranking = np.argsort([-(mask.part.score if mask.part else 0) for mask in judged], kind="stable")[:FIRST_OF_DRAWN]
    theirs = np.argsort([mask.quality for mask in judged], kind="stable")[:FIRST_OF_DRAWN]    # cleanlab's own numbers
    return {"pictures": DRAWN, "planted": len(faults), "listed": len(ranking),
            "found": len(set(ranking.tolist()) & set(faults)), "cleanlab listed": len(theirs),
            "cleanlab found": len(set(theirs.tolist()) & set(faults)), "s of the probe": round(training),
            "s besides": round(time.time() - began - training), "CPU s besides": None}


def drawn(seed: int) -> Any:
    """Drawn pictures that no run on `shapes` has learned from: those of another seed."""
    return shapes(DRAWN * 6 // 5, SIZE, seed + 1).splits["train"]


def drawn_held_out(task: str, target: str, seed: int) -> tuple[HeldOut, Any]:
    """A network that has learned drawn pictures, with others, whose targets can be exchanged before it is asked."""
    part = "boxes" if target == "boxes" else "masks"
    with tempfile.TemporaryDirectory() as folder:
        trained = lensmith.train("shapes", task=task, epochs=EPOCHS[part], seed=seed, runs=folder,
                                 settings={"data.size": SIZE})
        source = drawn(seed)
        source.targets = {target: source.targets[target]}
        held_out = HeldOut("the run", trained.network, trained.task, {"valid": Loader(source, 60)}, plan=trained.plan,
                           classes=trained.names)
    return held_out, source


def cleanlab_boxes(annotated: Sequence[Boxes], predicted: Sequence[Boxes]) -> np.ndarray:
    """cleanlab's ranking of the pictures, the worst first."""
    from cleanlab.object_detection.rank import get_label_quality_scores

    labels = [{"bboxes": boxes.corners.numpy(), "labels": boxes.classes.numpy()} for boxes in annotated]
    tables = [torch.cat((boxes.corners, boxes.scores[:, None]), 1).numpy() for boxes in predicted]    # type: ignore[index]
    said = []
    for boxes, table in zip(predicted, tables, strict=True):
        by_class = np.empty(3, dtype=object)
        by_class[:] = [table[boxes.classes.numpy() == number] for number in range(3)]
        said.append(by_class)
    return np.argsort(get_label_quality_scores(labels, said, verbose=False), kind="stable")


PARTS = {"fashion": fashion, "pets": pets, "boxes": boxes_part, "masks": masks_part}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=PARTS, help="this one in this process; prints its row as JSON")
    parser.add_argument("--no-write", action="store_true", help="print alone")
    asked = parser.parse_args()
    if asked.part:
        print(json.dumps(PARTS[asked.part](asked.seed)))
        return
    rows: list[Row] = []
    for part in asked.only:
        ended = whole_run([sys.executable, str(Path(__file__)), "--part", part, "--seed", str(asked.seed)], {})
        row: Row = {"set": part, **json.loads(ended.output.splitlines()[-1]), "MB": round(ended.megabytes)}
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        rows.append(row)
    if not asked.no_write:
        write("check-labels", this_command(), rows, [
            "fashion: 5 % of the labels flipped, listed are those called likely wrong. pets: 10 of 480 flipped, the "
            "first 25. boxes: 20 removed, 20 shifted, 20 of another class, the first 90; found are those named with "
            "their fault. masks: the same, the first 90.",
            "cleanlab gets the same probabilities or boxes; of masks its soft minimum of the pixels' probabilities."])


if __name__ == "__main__":
    main()
