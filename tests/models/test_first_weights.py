"""First weights that are drawn anew: for the activation behind each layer, module or function, and the same by seed."""

import math

import torch
from torch import Tensor, nn

from lensmith.models.first_weights import activations_behind, fit_first_weights


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.act = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
        self.second, self.last, self.idle = nn.Linear(288, 200), nn.Linear(200, 5), nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.act(self.norm(self.first(images)))
        return self.last(torch.sigmoid(self.second(maps.flatten(1))))


def test_the_activation_behind_each_layer():
    assert activations_behind(Net(), torch.zeros(2, 3, 8, 8)) == {"first": "relu", "second": "sigmoid", "last": None}


def test_they_fit_it():
    torch.manual_seed(3)
    network, images = Net(), torch.zeros(2, 3, 8, 8)
    idle, hooks = network.idle.weight.clone(), len(network.first._forward_pre_hooks)
    fit_first_weights(network, images)
    assert abs(network.first.weight.std().item() / math.sqrt(2 / 27) - 1) < 0.2
    bound = 4 * math.sqrt(6 / (288 + 200))    # four times Xavier's, before a sigmoid
    assert 0.98 * bound < network.second.weight.abs().max() <= bound and not network.second.bias.any()
    assert torch.equal(network.idle.weight, idle) and network.training
    assert len(network.first._forward_pre_hooks) == hooks
    drawn = network.second.weight.clone()
    torch.manual_seed(7)
    fit_first_weights(network, images)
    again = network.second.weight.clone()
    torch.manual_seed(7)
    fit_first_weights(network, images)
    assert torch.equal(network.second.weight, again) and not torch.equal(again, drawn)
