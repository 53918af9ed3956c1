import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lensmith.base.errors import ModelError
from lensmith.models.adapters.whole_network import adopt
from lensmith.models.backbone import Backbone, LastMap, PooledLinear
from lensmith.models.backbones import find_backbone
from lensmith.models.backbones.stack import stack
from lensmith.models.rewrites.fully_convolutional import convolutional, disagreement

DENSE = [{"conv": 6, "kernel": 3}, "relu", {"maxpool": 2}, {"flatten": True}, {"dropout": 0.2}, {"dense": 12},
         {"batchnorm": True}, "gelu", {"dense": 9}, {"layernorm": True}, "relu", {"scale": 0.5}]
STACKS = {"dense": DENSE, "mean": [{"conv": 6, "kernel": 3}, "relu", {"globalpool": "mean"}, {"dense": 5}, "tanh"],
          "max": [{"conv": 6, "kernel": 3}, "silu", {"globalpool": "max"}], "maps": [{"conv": 6, "kernel": 3}]}
SIZES = {"lenet": 32, "cnn3": 24, "csp": 64, "alexnet": 64, "squeezenet1_1": 64, "mobilenet_v3_small": 64,
         "resnet18": 64, "convnext_tiny": 64, "densenet121": 64, "shufflenet_v2_x0_5": 64}


def scored(backbone, head, pictures):
    with torch.no_grad():
        return head(backbone.eval()(pictures))


