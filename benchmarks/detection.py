"""Detection from scratch on a set of the kind that people bring: Lensmith and Ultralytics' YOLOv8n in the same time.

    python benchmarks/detection.py [FOLDER] [--epochs 20] [--batch 16] [--size 320] [--seeds 1] [--ours N]

FOLDER is any YOLO set, a folder or its data.yaml; without it the 200 drawn pictures of microscope.py. Ultralytics
trains `yolov8n.yaml` without weights from elsewhere, by its own defaults, for `--epochs`. Lensmith trains by its own
defaults for as many epochs as fit into the time that took, found by a short run before (`--ours` says how many
instead); its time is that of its whole process, tests and report included. Both are then asked for the boxes of the
same test pictures
(validation where there are none), and both answers are measured by the same code, which equals pycocotools
(tests/tasks/metrics/test_boxes.py). Prints and writes results/detection.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import microscope
import torch
from results import Row, newest, this_command, whole_run, write

import lensmith
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.open_data import open_splits
from lensmith.recipe.sections import resolve
from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.values.boxes import Boxes

HERE = Path(__file__).resolve().parent
SHARE = 0.93     # of the peer's time that is planned to be used: an hour is not the next one
PROBE = 3        # epochs of the short run before


class Set:
    """A YOLO set as this package reads it: its parts, and the pictures that are measured on."""

    def __init__(self, source: Path):
        self.source = source
        parts = open_splits(resolve({"data": recipe_for(source)["data"]}, trusted=False)).splits
        self.parts = parts
        self.part = next(name for name in ("test", "valid") if name in parts)
        self.names = parts["train"].classes["boxes"]
        self.pictures = [str(path.absolute()) for path in parts[self.part].paths]
        self.truth: Boxes = parts[self.part].targets["boxes"]

    def described(self, folder: Path) -> Path:
        """A data.yaml with absolute paths, which Ultralytics would else look for in a folder of its own."""
        lists = {}
        for name, source in self.parts.items():
            lists[name] = folder / f"{name}.txt"
            lists[name].write_text("".join(f"{path.absolute()}\n" for path in source.paths))
        lines = [f"train: {lists['train']}", f"val: {lists.get('valid', lists['train'])}"]
        lines += [f"names: {json.dumps(list(self.names))}"]
        (folder / "data.yaml").write_text("\n".join(lines) + "\n")
        return folder / "data.yaml"

    def score(self, found: list[dict[str, Any]]) -> dict[str, Any]:
        """The metrics of boxes found in each of `pictures`, in their order, in the files' pixels."""
        rows = [Boxes(torch.tensor(one["corners"], dtype=torch.float32).view(-1, 4),
                      torch.tensor(one["classes"], dtype=torch.int64), torch.tensor(one["scores"]).view(-1))
                for one in found]
        metrics = BoxMetrics(self.names)
        metrics.update({"boxes": Boxes.stack(rows)}, {"boxes": self.truth}, count=len(rows))
        return metrics.result()


def ultralytics(data: Set, asked: argparse.Namespace, seed: int, folder: Path) -> dict[str, Any]:
    """What Ultralytics takes and reaches."""
    scratch = folder / f"peer-{seed}"
    scratch.mkdir()
    job = {"model": asked.peer, "data": str(data.described(scratch)), "epochs": asked.epochs, "batch": asked.batch,
           "size": asked.size, "seed": seed, "workers": 2, "scratch": str(scratch), "pictures": data.pictures,
           "answer": str(scratch / "answer.json")}
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "peers.ultralytics_detector", json.dumps(job)], cwd=HERE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(scratch)})
    if done.returncode:
        sys.exit(f"Ultralytics failed:\n{done.stdout[-3000:]}")
    answer: dict[str, Any] = json.loads(Path(job["answer"]).read_text())
    return {**answer, "process": time.perf_counter() - began}


def trained(data: Set, asked: argparse.Namespace, seed: int, folder: Path, epochs: int) -> tuple[float, Path]:
    """Seconds of a whole `lensmith train`, and its run folder."""
    flags = {"size": asked.size, "batch": asked.batch, "epochs": epochs, "seed": seed, "runs": folder / "runs"}
    given = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    ended = whole_run([sys.executable, "-m", "lensmith", "train", str(data.source), *asked.settings, *given, "--quiet",
                       "--json"], {"LENSMITH_CACHE": str(folder / "cache")})
    return ended.seconds, newest(folder / "runs")


def found_by(run: Path, data: Set) -> list[dict[str, Any]]:
    """The boxes that a run's network finds in the pictures."""
    rows = []
    for one in lensmith.load(run).predict(data.pictures, threshold=0.001):
        boxes = one.boxes
        assert boxes is not None and boxes.scores is not None
        rows.append({"corners": boxes.corners.tolist(), "classes": boxes.classes.tolist(),
                     "scores": boxes.scores.tolist()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    for name, value in (("epochs", 20), ("batch", 16), ("size", 320), ("seeds", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--ours", type=int, help="epochs of Lensmith; by itself as many as fit into the peer's time")
    parser.add_argument("--peer", default="yolov8n.yaml", help="another model file of Ultralytics")
    parser.add_argument("--no-write", action="store_true", help="print alone")
    parser.add_argument("--settings", nargs="*", default=[], help="more arguments of lensmith train")
    asked = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = Set(asked.folder or microscope.write(folder / "microscope"))
        print(f"{', '.join(f'{name} {len(part)}' for name, part in data.parts.items())}; measured on {data.part}",
              flush=True)
        for seed in range(asked.seeds):
            peer = ultralytics(data, asked, seed, folder)
            rows.append(_row(f"Ultralytics {asked.peer}", seed, asked.epochs, peer["seconds"], peer["parameters"],
                             data.score(peer["found"])))
            epochs = asked.ours or _fitting(data, asked, seed, folder, peer["seconds"])
            seconds, run = trained(data, asked, seed, folder, epochs)
            network = lensmith.load(run).network
            rows.append(_row("Lensmith", seed, epochs, seconds, sum(one.numel() for one in network.parameters()),
                             data.score(found_by(run, data))))
    what = str(asked.folder.name) if asked.folder else "the drawn set of microscope.py"
    notes = [f"On {what}: {len(data.parts['train'])} pictures to train, measured on {len(data.pictures)}; "
             f"{', '.join(data.names[:8])}. Neither had weights from elsewhere.",
             "Seconds: of Lensmith its whole process with test and report, of Ultralytics its call of train()."]
    if not asked.no_write:
        write("detection", this_command(), rows, notes)


def _fitting(data: Set, asked: argparse.Namespace, seed: int, folder: Path, seconds: float) -> int:
    """The epochs that a whole process can do in so many seconds, from one of a few epochs."""
    took, run = trained(data, asked, seed, folder, PROBE)
    learning = json.loads((run / "run.json").read_text())["seconds"]
    return max(PROBE, int((SHARE * seconds - (took - learning)) / (learning / PROBE)))


def _row(program: str, seed: int, epochs: int, seconds: float, parameters: int, found: dict[str, Any]) -> Row:
    row: Row = {"program": program, "seed": seed, "epochs": epochs, "s": round(seconds, 1), "parameters": parameters,
                **{name: round(found[name], 4) for name in ("mAP50", "mAP50-95", "mAP75")}}
    per_class = "  ".join(f"{one['class']} {one['AP50']:.3f}" for one in found["details"]["per_class"])
    print("  ".join(f"{name} {value}" for name, value in row.items()), " AP50:", per_class, flush=True)
    return row


if __name__ == "__main__":
    main()
