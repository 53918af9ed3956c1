"""Dense layers on flattened pixels, trained beside LeNet by the product itself."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lensmith.api import train
from lensmith.base.errors import count
from lensmith.data.formats import FORMATS
from lensmith.data.sources.in_memory import InMemory
from lensmith.engine.run_loop import Interrupted
from lensmith.lessons.lesson_data import set_in_words, usual_set
from lensmith.training.trained import Trained
from lensmith.values.labels import Label

SHIFTS = (1, 2)          # pixels by which the test pictures are moved to the right and down
_UNITS = 128
_DRAWN: dict[str, Any] = {"data.count": 3600, "data.size": 28, "data.channels": 1}
_QUICK: dict[str, Any] = {"plan.mode": "exact", "run.vitals": False, "learner.weights": "none"}
# Of 54,000 pictures a tenth is enough to see who wins; of the drawn ones all are taken.
_FRACTION, _EPOCHS = 0.1, 6


@dataclass(frozen=True)
class Contender:
    """A network of the comparison, and what its run measured."""

    name: str
    words: str
    parameters: int
    accuracy: float               # on the test pictures
    shifted: Mapping[int, float]  # pixels by which they were moved -> accuracy
    seconds: float


@dataclass(frozen=True)
class SideBySide:
    """Dense layers beside LeNet on one data set, trained alike."""

    data: str
    learned_from: int    # pictures
    tested: int
    epochs: int
    contenders: tuple[Contender, Contender]    # the dense network, LeNet

    def in_words(self) -> str:
        """How it was done."""
        return (f"Both learned from the same {self.learned_from:,} pictures of {set_in_words(self.data)} for "
                f"{count(self.epochs, 'epoch')}, with the same settings of lensmith train, and were tested on "
                f"{self.tested:,} others.")

    def verdict(self) -> str:
        """Who won, in numbers, whoever it was."""
        dense, lenet = self.contenders
        first = (f"LeNet is right {100 * lenet.accuracy:.1f} % of the time with {lenet.parameters:,} weights, the "
                 f"dense network {100 * dense.accuracy:.1f} % with {dense.parameters:,}.")
        far = max(SHIFTS)
        return (f"{first} With the test pictures moved {far} pixels to the right and down, which neither was trained "
                f"for, LeNet has {100 * lenet.shifted[far]:.1f} % and the dense network "
                f"{100 * dense.shifted[far]:.1f} %. What a convolution finds moves along with the picture; a dense "
                "layer, LeNet's too, has weights of its own for each place.")


def compare_networks(*, device: str | None = None, tell: Callable[[str], object] = lambda text: None) -> SideBySide:
    """Train both on MNIST, where it is not here on Fashion-MNIST, else on drawn shapes; a matter of seconds.

    `tell` is called with a line before each is trained. Raises Interrupted for a Ctrl-C: these runs are not kept.
    """
    # Of a tenth of Fashion-MNIST the dense network learns as much as LeNet does.
    name = usual_set("mnist", "fashion-mnist")
    data = _DRAWN if name == "shapes" else {"loading.fraction": _FRACTION}
    networks: dict[str, tuple[str, dict[str, Any]]] = {
        "dense": (f"dense: {_UNITS} hidden units",
                  {"backbone.name": "stack", "backbone.layers": [{"dense": _UNITS}, "relu"]}),
        "lenet": ("LeNet", {"backbone.name": "lenet"})}
    with tempfile.TemporaryDirectory(prefix="lensmith-lesson-") as runs:
        found = []
        for network, (words, settings) in networks.items():
            tell(f"training {words} on {set_in_words(name)}")
            began = time.perf_counter()
            try:
                trained = train(name, epochs=_EPOCHS, device=device, name=network, runs=Path(runs),
                                settings={**_QUICK, **data, **settings})
            except Interrupted as error:    # whose message says how to go on with a run that is removed here
                raise Interrupted("interrupted while LeNet and the dense network were trained; nothing was written. "
                                  "--no-train leaves them out") from error
            found.append(_measured(trained, network, words, time.perf_counter() - began))
        account = trained.run.read_json("data.json")
    counts = {split: account["splits"][split]["count"] for split in ("train", "test")}
    return SideBySide(name, counts["train"], counts["test"], _EPOCHS, (found[0], found[1]))


def _measured(trained: Trained, name: str, words: str, seconds: float) -> Contender:
    pictures, labels = _test_pictures(trained)
    return Contender(name, words, sum(parameter.numel() for parameter in trained.network.parameters()),
                     float(trained.metrics["test"]["accuracy_top1"]),
                     {shift: accuracy_of(trained, moved(pictures, shift), labels) for shift in SHIFTS}, seconds)


def moved(pictures: Tensor, pixels: int) -> Tensor:
    """Pictures [n, channels, height, width] moved to the right and down; what comes in repeats the edge."""
    rows, columns = (torch.arange(edge).sub(pixels).clamp(min=0) for edge in pictures.shape[2:])
    return pictures[:, :, rows][:, :, :, columns]


def accuracy_of(trained: Trained, pictures: Tensor, labels: Tensor) -> float:
    """The fraction of pictures, uint8 [n, channels, height, width], that a classifier names right."""
    network = trained.network.eval()
    with torch.inference_mode():
        answers = torch.cat([network(chunk.to(trained.plan.device)).argmax(1).cpu() for chunk in pictures.split(1000)])
    return int((answers == labels).sum()) / len(labels)


def _test_pictures(trained: Trained) -> tuple[Tensor, Tensor]:
    """All test pictures of the set that a run was trained on, and their labels."""
    recipe = trained.recipe["data"]
    settings = {key: value for key, value in recipe.items() if key != "name" and value is not None}
    test = FORMATS[recipe["name"]].open(**settings).splits["test"]
    labels = test.targets["label"]
    assert isinstance(test, InMemory) and isinstance(labels, Label)
    return test.images, labels.index