def draw_statistics(network):
    """Batch norms that have seen something."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 2)


def built(backbone, size, outputs=4):
    """(backbone, its head, the head's convolutional form, the window), in evaluation mode."""
    head = backbone.classifier(outputs).eval()
    draw_statistics(backbone), draw_statistics(head)
    window = tuple(scored(backbone, lambda maps: maps[-1], torch.zeros(1, 3, *size)).shape[2:])
    return head, convolutional(head, backbone.channels[-1], window).eval(), window


@pytest.mark.parametrize("name", STACKS)
def test_every_place_has_the_score_of_the_picture_cut_out_there(name):
    torch.manual_seed(0)
    backbone = stack(STACKS[name], inputs=3, size=(18, 22))
    head, form, _ = built(backbone, (18, 22))
    stride = backbone.strides[-1]
    large = torch.randn(2, 3, 18 + 3 * stride, 22 + 2 * stride)
    found = scored(backbone, form, large)
    assert found.shape == (2, 4, 4, 3)
    for row in range(4):
        for column in range(3):
            cut = large[:, :, row * stride : row * stride + 18, column * stride : column * stride + 22]
            torch.testing.assert_close(found[:, :, row, column], scored(backbone, head, cut), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SIZES)
def test_the_scores_at_the_training_size_are_the_same_and_larger_pictures_give_a_map(name):
    torch.manual_seed(0)
    size = (SIZES[name], SIZES[name])
    backbone = find_backbone(name, trusted=False)(inputs=3, size=size)
    head, form, window = built(backbone, size)
    pictures = torch.randn(2, 3, *size)
    expected = scored(backbone, head, pictures)
    found = scored(backbone, form, pictures)
    assert found.shape == (2, 4, 1, 1)
    assert (found[:, :, 0, 0] - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert disagreement(head, form, backbone.channels[-1], window) < 1e-5
    edge = 2 * SIZES[name]
    cells = scored(backbone, lambda maps: maps[-1], torch.zeros(1, 3, edge, edge)).shape[2]
    assert scored(backbone, form, torch.randn(1, 3, edge, edge)).shape[2:] == (cells - window[0] + 1,) * 2


@pytest.mark.parametrize(("window", "pooled"), [((13, 10), 6), ((3, 4), 6), ((12, 12), 6), ((7, 7), 7)])
def test_a_pool_to_several_cells_goes_into_the_weights_of_the_dense_layer(window, pooled):
    torch.manual_seed(0)
    head = LastMap(nn.Sequential(nn.AdaptiveAvgPool2d(pooled), nn.Flatten(), nn.Dropout(),
                                 nn.Linear(8 * pooled**2, 5), nn.ReLU(), nn.Linear(5, 3))).eval()
    form = convolutional(head, 8, window).eval()
    large = torch.randn(1, 8, window[0] + 2, window[1] + 1)
    expected = torch.stack([head([large[:, :, row : row + window[0], column : column + window[1]]])
                            for row in range(3) for column in range(2)], 2)
    torch.testing.assert_close(form([large]).flatten(2), expected, rtol=1e-5, atol=1e-6)


def test_a_pooled_dense_layer_of_any_backbone_and_a_head_of_another_program():
    torch.manual_seed(0)
    large = torch.randn(2, 8, 6, 5)
    means = F.avg_pool2d(large, (3, 4), 1)

    class Foreign(PooledLinear):
        """As timm's: what it does is in its forward alone."""

    plain = PooledLinear(8, 3).eval()
    hidden = nn.Module()
    hidden.inner = Foreign(8, 3)
    hidden.forward = lambda maps: hidden.inner(maps).relu()
    for head, expected in ((plain, plain.dense(means.movedim(1, 3)).movedim(3, 1)),
                           (hidden, hidden.inner.dense(means.movedim(1, 3)).movedim(3, 1).relu())):
        form = convolutional(head, 8, (3, 4))
        torch.testing.assert_close(form([large]), expected, rtol=1e-5, atol=1e-6)
        assert disagreement(head, form, 8, (3, 4)) < 1e-5


def test_a_head_that_does_not_look_at_the_mean_is_seen_not_to_agree():
    head = nn.Module()
    head.forward = lambda maps: maps[-1].amax((2, 3))
    assert disagreement(head, convolutional(head, 8, (3, 4)), 8, (3, 4)) > 0.1


@pytest.mark.parametrize(("layers", "told"), [
    ([nn.Flatten(), nn.BatchNorm1d(72), nn.Linear(72, 3)], "its layer 1, a BatchNorm1d, looks at the whole map"),
    ([nn.GroupNorm(1, 8), nn.Flatten(), nn.Linear(72, 3)], "its layer 0, a GroupNorm, looks at the whole map"),
    ([nn.AdaptiveAvgPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)],
     "its layer 1, a ReLU, stands between a pool to several cells and the dense layer"),
    ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3), nn.Softmax(1)],
     "its layer 3, a Softmax, is of no kind that is known"),
    ([nn.Conv2d(8, 3, 1), nn.Flatten()], "the head ends with 3 x 3 cells of a map and not with one score a class"),
])
def test_a_head_without_such_a_form_says_which_layer_has_none(layers, told):
    with pytest.raises(ModelError, match=told) as caught:
        convolutional(LastMap(nn.Sequential(*layers)), 8, (3, 3))
    assert "\n" not in str(caught.value)


def test_a_network_that_came_whole_is_refused():
    whole = adopt(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), inputs=3, size=(4, 4))
    assert isinstance(whole, Backbone)
    with pytest.raises(ModelError, match="the network came whole, from pictures to scores"):
        convolutional(whole.classifier(3), 3, (1, 1))


def test_every_head_of_timm_that_pools_has_such_a_form():
    pytest.importorskip("timm")
    for name in ("test_resnet", "mobilenetv3_small_050", "convnext_atto"):
        torch.manual_seed(0)
        backbone = find_backbone(f"timm:{name}", trusted=False)(inputs=3, size=(64, 64))
        head, form, window = built(backbone, (64, 64))
        assert disagreement(head, form, backbone.channels[-1], window) < 1e-5
        assert scored(backbone, form, torch.randn(1, 3, 96, 128)).shape[2:] == \
            tuple(edge - own + 1 for edge, own in zip((3, 4), window, strict=True))
