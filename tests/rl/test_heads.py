"""Heads and the networks that end with them."""

import numpy as np
import pytest
import torch

from lensmith.base.errors import ModelError
from lensmith.models.backbones.stack import Stack
from lensmith.rl.heads import (
    ActionValues,
    ActorAndCritic,
    DenseNetwork,
    DuelingValues,
    NoisyLinear,
    PolicyAndValue,
    dense_network,
    picture_network,
    redraw_noise,
)
from lensmith.rl.worlds.world import Spaces

VECTORS, PICTURES = Spaces((4,), ("a", "b", "c")), Spaces((3, 10, 10), ("a", "b", "c"))


def test_a_dueling_head_is_value_and_advantages_without_their_mean():
    head, features = DuelingValues(6, 3), torch.randn(5, 6)
    value = features.numpy() @ head.value.weight.detach().numpy().T + head.value.bias.item()
    advantages = features.numpy() @ head.advantages.weight.detach().numpy().T + head.advantages.bias.detach().numpy()
    wanted = value + advantages - advantages.mean(1, keepdims=True)
    assert np.allclose(head(features).detach().numpy(), wanted, atol=1e-6)


def test_noise_is_factorised_and_a_function_of_its_keys():
    layer, features = NoisyLinear(4, 3), torch.randn(5, 4)
    redraw_noise(layer, 1, 2)
    first = layer(features)
    rows, columns = layer.row_noise.numpy(), layer.column_noise.numpy()
    weight = layer.weight.detach().numpy() + layer.weight_sigma.detach().numpy() * np.outer(rows, columns)
    bias = layer.bias.detach().numpy() + layer.bias_sigma.detach().numpy() * rows
    assert np.allclose(first.detach().numpy(), features.numpy() @ weight.T + bias, atol=1e-6)
    redraw_noise(layer, 1, 3)
    assert not torch.equal(layer(features), first)
    redraw_noise(layer, 1, 2)
    assert torch.equal(layer(features), first)
    assert torch.equal(layer.eval()(features), torch.nn.functional.linear(features, layer.weight, layer.bias))
    assert "row_noise" not in layer.state_dict()


def test_the_noise_has_the_spread_of_its_paper():
    layer = NoisyLinear(4000, 4000)
    redraw_noise(layer, 0)
    # E f(x)^2 = E |x| = sqrt(2 / pi), and the weights' sigma is 0.5 / sqrt(inputs).
    assert layer.row_noise.square().mean().item() == pytest.approx((2 / np.pi) ** 0.5, abs=0.03)
    assert layer.weight_sigma[0, 0].item() == pytest.approx(0.5 / 4000**0.5)


def test_a_policy_begins_nearly_uniform():
    output = PolicyAndValue(64, 3)(torch.randn(100, 64))
    assert output.shape == (100, 4) and output[:, :3].softmax(1).sub(1 / 3).abs().max() < 0.05


def test_the_networks_take_what_the_world_shows():
    dense, both = (dense_network(VECTORS, (16, 8), head) for head in (ActionValues, PolicyAndValue))
    assert isinstance(dense, DenseNetwork) and dense(torch.randn(2, 4)).shape == (2, 3)
    assert isinstance(both, ActorAndCritic) and both(torch.randn(2, 4)).shape == (2, 4)
    both(torch.randn(2, 4))[:, -1].sum().backward()    # the value does not disturb the policy
    assert not any(parameter.grad.any() for parameter in both.hidden.parameters())
    backbone = Stack([{"conv": 4, "kernel": 3, "padding": 1}, "relu"], inputs=3, size=(10, 10))
    network = picture_network(PICTURES, backbone, 16, PolicyAndValue)
    assert network(torch.zeros(2, 3, 10, 10, dtype=torch.uint8)).shape == (2, 4)
    assert network.standardise(torch.tensor([0, 255]).view(2, 1, 1, 1).expand(2, 3, 1, 1)).unique().tolist() == [-1, 1]


def test_a_network_of_the_wrong_kind_is_refused():
    backbone = Stack([{"conv": 4, "kernel": 3}, "relu"], inputs=3, size=(10, 10))
    with pytest.raises(ModelError, match="the world shows pictures of 10 x 10 pixels, and dense layers are for"):
        dense_network(PICTURES, (8,), ActionValues)
    with pytest.raises(ModelError, match="the world shows vectors of 4 numbers, and a backbone is for pictures"):
        picture_network(VECTORS, backbone, 8, ActionValues)
    with pytest.raises(ModelError, match="dense layers have widths such as 64, 64; got none"):
        dense_network(VECTORS, (), ActionValues)


def test_a_backbone_that_leaves_nothing_is_told():
    deep = torch.nn.Sequential(*[torch.nn.Conv2d(3, 3, 5, 2) for _ in range(4)])
    with pytest.raises(ModelError, match="the backbone cannot take pictures of 10 x 10 pixels"):
        picture_network(PICTURES, deep, 8, ActionValues)
