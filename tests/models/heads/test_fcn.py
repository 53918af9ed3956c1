"""Fully convolutional heads: bilinear enlargement, what is added up, and the size of the pictures."""

import pytest
import torch
from torch.nn import functional as F

from lensmith.models.backbones import find_backbone
from lensmith.models.heads.fcn import FcnHead, bilinear
from lensmith.models.network import Network


@pytest.mark.parametrize("factor", [2, 3, 8, 32])
def test_enlargement_begins_as_bilinear_interpolation(factor: int) -> None:
    level = torch.rand(2, 3, 5, 4)
    with torch.no_grad():
        found = bilinear(3, factor)(level)
    wanted = F.interpolate(level, scale_factor=factor, mode="bilinear", align_corners=False)
    assert found.shape == wanted.shape
    inner = slice(factor, -factor)    # beyond the border there are zeros
    assert torch.allclose(found[:, :, inner, inner], wanted[:, :, inner, inner], atol=1e-6)


def maps_of(channels: tuple[int, ...], strides: tuple[int, ...], edge: int) -> list[torch.Tensor]:
    return [torch.rand(2, own, -(-edge // stride), -(-edge // stride), requires_grad=True)
            for own, stride in zip(channels, strides, strict=True)]


@pytest.mark.parametrize(("finest", "taken"), [(32, [3]), (16, [2, 3]), (8, [1, 2, 3])])
def test_the_maps_from_the_finest_stride_on_are_added_up(finest: int, taken: list[int]) -> None:
    channels, strides = (4, 5, 6, 7), (4, 8, 16, 32)
    head = FcnHead(channels, strides, 3, finest=finest)
    assert head.finest == finest and [layer.in_channels for layer in head.scores] == [channels[i] for i in taken]
    maps = maps_of(channels, strides, 75)
    assert head(maps, (75, 75)).shape == (2, 3, 75, 75)
    for layer in head.scores:
        torch.nn.init.normal_(layer.weight)
    head(maps, (75, 75)).square().sum().backward()
    assert [i for i in range(4) if maps[i].grad is not None and maps[i].grad.any()] == taken


def test_the_first_scores_are_those_of_the_coarsest_map() -> None:
    head = FcnHead((5, 6, 7), (8, 16, 32), 3, finest=8)
    maps = maps_of((5, 6, 7), (8, 16, 32), 64)
    wanted = head.scores[-1](maps[2])
    for factor in (2, 2, 8):
        wanted = bilinear(3, factor)(wanted)
    assert torch.allclose(head(maps, (64, 64)), wanted, atol=1e-6)


def test_on_vgg_the_pools_are_taken_as_in_the_paper() -> None:
    trunk = find_backbone("vgg11", trusted=False)(inputs=3, size=(64, 64)).eval()
    picture = torch.rand(1, 3, 70, 97)
    head = FcnHead(trunk.channels, trunk.strides, 3, finest=8, pooled=True)
    pools = []
    handles = [layer.register_forward_hook(lambda layer, given, output: pools.append(output))
               for layer in trunk.modules() if isinstance(layer, torch.nn.MaxPool2d)]
    with torch.no_grad():
        levels = head.levels(trunk(picture))
        assert head(trunk(picture), (70, 97)).shape == (1, 3, 70, 97)
    for handle in handles:
        handle.remove()
    assert all(torch.equal(one, other) for one, other in zip(levels, pools[2:5], strict=True))


@pytest.mark.parametrize("backbone", ["lenet", "resnet18", "mobilenet_v3_small"])
@pytest.mark.parametrize("size", [(64, 64), (45, 71)])
def test_scores_have_the_size_of_the_picture(backbone: str, size: tuple[int, int]) -> None:
    trunk = find_backbone(backbone, trusted=False)(inputs=3, size=size)
    head = FcnHead(trunk.channels, trunk.strides, 4, finest=8)
    network = Network(trunk, head, mean=[0.0] * 3, deviation=[1.0] * 3).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, *size, dtype=torch.uint8)).shape == (2, 4, *size)
