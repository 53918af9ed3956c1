"""EfficientNet-Lite against timm's, with the same weights under the same names; what it is for other uses."""

import pytest
import torch

from lensmith.models.backbones import BACKBONES
from lensmith.models.backbones.efficientnet_lite import HalvingConvolution
from lensmith.models.network import Network
from lensmith.models.weights import fit_into

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


def of_timm(number, inputs=3):
    """timm's network with drawn weights and running statistics that are not those of the start."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(number)
    network = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False, num_classes=7, in_chans=inputs)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("number", range(3))
def test_the_same_weights_give_the_maps_and_the_scores_of_timm(number):
    other = of_timm(number)
    backbone = BACKBONES[NAMES[number]](inputs=3, size=(224, 224)).eval()
    state = dict(other.state_dict())
    last = state.pop("classifier.weight"), state.pop("classifier.bias")
    assert list(backbone.state_dict()) == list(state)    # in the order, too, in which the published files have them
    backbone.load_state_dict(state)
    head = backbone.classifier(7)
    head.load_state_dict(dict(zip(("dense.weight", "dense.bias"), last, strict=True)))
    for size in ((224, 224), (97, 131), (32, 40), (63, 96)):    # even and odd at every stride
        pictures = torch.randn(2, 3, *size)
        with torch.no_grad():
            maps, expected = backbone(pictures), other.forward_intermediates(pictures, intermediates_only=True)
            for ours, theirs in zip(maps[:-1], expected[:-1], strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())
            scores, theirs = head(maps), other(pictures)
        torch.testing.assert_close(scores, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_a_file_for_timms_network_fits():
    backbone = BACKBONES["efficientnet_lite0"](inputs=3, size=(64, 64))
    network = Network(backbone, backbone.classifier(7), mean=[0.0] * 3, deviation=[1.0] * 3)
    state = of_timm(0).state_dict()
    fitted = fit_into(network, dict(state), what="the file")
    assert fitted.taken == len(state) - 2 and fitted.missing == ["head.dense.weight", "head.dense.bias"]


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (6, 5), (1, 2)])
@pytest.mark.parametrize(("kernel", "groups"), [(3, 1), (5, 6)])
@pytest.mark.parametrize("exporting", [False, True])
def test_half_the_extent_is_that_of_padded_maps(size, kernel, groups, exporting, monkeypatch):
    """The oracle pads the maps as TensorFlow documents "SAME": the smaller half of the padding comes first."""
    torch.manual_seed(0)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: exporting)
    layer = HalvingConvolution(6, 12, kernel, 2, kernel // 2, groups=groups, bias=True).double()
    maps = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    padding = []
    for extent in reversed(size):
        total = max((-(-extent // 2) - 1) * 2 + kernel - extent, 0)
        padding += [total // 2, total - total // 2]
    expected = torch.nn.functional.conv2d(torch.nn.functional.pad(maps, padding), layer.weight, layer.bias, 2,
                                          groups=groups)
    found = layer(maps)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(output.square().sum(), (maps, layer.weight, layer.bias))
                 for output in (expected, found)]
    for theirs, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gray_pictures_and_those_with_transparency_are_standardised_alike():
    for inputs in (1, 3, 4):
        backbone = BACKBONES["efficientnet_lite0"](inputs=inputs, size=(32, 32))
        assert backbone.standard == ((0.5,) * inputs, (0.5,) * inputs)
        assert backbone.conv_stem.weight.shape == (32, inputs, 3, 3)


def test_it_is_exported_and_gives_the_same():
    backbone = BACKBONES["efficientnet_lite0"](inputs=3, size=(64, 48)).eval()
    network = Network(backbone, backbone.classifier(3), mean=[127.5] * 3, deviation=[127.5] * 3).eval()
    pictures = torch.randint(0, 256, (2, 3, 64, 48), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(network, (pictures,), dynamic_shapes={"images": {0: batch}})
    with torch.no_grad():
        for count in (1, 5):
            more = pictures[:1].expand(count, -1, -1, -1).contiguous()
            torch.testing.assert_close(program.module()(more), network(more))
