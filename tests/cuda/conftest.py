"""Everything that differs on an NVIDIA GPU. All tests of this folder are marked `cuda` and skipped where none is."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lensmith.data.sources.sample import Batch
from lensmith.models.backbone import Backbone
from lensmith.models.network import Network
from lensmith.tasks.classification import Classification
from lensmith.values.labels import Label

DEVICE = "cuda:0"
CLASSES = ("disc", "square", "triangle")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cuda)
            item.add_marker(pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"))


@pytest.fixture
def gpu() -> str:
    return DEVICE


class Small(Backbone):
    """Convolutions wide enough for a GPU's own units, batch norm, and dropout, as what a resume must not disturb."""

    channels, strides = (64,), (4,)

    def __init__(self, dropout: float = 0.2):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
                                    nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [self.layers(images)]


@pytest.fixture
def task() -> Classification:
    return Classification(CLASSES)


@pytest.fixture
def network(task: Classification) -> Network:
    """On the CPU, with the same weights each time."""
    torch.manual_seed(1)
    backbone = Small()
    return Network(backbone, task.head(backbone), mean=[110.0] * 3, deviation=[60.0] * 3)


@pytest.fixture
def batches() -> list[Batch]:
    """On the CPU: noise in which each class is lighter in another channel, so that it can be learned."""
    draw, found = torch.Generator().manual_seed(0), []
    for _ in range(6):
        labels = torch.randint(0, 3, (32,), generator=draw)
        images = torch.randint(0, 160, (32, 3, 32, 32), dtype=torch.uint8, generator=draw)
        images[torch.arange(32), labels] += 90
        found.append(Batch(images, {"label": Label(labels)}))
    return found
