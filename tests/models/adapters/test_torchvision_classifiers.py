import copy
import gc
import subprocess
import sys

import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.adapters.torchvision_classifiers import TORCHVISION, torchvision_network

FAMILIES = ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5",
            "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0",
            "vgg11")
NOT_CONVOLUTIONAL = ("vit_", "swin_", "maxvit_")


def theirs(name, outputs):
    from torchvision import models

    bare = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, num_classes=outputs, **bare)


def with_their_weights(name, own, size):
    """Our backbone and head, holding the very tensors of torchvision's network, each of them once."""
    backbone = torchvision_network(name, inputs=3, size=size)
    head = backbone.classifier(7)
    state = dict(own.state_dict())
    trunk = {key: state.pop(key.removeprefix("parts.")) for key in backbone.state_dict()}
    tail = {key: state.pop(key.removeprefix("layers.")) for key in head.state_dict()}
    assert not state, f"torchvision's {name} has tensors that ours lacks: {list(state)[:3]}"
    backbone.load_state_dict(trunk, assign=True)
    head.load_state_dict(tail, assign=True)
    return backbone.eval(), head.eval()


def check_against_torchvision(name, size):
    torch.manual_seed(0)
    own = theirs(name, 7).eval()
    for norm in (layer for layer in own.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.8, 1.2)
    backbone, head = with_their_weights(name, own, size)
    pictures = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = own(pictures)
        maps = backbone(pictures)
        found = head(maps)
    # Without a scale a network whose outputs are all near 0 would pass whatever it computed.
    scale = expected.abs().max()
    assert scale > 0
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)
    assert tuple(map_.shape[1] for map_ in maps) == backbone.channels
    assert sorted(set(backbone.strides)) == list(backbone.strides)
    return backbone, maps


def test_the_table_holds_every_convolutional_classifier_of_torchvision():
    from torchvision import models

    known = [name for name in models.list_models(module=models) if not name.startswith(NOT_CONVOLUTIONAL)]
    assert sorted(TORCHVISION) == sorted(known)


def test_torchvision_is_not_imported_before_a_network_is_built():
    code = ("import sys, lensmith.models.backbones as models; assert 'resnet18' in models.BACKBONES; "
            "models.find_backbone('resnet18', trusted=False); print('torchvision' in sys.modules)")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_weights_give_the_same_scores_as_in_torchvision(name):
    check_against_torchvision(name, (75, 90))


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_every_network_gives_the_same_scores_as_in_torchvision(name):
    check_against_torchvision(name, (96, 96))
    gc.collect()    # regnet_y_128gf is 2.6 GB


@pytest.mark.parametrize("name", ["alexnet", "densenet121", "mobilenet_v2", "resnet18", "squeezenet1_0"])
def test_later_layers_do_not_write_into_the_maps(name):
    backbone = torchvision_network(name, inputs=3, size=(70, 70)).eval()
    pictures, given = torch.randn(1, 3, 70, 70), []
    blocks = list(backbone._blocks())
    for index in backbone.taps:
        blocks[index].register_forward_hook(lambda *call: given.append(call[-1].clone()))
    with torch.no_grad():
        maps = backbone(pictures)
    assert len(given) == len(maps) > 3
    for map_, clone in zip(maps, given, strict=True):
        assert map_.equal(clone)


def test_resnet_gives_the_maps_that_detectors_use():
    backbone = torchvision_network("resnet18", inputs=3, size=(64, 96))
    assert (backbone.channels, backbone.strides) == ((64, 64, 128, 256, 512), (2, 4, 8, 16, 32))
    maps = backbone(torch.zeros(2, 3, 64, 96))
    assert [tuple(map_.shape[2:]) for map_ in maps] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_strides_are_whole_also_where_torchvision_leaves_the_border_out():
    assert torchvision_network("inception_v3", inputs=3, size=(96, 96)).strides == (2, 4, 8, 16, 32)
    assert torchvision_network("alexnet", inputs=3, size=(96, 96)).strides == (4, 8, 16, 32)


@pytest.mark.parametrize("inputs", [1, 4])
def test_the_first_convolution_takes_any_number_of_channels(inputs):
    backbone = torchvision_network("resnet18", inputs=inputs, size=(32, 32))
    assert backbone.parts["conv1"].weight.shape == (64, inputs, 7, 7)
    assert backbone(torch.zeros(2, inputs, 32, 32))[-1].shape == (2, 512, 1, 1)
    assert backbone.parts["conv1"].weight.std().item() == pytest.approx((2 / (inputs * 49)) ** 0.5, rel=0.05)


