"""Ultralytics' classification trainer and its loader, on a network of torchvision; augmentation, plots, saving off.

It is AGPL-3.0 and stays in the benchmarks' own environment. Nothing is sent: throughput.py tells it that it is offline
and to keep its settings in a folder that goes when the run ends, and `sync` is off in them.
"""

import json
import sys
from typing import Any

from torch import nn
from turns import Turn
from ultralytics import settings
from ultralytics.models.yolo.classify import ClassificationTrainer
from ultralytics.nn.tasks import ClassificationModel

from peers.networks import network
from peers.sgd_settings import MOMENTUM, RATE


class Trainer(ClassificationTrainer):
    """Its trainer on the job's network, in the place of the layers that its model files describe."""

    job: dict[str, Any]

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> ClassificationModel:
        model = ClassificationModel(cfg, nc=self.data["nc"], ch=self.data["channels"], verbose=False)
        layer = network(self.job["network"], self.job["classes"], small_stem=self.job["small_stem"])
        layer.f, layer.i = -1, 0    # where its input comes from, and its place
        model.model, model.save = nn.Sequential(layer), []
        return model


def main() -> None:
    job, turn = json.loads(sys.argv[1]), Turn()
    settings.update({"sync": False})
    overrides = {
        "model": "yolo11n-cls.yaml", "data": job["folder"], "imgsz": job["size"], "batch": job["batch"],
        "epochs": job["epochs"], "workers": job["workers"], "seed": job["seed"], "device": "cpu", "val": False,
        "deterministic": False, "save": False, "plots": False, "verbose": False, "project": job["scratch"],
        "pretrained": False, "optimizer": "SGD", "lr0": RATE, "momentum": MOMENTUM, "weight_decay": 0.0,
        "warmup_epochs": 0.0,
        "nbs": job["batch"],    # else it accumulates batches up to 64 pictures before a step
        "auto_augment": None, "erasing": 0.0, "scale": 0.0, "fliplr": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0,
    }
    Trainer.job = job
    trainer = Trainer(overrides=overrides)
    trainer.add_callback("on_train_epoch_start", lambda _: turn.begin())
    trainer.add_callback("on_train_epoch_end", lambda one: turn.end(len(one.train_loader.dataset)))
    trainer.train()


if __name__ == "__main__":
    main()
