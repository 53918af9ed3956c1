"""What every entry of the table must do, whatever it computes."""

import copy

import pytest
import torch

from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network

LAYERS = [{"conv": 8, "kernel": 3, "padding": 1}, {"batchnorm": True}, "relu", {"maxpool": 2},
          {"residual": 12, "stride": 2}, {"separable": 10, "kernel": 3, "padding": 1}, "gelu", {"dense": 20}, "tanh"]
OWN = {"lenet": {}, "lenet3x3": {}, "conv10_20": {}, "simple": {}, "simple2": {}, "cnn3": {},
       "csp": {"width": 8}, "stack": {"layers": LAYERS}, "efficientnet_lite0": {}}
LARGER = {"efficientnet_lite1", "efficientnet_lite2"}    # as efficientnet_lite0, with more of the same
# The smallest of each family, on the smallest pictures that batch norm can work on.
SLOW = {"alexnet": 96, "convnext_tiny": 64, "densenet121": 64, "efficientnet_b0": 64, "googlenet": 64,
        "inception_v3": 112, "mnasnet0_5": 64, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "regnet_x_400mf": 64,
        "regnet_y_400mf": 64, "resnet18": 64, "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "vgg11_bn": 64}
CASES = [pytest.param(name, inputs, size, id=f"{name}-{inputs}-{size[0]}x{size[1]}",
                      marks=[pytest.mark.slow] if name in SLOW else [])
         for name in [*OWN, *SLOW] for inputs in (1, 3)
         for size in [(SLOW[name], SLOW[name] + 32) if name in SLOW else (28, 20)]]


def built(name, inputs, size, seed=0):
    torch.manual_seed(seed)
    backbone = BACKBONES[name](**OWN.get(name, {}), inputs=inputs, size=size)
    return Network(backbone, backbone.classifier(5), mean=[128.0] * inputs, deviation=[70.0] * inputs)


def pictures(inputs, size, count=3):
    draw = torch.Generator().manual_seed(9)
    return torch.randint(0, 256, (count, inputs, *size), dtype=torch.uint8, generator=draw)


def test_every_own_entry_is_tried_here():
    from lensmith.models.adapters.torchvision_classifiers import TORCHVISION
    from lensmith.models.adapters.torchvision_detectors import WHOLE
    from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
    from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS

    # Detectors, segmenters and the networks of Darknet's files have tests of their own.
    whole = {*WHOLE, *WHOLE_INSTANCES, *SEGMENTERS}
    assert set(OWN) | LARGER == set(BACKBONES) - set(TORCHVISION) - whole - {"darknet", "darknet53"}
    assert set(SLOW) <= set(TORCHVISION)


@pytest.mark.parametrize(("name", "inputs", "size"), CASES)
def test_channels_and_strides_tell_the_truth_and_the_head_gives_the_outputs(name, inputs, size):
    network = built(name, inputs, size).eval()
    given = pictures(inputs, size)
    with torch.no_grad():
        maps = network.backbone(network.standardise(given))
        assert network(given).shape == (3, 5) and network(given).isfinite().all()
    assert tuple(map_.shape[1] for map_ in maps) == network.backbone.channels
    assert len(maps) == len(network.backbone.strides)
    assert list(network.backbone.strides) == sorted(set(network.backbone.strides))
    padded = name not in ("lenet", "lenet3x3", "conv10_20", "alexnet", "inception_v3", "squeezenet1_1")
    for map_, stride in zip(maps, network.backbone.strides, strict=True):
        for cells, edge in zip(map_.shape[2:], size, strict=True):
            # Without padding, borders and what a pool leaves over are lost: at most 10 cells of the finest here.
            assert (edge // stride <= cells <= -(-edge // stride)) if padded else 0 < cells <= -(-edge // stride)
            assert cells > edge // stride - 10


@pytest.mark.parametrize("inputs", [1, 3])
@pytest.mark.parametrize("name", sorted(set(OWN) - {"stack"}))
def test_a_cell_of_a_map_moves_with_the_picture_by_its_stride(name, inputs):
    """The proof of a stride: a picture shifted by it gives the map shifted by a cell, away from the borders."""
    network = built(name, inputs, (60, 60)).eval()
    wide = torch.rand(1, inputs, 60, 76)
    stride = network.backbone.strides[-1]
    with torch.no_grad():
        here = network.backbone(wide[..., :60])[-1]
        there = network.backbone(wide[..., stride:60 + stride])[-1]
    torch.testing.assert_close(there[..., 2:-3], here[..., 3:-2])


@pytest.mark.parametrize(("name", "inputs", "size"), CASES)
def test_the_seed_alone_decides_the_weights(name, inputs, size):
    one, same, other = (built(name, inputs, size, seed).state_dict() for seed in (1, 1, 2))
    assert list(one) == list(same) == list(other)
    assert all(tensor.equal(same[key]) for key, tensor in one.items())
    drawn = [key for key, tensor in one.items() if tensor.dim() > 1 and key not in ("mean", "deviation")
             and not key.endswith("layer_scale")]    # ConvNeXt starts all of them at one number
    assert all(not one[key].equal(other[key]) for key in drawn)


@pytest.mark.parametrize(("name", "inputs", "size"), CASES)
def test_the_state_goes_out_and_in_again(name, inputs, size):
    source, target = built(name, inputs, size, 1).eval(), built(name, inputs, size, 2).eval()
    given = pictures(inputs, size)
    with torch.no_grad():
        assert not source(given).equal(target(given))
        target.load_state_dict({key: tensor.clone() for key, tensor in source.state_dict().items()})
        assert source(given).equal(target(given))
        assert copy.deepcopy(source)(given).equal(source(given))


@pytest.mark.parametrize(("name", "inputs", "size"), CASES)
def test_gradients_reach_every_parameter(name, inputs, size):
    network = built(name, inputs, size).train()
    torch.nn.functional.cross_entropy(network(pictures(inputs, size)), torch.tensor([0, 3, 4])).backward()
    without = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert not without
    still = [key for key, parameter in network.named_parameters() if not parameter.grad.isfinite().all()]
    assert not still
    reached = sum(bool(parameter.grad.any()) for parameter in network.parameters())
    assert reached >= 0.9 * len(list(network.parameters()))    # a bias behind dead relus may have 0 by chance
