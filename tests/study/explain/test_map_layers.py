"""Which layers explanations are made of, by themselves and by name."""

import re

import pytest
import torch
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.models.backbones import find_backbone
from lensmith.models.network import Network
from lensmith.study.explain.map_layers import layer_named, map_layers, named_layers


def test_the_last_map_of_a_whole_picture_and_all_for_objects(network: Network, picture: Tensor):
    """The second layer's ReLU is a function behind all modules."""
    assert map_layers(network, picture, several=False) == ("backbone.second",)
    assert map_layers(network, picture, several=True) == ("backbone.first", "backbone.second")


@pytest.mark.parametrize(("name", "last"), [("resnet18", "layer4"), ("vgg11", "features"), ("lenet", ""),
                                            ("mobilenet_v3_small", "features")])
def test_networks_of_the_table_have_their_last_maps(name: str, last: str):
    backbone = find_backbone(name, trusted=False)(inputs=3, size=(64, 64))
    network = Network(backbone, backbone.classifier(5), mean=[0.0] * 3, deviation=[1.0] * 3).eval()
    picture = torch.rand(3, 64, 64)
    (layer,) = map_layers(network, picture, several=False)
    found = {}
    handle = network.get_submodule(layer).register_forward_hook(lambda _, __, output: found.update(map=output))
    network(picture[None])
    handle.remove()
    assert layer.startswith("backbone.") and last in layer
    assert found["map"].shape[2] > 1 and torch.equal(found["map"], backbone(network.standardise(picture[None]))[-1])


def test_a_network_whose_maps_have_one_cell_takes_the_last_that_have_more(network: Network):
    network.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1))
    network.head = nn.Sequential()
    network.takes_size = False
    assert map_layers(network, torch.rand(3, 8, 8), several=False) == ("backbone.0",)


def test_a_layer_by_its_name(network: Network, picture: Tensor):
    assert named_layers(network, picture, ["backbone.first.0", "second"]) == ("backbone.first.0", "backbone.second")
    with pytest.raises(UserError, match=re.escape("the network has no layer 'secnd'. Did you mean 'second'?")):
        named_layers(network, picture, ["secnd"])
    with pytest.raises(UserError, match=r"layer 'dense' gives no maps with more than one cell.*backbone.second"):
        named_layers(network, picture, ["dense"])


def test_the_beginning_of_a_name_may_be_left_out_where_one_layer_ends_so(network: Network, picture: Tensor):
    assert named_layers(network, picture, ["second"]) == ("backbone.second",)
    assert layer_named(network, "dense") == "head.dense" and layer_named(network, "first.0") == "backbone.first.0"
    network.head.first = nn.Sequential(nn.ReLU())
    with pytest.raises(UserError) as refused:
        layer_named(network, "0")
    assert str(refused.value) == "several layers of the network are called '0': backbone.first.0, head.first.0"
