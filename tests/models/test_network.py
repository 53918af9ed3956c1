"""A network: what its head is given, and when it is given the targets."""

import pytest
import torch
from torch import Tensor, nn

from lensmith.models.backbone import Backbone, LossHead, PooledLinear
from lensmith.models.network import Network, sees_targets


class Halving(Backbone):
    """One map of half the size."""

    channels, strides = (1,), (2,)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [pictures[:, :, ::2, ::2]]


class OfMaps(nn.Module):
    """The head of a user's own backbone, which takes the maps alone."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return maps[-1].mean((2, 3))


class OfPixels(nn.Module):
    """A head that needs the size of the pictures."""

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> tuple[int, int]:
        return size


class OwnLoss(LossHead):
    """A head that looks at the targets."""

    def forward(self, maps: list[Tensor], size: tuple[int, int] | None = None) -> Tensor:
        return maps[-1]

    def loss(self, maps: list[Tensor], targets: dict) -> dict[str, Tensor]:
        return {"all": maps[-1].sum() * targets["factor"]}


def network(head: nn.Module) -> Network:
    return Network(Halving(), head, mean=[10.0], deviation=[2.0])


def test_a_head_is_told_the_size_of_the_pictures_and_one_of_a_users_own_need_not_be() -> None:
    pictures = torch.full((2, 1, 5, 7), 14, dtype=torch.uint8)
    assert network(OfPixels())(pictures) == (5, 7)
    assert torch.equal(network(OfMaps())(pictures), torch.full((2, 1), 2.0))
    assert network(OfPixels()).takes_size and network(PooledLinear(1, 3)).takes_size
    assert not network(OfMaps()).takes_size and not network(nn.Sequential(nn.Flatten())).takes_size


def test_a_head_with_a_loss_of_its_own_gets_the_targets() -> None:
    learner = network(OwnLoss())
    assert sees_targets(learner) and not sees_targets(network(OfMaps())) and not sees_targets(nn.Linear(1, 1))
    pictures = torch.full((2, 1, 4, 4), 14, dtype=torch.uint8)
    assert learner(pictures, {"factor": 3.0}) == {"all": torch.tensor(48.0)}
    assert learner(pictures).shape == (2, 1, 2, 2)
    with pytest.raises(NotImplementedError):
        LossHead().loss([], {})
