"""One picture after another through YOLO-Fastest 1.1: Lensmith's whole predict path and OpenCV's dnn, in turn.

    python benchmarks/opencv.py [rounds]

Reads $LENSMITH_DATA/darknet. Both begin with the file and end with boxes after suppression in the file's pixels; what
is done once, loading and folding batch norm away, is not counted. Lensmith letterboxes the picture and leaves out the
ground around it, as `lensmith predict` does; OpenCV stretches it, as its users do, and is asked for the same once more
with as many pixels as Lensmith's network sees. Each round times every program on every picture; a ratio is of one
round. OpenCV (4.x: version 5 reads no Darknet files) and PyTorch each take the threads they take by themselves, and one
runs at a time. Prints medians and writes results/opencv.json.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from results import this_command, write

import lensmith

PICTURES = ("dog.jpg", "eagle.jpg", "horses.jpg", "kite.jpg", "person.jpg")
SIZE, SCORE, OVERLAP = 320, 0.25, 0.45


class OpenCV:
    """The usual way to run a Darknet network in OpenCV."""

    def __init__(self, cfg: Path, weights: Path):
        self.network = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
        self.ends = self.network.getUnconnectedOutLayersNames()

    def __call__(self, file: Path, size: tuple[int, int] = (SIZE, SIZE)) -> int:
        image = cv2.imread(str(file))
        height, width = image.shape[:2]
        self.network.setInput(cv2.dnn.blobFromImage(image, 1 / 255, size, swapRB=True, crop=False))
        rows = np.concatenate(self.network.forward(self.ends))
        scores, kinds = rows[:, 5:].max(1), rows[:, 5:].argmax(1)
        rows, scores, kinds = (one[scores >= SCORE] for one in (rows, scores, kinds))
        extents = rows[:, 2:4] * (width, height)
        boxes = np.concatenate((rows[:, :2] * (width, height) - extents / 2, extents), 1)
        return len(cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), kinds.tolist(), SCORE, OVERLAP))


def main(rounds: int) -> None:
    folder = Path(os.environ.get("LENSMITH_DATA", "")) / "darknet"
    if not folder.is_dir():
        print(f"opencv was not measured: {folder} is not there; set LENSMITH_DATA to the folder that holds it")
        return
    cfg, weights = folder / "yolo-fastest-1.1.cfg", folder / "yolo-fastest-1.1.weights"
    ours, theirs = lensmith.darknet(cfg, weights, folder / "coco.names"), OpenCV(cfg, weights)
    shapes = {name: seen(folder / name) for name in PICTURES}
    programs: dict[str, Callable[[str], object]] = {
        "Lensmith": lambda name: ours.predict(folder / name, threshold=SCORE, overlap=OVERLAP),
        "OpenCV": lambda name: theirs(folder / name),
        "OpenCV, as many pixels": lambda name: theirs(folder / name, shapes[name])}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 2):
        for program, run in programs.items():
            began = time.perf_counter()
            for name in PICTURES:
                run(name)
            if number >= 2:    # the first two are for warming up
                times[program].append(1000 * (time.perf_counter() - began) / len(PICTURES))
    base = times["Lensmith"]
    rows = [{"program": name, "ms a picture": round(statistics.median(taken), 2),
             "Lensmith is so many times as fast": round(statistics.median(
                 other / own for own, other in zip(base, taken, strict=True)), 2)} for name, taken in times.items()]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    write("opencv", this_command(), rows,
          [f"{rounds} rounds over {len(PICTURES)} pictures; OpenCV {cv2.__version__}."])


def seen(file: Path) -> tuple[int, int]:
    """(width, height) of what Lensmith's network sees of a picture of this file."""
    height, width = cv2.imread(str(file)).shape[:2]
    scale = SIZE / max(height, width)
    return tuple(min(SIZE, -(-round(edge * scale) // 32) * 32) for edge in (width, height))    # type: ignore[return-value]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
