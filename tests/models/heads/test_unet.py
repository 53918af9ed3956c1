"""The decoder of U-Net: the size of the pictures, every map taken, what each pixel sees."""

import pytest
import torch

from lensmith.models.backbones import find_backbone
from lensmith.models.heads.unet import UNetHead
from lensmith.models.network import Network

PLAIN = {"layers": [{"conv": 6, "kernel": 3}, "relu", {"maxpool": 2}, {"conv": 8, "kernel": 3}, "relu"]}


def made(backbone: str, size: tuple[int, int], **settings) -> Network:
    torch.manual_seed(0)
    trunk = find_backbone(backbone, trusted=False)(**settings, inputs=3, size=size)
    return Network(trunk, UNetHead(trunk.channels, trunk.strides, 5, width=4), mean=[0.0] * 3, deviation=[1.0] * 3)


@pytest.mark.parametrize("size", [(64, 64), (33, 75)])
@pytest.mark.parametrize(("backbone", "settings"), [("resnet18", {}), ("mobilenet_v3_small", {}), ("lenet", {}),
                                                    ("efficientnet_lite0", {}),
                                                    ("stack", PLAIN), ("vgg11", {}), ("convnext_tiny", {})])
def test_scores_have_the_size_of_the_picture(backbone: str, settings: dict, size: tuple[int, int]) -> None:
    network = made(backbone, size, **settings).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, *size, dtype=torch.uint8)).shape == (2, 5, *size)


def test_every_map_is_used_and_learns() -> None:
    head = UNetHead((3, 4, 5, 6), (2, 4, 4, 16), 2, width=4)
    assert [block[0].in_channels for block in head.blocks] == [6 + 5, 16 + 3, 8]    # the last of stride 4
    assert [block[0].out_channels for block in head.blocks] == [16, 8, 4]
    assert head.factors == (4, 2, 2)
    maps = [torch.rand(2, own, 32 // stride, 32 // stride, requires_grad=True)
            for own, stride in zip((3, 4, 5, 6), (2, 4, 4, 16), strict=True)]
    head(maps, (32, 32)).square().sum().backward()
    assert [one.grad is not None and bool(one.grad.any()) for one in maps] == [True, False, True, True]
    assert all(one.grad is not None for one in head.parameters())


def test_no_step_is_wider_than_sixteen_times_the_last() -> None:
    head = UNetHead((8, 8), (2, 256), 2, width=2)
    assert [block[0].out_channels for block in UNetHead((8,), (256,), 2, width=2).blocks] == [32] * 4 + [16, 8, 4, 2]
    assert head.factors == (128, 2)


def test_a_coarsest_map_of_many_channels_is_narrowed_first() -> None:
    head = UNetHead((3, 200), (2, 4), 2, width=4)
    assert [head.narrow[0].in_channels, head.narrow[0].out_channels] == [200, 8]
    assert [block[0].in_channels for block in head.blocks] == [8 + 3, 8]
    maps = [torch.rand(2, 3, 16, 16), torch.rand(2, 200, 8, 8, requires_grad=True)]
    head(maps, (32, 32)).square().sum().backward()
    assert maps[1].grad.any()
    assert isinstance(UNetHead((3, 8), (2, 4), 2, width=4).narrow, torch.nn.Identity)


@pytest.mark.parametrize("edge", [32, 35])
def test_a_pixel_comes_from_the_cells_around_it(edge: int) -> None:
    head = UNetHead((4, 4), (1, 2), 2, width=4).eval()
    maps = [torch.rand(1, 4, edge, edge, requires_grad=True), torch.rand(1, 4, edge // 2, edge // 2)]
    head(maps, (edge, edge))[0, :, 20, 10].sum().backward()
    seen = maps[0].grad[0].abs().sum(0).nonzero()
    assert seen.amin(0).tolist() == [17, 7] and seen.amax(0).tolist() == [23, 13]


def test_a_picture_that_is_moved_by_the_coarsest_stride_has_its_scores_moved() -> None:
    network = made("resnet18", (128, 128)).eval()
    draw = torch.Generator().manual_seed(0)
    patch = torch.randint(256, (3, 40, 40), generator=draw)
    pictures = torch.zeros(2, 3, 320, 320, dtype=torch.uint8)
    pictures[0, :, 140:180, 108:148] = patch
    pictures[1, :, 140:180, 140:180] = patch
    with torch.no_grad():
        first, second = network(pictures)
    assert torch.allclose(first[:, 140:180, 108:148], second[:, 140:180, 140:180], atol=0.01)
