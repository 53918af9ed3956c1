"""A small network of three classes, and sets of pictures that its views look at."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lensmith.base.pictures import Form, Place
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.in_memory import InMemory
from lensmith.models.network import Network
from lensmith.study.explain.views.view import ViewedSet, ViewSubject
from lensmith.tasks.classification import Classification
from lensmith.values.labels import Label

CLASSES = ("ant", "bee", "cat")


def set_of(images: Tensor, labels: Sequence[int]) -> ViewedSet:
    """Pictures uint8 [n, channels, height, width] with their labels, in batches of three."""
    places = [Place(f"{row:02d}.png", (images.shape[2] * 2, images.shape[3] * 2), (0.5, 0.5, 0.0, 0.0))
              for row in range(len(images))]
    source = InMemory(images, {"label": Label(torch.tensor(labels))}, {"label": CLASSES}, places=places)
    return ViewedSet(Loader(source, 3), "training pictures")


@pytest.fixture(name="set_of")
def make_set() -> Callable[[Tensor, Sequence[int]], ViewedSet]:
    return set_of


@pytest.fixture
def images() -> Tensor:
    """Eleven pictures."""
    return torch.randint(0, 256, (11, 3, 32, 40), generator=torch.Generator().manual_seed(8), dtype=torch.uint8)


@pytest.fixture(scope="module")
def learned() -> Network:
    """A network that tells where a light square is: to the left, in the middle or to the right. Trained once a file."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(inplace=True),
                                 nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU())
        head = nn.Sequential(nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten(), nn.Linear(18, 3))
        network = Network(backbone, head, mean=[90.0] * 3, deviation=[60.0] * 3)
        network.takes_size = False
        labels = torch.arange(48) % 3
        pictures = squares(labels)
        steps = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(40):
            loss = nn.functional.cross_entropy(network(pictures), labels)
            steps.zero_grad()
            loss.backward()
            steps.step()
        assert loss < 0.1
    network.zero_grad(set_to_none=True)
    return network.eval()


def squares(labels: Tensor) -> Tensor:
    """float [n, 3, 16, 24] of whole values: noise, and a light square at one of three places."""
    drawn = torch.Generator().manual_seed(7)
    pictures = torch.randint(30, 120, (len(labels), 3, 16, 24), generator=drawn).float()
    for row, label in enumerate(labels.tolist()):
        pictures[row, :, 4:12, 8 * label : 8 * label + 8] += 100
    return pictures


@pytest.fixture
def trained(learned: Network) -> Callable[..., ViewSubject]:
    """The network that has learned, with two pictures that are named."""
    labels = [0, 2]

    def made(**changed: Any) -> ViewSubject:
        given: dict[str, Any] = {"pictures": set_of(squares(torch.tensor(labels)).byte(), labels)}
        return ViewSubject(learned, Classification(CLASSES), {"label": CLASSES}, Form(3, 16, 24), **given | changed)

    return made


@pytest.fixture
def sight(network: Network, images: Tensor) -> Callable[..., ViewSubject]:
    """The small network with a set of eleven pictures, of which the fifth and the second are named."""
    labels = [row % 3 for row in range(len(images))]

    def made(**changed: Any) -> ViewSubject:
        given: dict[str, Any] = {"pictures": set_of(images[[4, 1]], [1, 1]), "set": set_of(images, labels)}
        return ViewSubject(network, Classification(CLASSES), {"label": CLASSES}, Form(3, 32, 40), **given | changed)

    return made
