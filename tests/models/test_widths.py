"""Networks that are cut to widths: what of a file is narrower, and every width that is refused."""

import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.widths import Widths, narrow, put_tensors, widths_in


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1, groups=4),
                         nn.ConvTranspose2d(8, 4, 2, 2), nn.Flatten(), nn.Linear(64, 5), nn.LayerNorm(5))


def test_the_widths_of_a_file_make_its_network():
    smaller = network()
    narrow(smaller, Widths({"0": 4, "1": 4, "2": 4, "3": 3, "5": 2, "6": 2}, {"3": 4, "5": 48}))
    assert (smaller[2].groups, smaller[2].in_channels, smaller[3].in_channels) == (2, 4, 4)
    assert smaller(torch.zeros(1, 3, 2, 2)).shape == (1, 2)
    shapes = {name: tuple(tensor.shape) for name, tensor in smaller.state_dict().items()}
    assert widths_in(network(), shapes) == Widths({"0": 4, "1": 4, "2": 4, "3": 3, "5": 2, "6": 2}, {"3": 4, "5": 48})
    assert widths_in(smaller, shapes) == Widths()


def test_a_parameter_without_a_layer_stands_under_its_own_name():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, 6, 1, 1))

    scaled = Scaled()
    narrow(scaled, Widths({"scale": 2}))
    assert scaled.scale.shape == (1, 2, 1, 1) and isinstance(scaled.scale, nn.Parameter)
    assert widths_in(Scaled(), {"scale": (1, 2, 1, 1)}) == Widths({"scale": 2})


@pytest.mark.parametrize(("widths", "text"), [
    (Widths({"0": 9}), "pruned.outputs: 0 has 8 outputs and cannot be cut to 9"),
    (Widths({"0": 0}), "pruned.outputs: 0 has 8 outputs and cannot be cut to 0"),
    (Widths({}, {"0": -1}), "pruned.inputs: 0 has 3 inputs and cannot be cut to -1"),
    (Widths({"2": 5}), "pruned.outputs: 2: its 4 groups of 2 channels cannot have 5 channels"),
    (Widths({"conv": 3}), "pruned.outputs names 'conv', which the network has no layer for"),
    (Widths({}, {"1": 3}), "pruned.inputs names '1', which the network has no layer for"),
])
def test_widths_that_are_refused(widths: Widths, text: str):
    with pytest.raises(ModelError) as caught:
        narrow(network(), widths)
    assert str(caught.value).startswith(text)


def test_a_tensor_that_two_layers_share_stays_one():
    one, two = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    two.weight = one.weight
    both = nn.Sequential(one, two)
    put_tensors(both, {"0.weight": torch.zeros(2, 2)})
    assert both[0].weight is both[1].weight and both[1].out_features == both[1].in_features == 2
