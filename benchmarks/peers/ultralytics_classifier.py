"""Ultralytics' classifier, trained from scratch by its own defaults; the classes that it names go to a file.

It is AGPL-3.0 and stays in the benchmarks' own environment. Nothing is sent or installed: defaults.py tells it that it
is offline, to install nothing and to keep its settings in a folder that goes when the run ends, and `sync` is off in
them. The job is a file: `model`, `train`, `valid` and `test` (each files and their classes), `size`, `epochs`, `seed`,
`scratch` (a folder) and `answer`, the file for the classes and the seconds of each epoch with its validation.
"""

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

from ultralytics import YOLO, settings


def linked(job: dict[str, Any], folder: Path) -> Path:
    """The pictures to train and validate as the class folders that it reads; those of the test are not among them."""
    for part, name in (("train", "train"), ("valid", "val")):
        for number, (file, label) in enumerate(zip(*job[part], strict=True)):
            place = folder / name / label / f"{number:05d}{Path(file).suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(Path(file).absolute())
    return folder


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    settings.update({"sync": False})
    scratch = Path(job["scratch"])
    model = YOLO(job["model"])
    stamps: list[float] = []
    model.add_callback("on_train_start", lambda _: stamps.append(time.perf_counter()))
    model.add_callback("on_fit_epoch_end", lambda _: stamps.append(time.perf_counter()))
    model.train(data=str(linked(job, scratch / "pictures")), epochs=job["epochs"], imgsz=job["size"], seed=job["seed"],
                pretrained=False, device="cpu", project=str(scratch), name="run", plots=False, verbose=False)
    trained = time.perf_counter()
    best = YOLO(str(scratch / "run" / "weights" / "best.pt"))
    found = [best.names[int(best.predict(file, imgsz=job["size"], device="cpu", verbose=False)[0].probs.top1)]
             for file in job["test"][0]]
    # It calls back once more, after the last test of the best weights.
    epochs = [after - before for before, after in itertools.pairwise(stamps)][:job["epochs"]]
    Path(job["answer"]).write_text(json.dumps(
        {"epochs": epochs, "testing": time.perf_counter() - trained, "found": found,
         "parameters": sum(one.numel() for one in best.model.parameters())}))


if __name__ == "__main__":
    main()
