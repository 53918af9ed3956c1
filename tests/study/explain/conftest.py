"""A small network, and what is explained of it."""

import pytest
import torch
from torch import Tensor, nn

from lensmith.models.network import Network
from lensmith.study.explain.subject import Subject

CLASS = 2


class Two(nn.Module):
    """A backbone with two maps, by modules with a ReLU in place and one as a function."""

    channels, strides = (4, 6), (2, 4)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        fine = self.first(pictures)
        return [fine, torch.relu(self.second(fine))]


class Pooled(nn.Module):
    """A head for three classes by the mean of the last map."""

    def __init__(self, channels: int):
        super().__init__()
        self.dense = nn.Linear(channels, 3)

    def forward(self, maps: list[Tensor], size: tuple[int, int] | None = None) -> Tensor:
        return self.dense(maps[-1].mean((2, 3)))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(3)
    made = Network(Two(), Pooled(6), mean=[120.0, 110.0, 100.0], deviation=[60.0, 55.0, 50.0]).eval()
    with torch.no_grad():
        for parameter in made.parameters():    # so that scores differ clearly
            parameter.mul_(2)
    return made


@pytest.fixture
def picture() -> Tensor:
    return torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(5)) * 255


@pytest.fixture
def subject(network: Network) -> Subject:
    return Subject(network, lambda output: output[:, CLASS], ("backbone.second",))
