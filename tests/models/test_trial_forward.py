import pytest
import torch
from torch import nn

from lensmith.models.trial_forward import in_evaluation_mode, least_edge, map_shapes, strides_of


class Maps(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 5)

    def forward(self, pictures):
        map_ = self.norm(self.first(pictures))
        return [map_, self.second(map_)]


def test_shapes_are_those_of_a_real_pass_and_nothing_is_changed():
    network = Maps()
    network.norm.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert map_shapes(network, 2, (23, 31)) == [tuple(one.shape) for one in network(torch.zeros(2, 2, 23, 31))]
    network.load_state_dict(before)
    map_shapes(network, 2, (23, 31))
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())
    assert network.training and network.first.training and not network.norm.training


def test_the_least_edge_is_the_smallest_that_works():
    network = Maps()
    least = least_edge(network, 2)
    assert least == 11    # 5 cells of the first map
    map_shapes(network, 2, (least, least))
    with pytest.raises(RuntimeError):
        map_shapes(network, 2, (least - 1, least - 1))


def test_strides_are_not_blurred_by_missing_padding():
    assert strides_of([(2, 8, 255, 255), (2, 8, 253, 253), (2, 8, 126, 126), (2, 8, 42, 42)]) == [2, 2, 4, 12]


def test_every_module_comes_back_into_its_mode_after_a_failure_too():
    network = Maps()
    network.second.eval()
    modes = []

    def fail() -> None:
        modes.append((network.training, network.first.training, torch.is_grad_enabled()))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), in_evaluation_mode(network):
        fail()
    assert modes == [(False, False, False)]
    assert network.training and network.first.training and not network.second.training and torch.is_grad_enabled()
