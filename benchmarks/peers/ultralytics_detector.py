"""Ultralytics' detector, trained from scratch by its own defaults; what it finds in some pictures goes to a file.

It is AGPL-3.0 and stays in the benchmarks' own environment. Nothing is sent: detection.py tells it that it is offline
and to keep its settings in a folder that goes when the run ends, and `sync` is off in them.
"""

import json
import sys
import time
from pathlib import Path

from ultralytics import YOLO, settings

THRESHOLD, OVERLAP, MOST = 0.001, 0.7, 300    # of its own validation


def main() -> None:
    job = json.loads(sys.argv[1])
    settings.update({"sync": False})
    model = YOLO(job["model"])
    began = time.perf_counter()
    model.train(data=job["data"], epochs=job["epochs"], batch=job["batch"], imgsz=job["size"], seed=job["seed"],
                pretrained=False, device="cpu", workers=job["workers"], project=job["scratch"], name="run",
                plots=False, verbose=False)
    seconds = time.perf_counter() - began
    best = YOLO(str(Path(job["scratch"]) / "run" / "weights" / "best.pt"))
    found = []
    for file in job["pictures"]:
        boxes = best.predict(file, conf=THRESHOLD, iou=OVERLAP, max_det=MOST, imgsz=job["size"], device="cpu",
                             verbose=False)[0].boxes
        found.append({"file": file, "corners": boxes.xyxy.tolist(), "classes": boxes.cls.int().tolist(),
                      "scores": boxes.conf.tolist()})
    parameters = sum(one.numel() for one in best.model.parameters())
    Path(job["answer"]).write_text(json.dumps({"seconds": seconds, "found": found, "parameters": parameters}))


if __name__ == "__main__":
    main()
