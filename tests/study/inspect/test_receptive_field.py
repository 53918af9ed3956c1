"""The receptive field against the footprint that gradients leave on the picture."""

import copy

import pytest
import torch
from torch import nn

from lensmith.models.backbones import BACKBONES
from lensmith.study.inspect.layers import inspect_layers


def averaging(network):
    """The same windows in double precision, every weight positive and no maximum: nothing hides a pixel."""
    twin = copy.deepcopy(network).double().eval()
    for module in list(twin.modules()):
        for key, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool2d):
                assert child.dilation == 1
                setattr(module, key, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
        if isinstance(module, nn.Conv2d):
            module.weight.data.abs_().add_(0.01)
            module.weight.data /= module.weight.data.sum((1, 2, 3), keepdim=True)
            if module.bias is not None:
                module.bias.data.zero_()
    return twin


def footprint(network, name, channels, edge):
    """Pixels on the longer side that the middle cell of the output of a layer depends on."""
    kept = []
    network.get_submodule(name).register_forward_hook(lambda *call: kept.append(call[-1]))
    picture = torch.rand(1, channels, edge, edge, dtype=torch.double).requires_grad_()
    network(picture)
    map_ = kept[-1]    # of the last call, as the last row of that name is
    map_[..., map_.shape[2] // 2, map_.shape[3] // 2].sum().backward()
    touched = picture.grad[0].abs().sum(0) != 0
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    return int(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1


def check(network, channels, edge, names=None):
    twin = averaging(network)
    rows = {row.name: row for row in inspect_layers(network, channels, height=edge, width=edge)
            if row.kind != "function"}
    for name in names or rows:
        field = rows[name].receptive_field
        assert field is not None and field < edge, f"{name}: {field}"
        assert field == footprint(copy.deepcopy(twin), name, channels, edge), name


@pytest.mark.parametrize("name", ["lenet", "lenet3x3", "conv10_20", "simple", "simple2", "cnn3"])
def test_of_every_layer_of_the_own_networks(name):
    check(BACKBONES[name](inputs=2, size=(64, 64)), 2, 64)


def test_of_a_stack_of_many_kinds():
    layers = [{"conv": 4, "kernel": 3, "dilation": 3}, {"avgpool": 3, "stride": 2, "padding": 1}, "relu",
              {"batchnorm": True}, {"separable": 6, "kernel": 5, "padding": 2, "stride": 2},
              {"maxpool": 3, "stride": 1}, {"residual": 8, "stride": 2}, {"conv": 8, "kernel": 2, "stride": 2},
              {"dropout": 0.5}]
    check(BACKBONES["stack"](layers=layers, inputs=1, size=(150, 150)), 1, 150)


@pytest.mark.parametrize(("network", "edge", "names"), [
    ("squeezenet1_1", 150, ["parts.features.3.expand3x3", "parts.features.5", "parts.features.7.expand3x3"]),
    ("shufflenet_v2_x0_5", 150, ["parts.maxpool", "parts.stage2.1.branch2.3", "parts.stage2.3.branch2.3"]),
    ("densenet121", 150, ["parts.features.denseblock1.denselayer6.conv2", "parts.features.transition1.pool",
                          "parts.features.denseblock2.denselayer1.conv2"]),
    ("inception_v3", 150, ["parts.Conv2d_4a_3x3.conv", "parts.Mixed_5c.branch_pool.conv"]),
    ("resnet18", 150, ["parts.layer1.1.conv2", "parts.layer2.0.downsample.0", "parts.layer2.1.conv2"]),
    ("convnext_tiny", 150, ["parts.features.1.0.block.0", "parts.features.1.1.block.0", "parts.features.2.1"]),
])
def test_of_branches_concatenations_shuffles_and_layers_in_channels_last_order(network, edge, names):
    check(BACKBONES[network](inputs=3, size=(edge, edge)), 3, edge, names)


def test_of_kernels_with_zeros_around_them():
    network = BACKBONES["efficientnet_lite0"](inputs=3, size=(150, 150))
    check(network, 3, 150, ["conv_stem", "blocks.1.0.conv_dw", "blocks.2.0.conv_dw", "blocks.2.1.conv_dw"])


def test_a_flatten_a_global_pool_and_a_squeeze_and_excite_gate_see_the_whole_picture():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.squeeze, self.after = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3)

        def forward(self, pictures):
            maps = self.conv(pictures)
            return self.after(maps * torch.sigmoid(self.squeeze(maps.mean((2, 3), keepdim=True))))

    rows = {row.name: row.receptive_field for row in inspect_layers(Gate(), 3, height=20, width=20)}
    assert rows == {"conv": 3, "mean((2, 3), keepdim=True)": None, "squeeze": None, "sigmoid": None, "mul": None,
                    "after": None}
    for pool in (nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1), nn.Flatten()):
        network = nn.Sequential(nn.Conv2d(1, 2, 5), pool)
        assert [row.receptive_field for row in inspect_layers(network, 1, height=12, width=12)] == [5, None]


def test_an_adaptive_pool_that_divides_evenly_and_a_border_of_zeros_are_followed():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.AdaptiveAvgPool2d(4), nn.ZeroPad2d((2, 0, 2, 0)),
                            nn.Conv2d(1, 1, 2))
    rows = inspect_layers(network, 1, height=24, width=24)
    assert [row.receptive_field for row in rows] == [3, 8, 8, 14]


def test_the_longer_side_counts_where_a_kernel_is_not_square():
    network = nn.Sequential(nn.Conv2d(1, 1, (1, 7)), nn.Conv2d(1, 1, (3, 1), stride=(2, 1)), nn.MaxPool2d((2, 1)))
    assert [row.receptive_field for row in inspect_layers(network, 1, height=30, width=30)] == [7, 7, 7]
    turned = nn.Sequential(nn.Conv2d(1, 1, (7, 1)), nn.Conv2d(1, 1, (3, 1)))
    assert [row.receptive_field for row in inspect_layers(turned, 1, height=30, width=30)] == [7, 9]


def test_branches_of_different_strides_are_not_guessed():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.after = nn.Conv2d(1, 1, 2, 2), nn.Conv2d(1, 1, 5), nn.ReLU()

        def forward(self, pictures):
            return self.after(self.one(pictures) + self.two(pictures))

    rows = {row.name: row.receptive_field for row in inspect_layers(Odd(), 1, height=8, width=8)}
    assert rows == {"one": 2, "two": 5, "add": None, "after": None}
