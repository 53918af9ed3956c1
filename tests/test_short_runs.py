"""Short runs: the batch norm statistics that a run ends with score what statistics over the whole training set score.

Networks for photos have a momentum of 0.01 or less, made for hundreds of thousands of steps; these runs have eighty.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

import lensmith
from lensmith.engine.checkpoint import read_state
from lensmith.engine.evaluate import evaluate
from lensmith.models.adapters.torchvision_classifiers import TORCHVISION
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.other_data import read_data

NEAR = 0.02
COLOURS = {"cat": (220, 40, 40), "dog": (40, 200, 60), "owl": (40, 60, 220)}
FAST = ("mobilenet_v3_small",)
WITHOUT_NORMS = ("alexnet", "convnext", "squeezenet")
# Of more than 100 million weights: gigabytes of moments, for the same blocks as in the smaller ones of their families.
HUGE = ("efficientnet_v2_l", "regnet_x_32gf", "regnet_y_32gf", "regnet_y_128gf", "wide_resnet101_2")
NORMED = [name for name in TORCHVISION
          if not name.startswith((*WITHOUT_NORMS, "vgg")) and name not in HUGE]
SIZES = {"inception_v3": 96}    # pixels, of networks that take no pictures of 64
# At the others' 3e-3 the deeper ones of this family have learned too little after these few steps to be compared.
SLOWLY = {name: 1e-3 for name in NORMED if name.startswith("efficientnet_b")}


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 300 pictures at 64 pixels: a ground of the class's colour, lighter or darker, with a spot."""
    folder = tmp_path_factory.mktemp("drawings")
    for number, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir()
        for picture in range(100):
            draw = np.random.default_rng(1000 * number + picture)
            shade = draw.uniform(0.4, 1.0)
            image = Image.new("RGB", (64, 64), tuple(int(shade * value) for value in colour))
            edge, (left, top) = int(draw.integers(10, 30)), draw.integers(0, 34, 2).tolist()
            spot = tuple(draw.integers(0, 256, 3).tolist())
            ImageDraw.Draw(image).ellipse((left, top, left + edge, top + edge), fill=spot)
            noise = np.asarray(image).astype(int) + draw.integers(-20, 20, (64, 64, 1))
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / name / f"{picture:02d}.png")
    return folder


def take_anew(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Statistics over all batches, by PyTorch's own cumulative mean; nothing is dropped meanwhile."""
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum, norm.training = None, True
    with torch.no_grad():
        for images in batches:
            network(images)
    network.eval()


def stored_and_anew(folder: Path, runs: Path, backbone: str, **settings: object) -> list[tuple[float, float]]:
    """The accuracy on all held-out pictures with stored statistics and with new ones: of the network, of the EMA."""
    usual = {"run.name": "short", "pictures.size": SIZES.get(backbone, 64), "loading.batch": 12, "learner.epochs": 10,
             "learner.average": 0.98, "learner.weights": "none", "optimizer.name": "adamw",
             "optimizer.rate": SLOWLY.get(backbone, 3e-3), "augment.flip": False, "plan.mode": "exact",
             "split.valid": 0.33, "split.test": 0.33}
    trained = lensmith.train(str(folder), backbone=backbone, runs=runs, settings=usual | settings)
    data = read_data(trained.recipe, None)
    loaders = make_loaders(trained.recipe, data, trained.task)
    state = read_state(runs / "short" / "last.safetensors")["learner"]

    def score() -> float:
        measured = [evaluate(trained.network, trained.task, loaders[split], plan=trained.plan)
                    for split in ("valid", "test")]
        right = sum(split["accuracy_top1"] * split["count"] for split in measured)
        return float(right / sum(split["count"] for split in measured))

    scores = []
    for weights in (state["network"], state["stepper"]["average"]):
        trained.network.load_state_dict(weights)
        stored = score()
        take_anew(trained.network, [batch.images for batch in loaders["train"]])
        scores.append((stored, score()))
    return scores


@pytest.mark.parametrize("backbone", [
    *FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in (*NORMED, "vgg11_bn", "csp", "darknet53",
                                                                     "efficientnet_lite0") if name not in FAST)])
def test_stored_statistics_score_what_new_ones_score(drawings: Path, tmp_path: Path, backbone: str):
    for stored, anew in stored_and_anew(drawings, tmp_path, backbone):
        assert abs(stored - anew) <= NEAR
        assert stored > 0.5


@pytest.mark.slow
def test_without_a_floor_the_default_network_for_photos_stays_at_chance(drawings: Path, tmp_path: Path):
    """What the floor is for, and what runs go on with that were begun before it."""
    for stored, anew in stored_and_anew(drawings, tmp_path, "mobilenet_v3_small", **{"learner.norm_floor": 0.0}):
        assert stored < 0.5 and anew > 0.8
