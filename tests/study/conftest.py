"""Run folders as training leaves them, small but whole, for whatever reads one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lensmith.base.device import environment
from lensmith.base.pictures import Place
from lensmith.data.sources.box_statistics import box_statistics
from lensmith.data.sources.sample import Batch
from lensmith.study.report.worst_errors import WorstErrors
from lensmith.tasks import TASKS
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
BOX = ("x0", "y0", "x1", "y1")
RECIPE = """\
[run]
seed = 0
device = "cpu"

[data]
name = "fashion-mnist"

[backbone]
name = "lenet"
activation = "sigmoid"

[task]
name = "{task}"

[learner]
epochs = 5
"""


def _answers(task: str, pictures: int, classes: tuple[str, ...]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Truth and predictions as a middling network might give them."""
    draw = torch.Generator().manual_seed(3)
    if task == "classification":
        index = torch.arange(pictures) % len(classes)
        logits = torch.randn(pictures, len(classes), generator=draw) * 2.5
        logits[torch.arange(pictures), index] += 6
        logits[index == len(classes) - 1, 0] += 4    # one pair is confused more than the others
        return {"label": Label(index)}, {"label": Label(logits.argmax(1), logits.softmax(1))}
    if task == "tagging":
        scores = torch.rand(pictures, len(classes), generator=draw)
        present = (torch.rand(pictures, len(classes), generator=draw) < scores).float()
        return {"tags": Tags(present)}, {"tags": Tags((scores >= 0.5).float(), scores)}
    if task == "detection":
        return _boxes(pictures, len(classes), draw)
    if task == "segmentation":
        truth = torch.randint(len(classes), (pictures, 7, 7), generator=draw).repeat_interleave(4, 1)
        truth = truth.repeat_interleave(4, 2)
        wrong = torch.rand(truth.shape, generator=draw) < 0.1
        return {"mask": Mask(truth)}, {"mask": Mask((truth + wrong) % len(classes))}
    values = torch.rand(pictures, len(classes), generator=draw) * 28
    noise = torch.randn(pictures, len(classes), generator=draw)
    return {"numbers": Numbers(values)}, {"numbers": Numbers(values + noise)}


def _boxes(pictures: int, classes: int, draw: torch.Generator) -> tuple[dict[str, Value], dict[str, Value]]:
    """Two objects in each picture but every tenth, one of them found, and something found in vain."""
    image = torch.tensor([i for i in range(pictures) if i % 10]).repeat_interleave(2)
    low = torch.rand(len(image), 2, generator=draw) * 20
    size = torch.rand(len(image), 2, generator=draw) * 16 + 4
    truth = Boxes(torch.cat((low, (low + size).clamp(max=28)), 1), torch.arange(len(image)) % classes, image=image)
    noise = torch.randn(len(image), 4, generator=draw)
    noise[::2] *= 5    # so much that it is missed mostly
    found = Boxes(truth.corners + noise, truth.classes, torch.rand(len(image), generator=draw), image)
    return {"boxes": truth}, {"boxes": found}


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes a finished run's folder: `write_run("classification", classes=..., without=("test",))`."""

    def write(task: str = "classification", *, classes: tuple[str, ...] | None = None, pictures: int = 400,
              without: tuple[str, ...] = (), **run: Any) -> Path:
        classes = classes or (BOX if task == "regression" else FASHION)
        folder = tmp_path / f"{task}-1"
        folder.mkdir()
        truth, found = _answers(task, pictures, classes)
        target = next(iter(truth))
        metrics = TASKS[task](classes).metrics()
        metrics.update(found, truth)
        result = {**metrics.result(), "count": pictures, "loss": 0.3}
        score = TASKS[task](classes).score
        images = torch.arange(pictures).view(-1, 1, 1, 1).repeat(1, 1, 28, 28)
        images[:, :, 0] //= 256    # no two are alike
        images = images.to(torch.uint8)
        worst = WorstErrors((target,), {target: classes})
        worst.update(Batch(images, truth, [Place(f"test#{i}", (28, 28)) for i in range(pictures)]), found)
        rows = [{**row, "picture": f"pictures/{row['picture']}"}
                for row in worst.save(folder / "pictures", name="test-worst")]
        measured = {"valid": {**result, "worst": []}, "test": {**result, "worst": rows}}
        per_class = {} if task == "regression" else dict.fromkeys(classes, 40)
        splits = {"train": {"count": 3200, "per_class": {name: 8 * n for name, n in per_class.items()}},
                  "valid": {"count": pictures, "per_class": per_class},
                  "test": {"count": pictures, "per_class": per_class}}
        data = {"name": "fashion-mnist", "source": {"folder": "/data/fashion-mnist", "format": "IDX"},
                "classes": {target: list(classes)},
                "form": {"channels": 1, "height": 28, "width": 28, "fit": "crop", "bits": 8},
                "splits": {name: value for name, value in splits.items() if name not in without},
                "files": {"train": ["train#0"]}, "fingerprint": "5b1c0ffee5b1c0ff",
                "dropped": [{"file": "train/Bag/broken.jpg", "reason": "is truncated"}],
                **({"boxes": box_statistics(truth[target], torch.full((pictures, 2), 28), classes)}
                   if task == "detection" else {}),
                "notes": ["10 % of the training pictures were set aside for validation."]}
        files = {
            "recipe.toml": RECIPE.format(task=task),
            "history.csv": f"epoch,step,time,rate,train/loss,valid/loss,valid/{score}\n" + "".join(
                f"{i},{100 * i},{6.2 * i},0.01,{2 / i},{2.1 / i},{result[score] - 0.1 / i}\n" for i in range(1, 6)),
            "metrics.json": json.dumps({name: value for name, value in measured.items() if name not in without}),
            "data.json": json.dumps(data),
            "plan.json": json.dumps({"device": "cpu", "precision": "float32", "layout": "contiguous", "threads": 2}),
            "environment.json": json.dumps(environment()),
            "run.json": json.dumps({
                "name": f"{task}-1", "command": f"lensmith train fashion-mnist --task {task} --epochs 5",
                "started": "2025-11-22T05:48:00", "finished": "2025-11-22T05:48:31", "seconds": 31.2,
                "status": "finished", "reason": "", "epochs": 5, "best_epoch": 4, "score_name": score,
                "score": result[score], "version": "0.1.0", **run})}
        for name, text in files.items():
            if name not in without:
                (folder / name).write_text(text, encoding="utf-8")
        return folder

    return write