def test_a_first_convolution_for_rgb_keeps_torchvisions_own_weights():
    torch.manual_seed(3)
    own = theirs("resnet18", 1)
    torch.manual_seed(3)
    mine = torchvision_network("resnet18", inputs=3, size=(32, 32))
    assert mine.parts["conv1"].weight.equal(own.conv1.weight)


@pytest.mark.parametrize(("name", "path", "pool"), [
    ("resnet18", "conv1", "maxpool"),
    ("alexnet", "features.0", "features.2"),
    ("densenet121", "features.conv0", "features.pool0"),
    ("googlenet", "conv1.conv", "maxpool1"),
    ("shufflenet_v2_x0_5", "conv1.0", "maxpool"),
    ("mobilenet_v2", "features.0.0", None),
    ("convnext_tiny", "features.0.0", None),
])
def test_a_small_stem_is_3x3_with_stride_1_and_without_its_pool(name, path, pool):
    from torchvision import models

    backbone = torchvision_network(name, inputs=1, size=(32, 32), small_stem=True)
    parts = nn.Module()
    for key, part in backbone.parts.items():
        parts.add_module(key, part)
    stem = parts.get_submodule(path)
    assert (stem.kernel_size, stem.stride, stem.padding, stem.in_channels) == ((3, 3), (1, 1), (1, 1), 1)
    if pool is not None:
        assert isinstance(parts.get_submodule(pool), nn.Identity)
    pools = [layer for layer in models.get_model(name, weights=None, num_classes=1).modules()
             if isinstance(layer, nn.MaxPool2d)] if name not in ("googlenet",) else None
    if pools is not None:
        left = [layer for layer in backbone.modules() if isinstance(layer, nn.MaxPool2d)]
        assert len(left) == len(pools) - (pool is not None)
    assert backbone.strides[0] == 1
    assert backbone.classifier(4)(backbone(torch.zeros(2, 1, 32, 32))).shape == (2, 4)


def test_a_network_without_a_stem_to_fit_says_so():
    with pytest.raises(ModelError) as caught:
        torchvision_network("vgg11", inputs=3, size=(32, 32), small_stem=True)
    assert str(caught.value) == ("vgg11 has no stem to fit to small pictures: its first convolution, features.0, has "
                                 "stride 1 already. Leave small_stem out")


def check_least_size(name):
    from torchvision import models

    least = next(iter(models.get_model_weights(name))).meta["min_size"][0]
    with pytest.raises(ModelError) as caught:
        torchvision_network(name, inputs=3, size=(least - 1, 200))
    assert str(caught.value) == (
        f"{name} cannot take pictures of {least - 1} x 200 pixels, of which it would leave nothing. Take larger "
        f"pictures with pictures.size={least} or more.")
    torchvision_network(name, inputs=3, size=(least, least))


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "squeezenet1_0"])
def test_the_smallest_size_named_is_the_one_that_torchvision_documents(name):
    check_least_size(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext_tiny", "densenet121", "inception_v3", "squeezenet1_1", "vgg11"])
def test_the_smallest_size_of_the_larger_networks_too(name):
    check_least_size(name)


def test_the_classifier_is_the_networks_own_tail():
    head = torchvision_network("mobilenet_v3_small", inputs=3, size=(32, 32)).classifier(6)
    kinds = [type(layer).__name__ for layer in head.layers.classifier]
    assert kinds == ["Linear", "Hardswish", "Dropout", "Linear"]
    assert head.layers.classifier[-1].out_features == 6


def test_a_copy_computes_the_same_and_holds_no_second_tail():
    backbone = torchvision_network("squeezenet1_1", inputs=3, size=(32, 32)).eval()
    twin = copy.deepcopy(backbone)
    pictures = torch.randn(1, 3, 32, 32)
    assert backbone(pictures)[-1].equal(twin(pictures)[-1])
    assert not any("classifier" in name for name in backbone.state_dict())


@pytest.mark.parametrize("name", ["squeezenet1_0", "mobilenet_v3_small"])
def test_outputs_that_are_numbers_are_of_either_sign(name):
    trunk = torchvision_network(name, inputs=3, size=(64, 64)).eval()
    with torch.no_grad():
        maps = trunk(torch.randn(8, 3, 64, 64))
        torch.manual_seed(0)
        classes = trunk.classifier(50).eval()
        torch.manual_seed(0)
        numbers = trunk.numbers(50).eval()
        assert {name: value.shape for name, value in numbers.state_dict().items()} == \
            {name: value.shape for name, value in classes.state_dict().items()}    # weights go from one to the other
        assert numbers(maps).min() < 0 < numbers(maps).max()
        if name == "squeezenet1_0":
            assert classes(maps).min() == 0    # as torchvision has it
