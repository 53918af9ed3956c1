import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.backbones.stack import Stack, stack
from lensmith.models.backbones.stack_layers import ACTIVATIONS, BARE, BUILDERS, Residual

EVERY = {
    "conv": {"conv": 8, "kernel": 3, "padding": 1, "stride": 2, "dilation": 1, "groups": 1, "bias": False},
    "separable": {"separable": 8, "kernel": 3, "stride": 1},
    "residual": {"residual": 8, "stride": 2},
    "whitening": {"whitening": 2, "directions": 5},
    "maxpool": {"maxpool": 2},
    "avgpool": {"avgpool": 3, "stride": 2, "padding": 1},
    "globalpool": {"globalpool": "max"},
    "scale": {"scale": 0.5},
    "flatten": {"flatten": True},
    "batchnorm": {"batchnorm": True},
    "groupnorm": {"groupnorm": 2},
    "layernorm": {"layernorm": True},
    "dropout": {"dropout": 0.5},
    "dense": {"dense": 12},
}


def refusal(layers, size=(28, 28)):
    with pytest.raises(ModelError) as caught:
        stack(layers, inputs=3, size=size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def scores(layers, inputs=3, size=(28, 28), outputs=7):
    backbone = stack(layers, inputs=inputs, size=size)
    head = backbone.classifier(outputs)
    maps = backbone(torch.randn(4, inputs, *size))
    assert [map_.shape[1] for map_ in maps] == list(backbone.channels)
    assert len(maps) == len(backbone.strides)
    assert head(maps).shape == (4, outputs)
    return backbone, head, maps


def test_identity_begins_by_passing_the_input_on():
    torch.manual_seed(0)
    pictures = torch.rand(2, 3, 9, 9)
    plain = {"conv": 8, "kernel": 3, "padding": 1}
    (found,) = stack([{**plain, "identity": True}], inputs=3, size=(9, 9))(pictures)
    assert torch.equal(found[:, :3], pictures) and float(found[:, 3:].detach().std()) > 0.1
    narrow = stack([{"conv": 2, "kernel": 3, "padding": 1, "identity": True}], inputs=3, size=(9, 9))
    assert torch.equal(narrow(pictures)[0], pictures[:, :2])
    assert "layers[0]: identity = true goes with groups = 1, not with groups = 3" in refusal(
        [{"conv": 6, "groups": 3, "identity": True}])


def test_every_kind_of_entry_has_an_example_here():
    assert set(EVERY) == set(BUILDERS)


@pytest.mark.parametrize("kind", EVERY)
def test_every_kind_of_entry_builds_and_runs(kind):
    scores([EVERY[kind]] if kind == "whitening" else [{"conv": 4}, EVERY[kind]])


@pytest.mark.parametrize("word", [*ACTIVATIONS, *BARE])
def test_every_word_builds_and_runs(word):
    scores([{"conv": 4}, word, "flatten" if word in ("globalpool", "flatten") else {"dense": 5}])


@pytest.mark.parametrize(("word", "function"), [
    ("relu", torch.relu), ("leaky_relu", nn.functional.leaky_relu), ("elu", nn.functional.elu),
    ("gelu", nn.functional.gelu), ("silu", nn.functional.silu), ("tanh", torch.tanh), ("sigmoid", torch.sigmoid),
])
def test_an_activation_is_the_one_it_is_called(word, function):
    pictures = torch.randn(2, 3, 5, 5)
    assert torch.equal(stack([word], inputs=3, size=(5, 5))(pictures)[-1], function(pictures))


def test_a_network_of_many_kinds_computes_what_its_layers_written_out_compute():
    torch.manual_seed(0)
    layers = [{"conv": 12, "kernel": 3, "padding": 2, "dilation": 2, "groups": 3}, {"groupnorm": 4}, "silu",
              {"maxpool": 3, "stride": 2, "padding": 1}, {"separable": 10, "kernel": 5, "stride": 2, "padding": 2},
              {"layernorm": True}, "gelu", {"avgpool": 2}, "globalpool", {"dense": 6, "bias": False},
              {"batchnorm": True}, "tanh"]
    backbone, head, _ = scores(layers)
    plain = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=2, dilation=2, groups=3), nn.GroupNorm(4, 12), nn.SiLU(), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(12, 12, 5, 2, 2, groups=12, bias=False), nn.Conv2d(12, 10, 1), nn.LayerNorm([10, 7, 7]), nn.GELU(),
        nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 6, bias=False), nn.BatchNorm1d(6),
        nn.Tanh(), nn.Linear(6, 7))
    mine = [parameter.data for parameter in (*backbone.parameters(), *head.parameters())]
    theirs = [parameter.data for parameter in plain.parameters()]
    for source, target in zip(mine, theirs, strict=True):
        target.copy_(source.view(-1, 1, 1) if target.dim() == 3 and source.dim() == 1 else source)
    pictures = torch.randn(5, 3, 28, 28)
    torch.testing.assert_close(head(backbone(pictures)), plain(pictures), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("inputs", "stride"), [(8, 1), (8, 2), (4, 1)])
def test_a_residual_block_adds_its_input_and_projects_where_the_shape_changes(inputs, stride):
    torch.manual_seed(0)
    block = Residual(inputs, 8, stride=stride).eval()
    for norm in (layer for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    pictures = torch.randn(2, inputs, 9, 9)
    conv = nn.functional.conv2d

    def normed(map_, norm):
        scale = (norm.running_var + norm.eps).rsqrt()[:, None, None]
        return (map_ - norm.running_mean[:, None, None]) * scale

    inner = normed(conv(pictures, block.first.weight, stride=stride, padding=1), block.first_norm).clamp(min=0)
    inner = normed(conv(inner, block.second.weight, padding=1), block.second_norm)
    straight = pictures if (inputs, stride) == (8, 1) else \
        normed(conv(pictures, block.shortcut[0].weight, stride=stride), block.shortcut[1])
    torch.testing.assert_close(block(pictures), (inner + straight).clamp(min=0), rtol=1e-4, atol=1e-5)


def test_maps_are_taken_before_each_stride_and_at_the_end():
    backbone, head, maps = scores([
        {"conv": 4, "padding": 1}, "relu", {"conv": 6, "padding": 1, "stride": 2}, "relu", {"residual": 8},
        {"maxpool": 4}, "tanh", {"batchnorm": True}, {"globalpool": "mean"}, {"dropout": 0.1}], size=(32, 32))
    assert (backbone.channels, backbone.strides) == ((4, 8, 8), (1, 2, 8))
    assert [tuple(map_.shape[2:]) for map_ in maps] == [(32, 32), (16, 16), (4, 4)]
    assert (maps[0] >= 0).all() and list(head.layers._modules) == ["globalpool1", "dropout1", "dense1"]


def test_a_list_without_maps_hands_the_picture_to_its_dense_layers():
    backbone, head, _ = scores([{"dense": 10}, "relu"])
    assert (backbone.channels, backbone.strides) == ((3,), (1,))
    assert list(head.layers._modules) == ["flatten1", "dense1", "relu1", "dense2"]
    assert scores([])[1].layers.dense1.in_features == 3 * 28 * 28


def test_global_pools_are_the_mean_and_the_largest_value():
    pictures = torch.randn(2, 3, 6, 7)
    for kind, expected in (("mean", pictures.flatten(2).mean(2)), ("max", pictures.flatten(2).max(2).values)):
        head = stack([{"globalpool": kind}], inputs=3, size=(6, 7)).classifier(3)
        torch.testing.assert_close(head.layers.globalpool1(pictures), expected)


def test_layers_are_drawn_for_the_activation_that_follows_even_behind_norms_and_pools():
    torch.manual_seed(0)
    backbone, head, _ = scores([
        {"conv": 64, "padding": 1}, {"batchnorm": True}, {"maxpool": 2}, "sigmoid", {"conv": 64}, {"conv": 64}, "relu",
        {"separable": 64}, "tanh", "flatten", {"dense": 100}, {"dropout": 0.2}, "sigmoid"])

    def spread(layer):
        return layer.weight.std().item()

    layers = backbone.layers
    assert spread(layers.conv1) == pytest.approx(4 * math.sqrt(2 / (27 + 576)), rel=0.05)
    assert spread(layers.conv2) == pytest.approx(math.sqrt(2 / (576 + 576)), rel=0.05)
    assert spread(layers.conv3) == pytest.approx(math.sqrt(2 / 576), rel=0.05)
    assert spread(layers.separable1[1]) == pytest.approx(math.sqrt(2 / (64 + 64)), rel=0.05)
    dense = head.layers.dense1
    assert spread(dense) == pytest.approx(4 * math.sqrt(2 / (dense.in_features + 100)), rel=0.05)
    assert spread(head.layers.dense2) == pytest.approx(math.sqrt(2 / 107), rel=0.1)


def test_each_classifier_is_drawn_anew():
    backbone = stack([{"dense": 5}], inputs=1, size=(4, 4))
    one, two = backbone.classifier(3), backbone.classifier(3)
    assert not one.layers.dense1.weight.equal(two.layers.dense1.weight)


@pytest.mark.parametrize(("layers", "text"), [
    (["rellu"], "layers[0]: unknown layer 'rellu'. Did you mean 'relu'? Known: relu, "),
    ([{"cnov": 3}], "layers[0]: unknown layer 'cnov'. Did you mean 'conv'? Known: conv, "),
    (["relu", {"conv": 3, "kernle": 3}],
     "layers[1]: conv has no setting 'kernle'. Did you mean 'kernel'? Accepted: kernel, stride, padding, dilation, "
     "groups, bias, identity, weights."),
    ([{"dropout": 0.5, "kernel": 3}], "layers[0]: dropout has no setting 'kernel'. dropout has no other settings."),
    (["relu", "relu", "relu", {"conv": 3, "kernel": "x"}], "layers[3]: kernel must be int from 1 to 65536, got 'x'"),
    ([{"conv": 3, "stride": 0}], "layers[0]: stride must be int from 1 to 65536, got 0"),
    ([{"conv": 3, "padding": -1}], "layers[0]: padding must be int from 0 to 65536, got -1"),
    ([{"conv": 3.5}], "layers[0]: conv must be int from 1 to 65536, got 3.5"),
    ([{"dense": 10**12}], "layers[0]: dense must be int from 1 to 65536, got 1000000000000"),
    ([{"conv": True}], "layers[0]: conv must be int from 1 to 65536, got True"),
    ([{"conv": 3, "bias": 1}], "layers[0]: bias must be bool, got 1"),
    ([{"maxpool": 2, "stride": "two"}], "layers[0]: stride must be int from 1 to 65536, got 'two'"),
    ([{"dropout": 1.0}], "layers[0]: dropout must be float from 0 to less than 1, got 1.0"),
    ([{"batchnorm": False}], "layers[0]: batchnorm must be true, got False"),
    ([{"globalpool": "mea"}], "layers[0]: globalpool must be 'mean' or 'max', got 'mea'"),
    (["conv"], "layers[0]: 'conv' needs a number: write {conv = ...}"),
    ([{"relu": True}], 'layers[0]: an activation is a word alone: write "relu"'),
    ([{"conv": 4, "dropout": 0.5}], "layers[0] names 2 layers, conv and dropout: write an entry for each"),
    ([3], 'layers[0] must be a word such as "relu" or a table such as {conv = 32, kernel = 3}, got 3'),
    ([{}], 'layers[0] must be a word such as "relu" or a table such as {conv = 32, kernel = 3}, got {}'),
    ([{"conv": 3, "groups": 2}], "layers[0]: groups = 2 must divide the 3 incoming channels"),
    ([{"conv": 4, "groups": 3}], "layers[0]: groups = 3 must divide the 4 outgoing channels"),
    ([{"groupnorm": 2}], "layers[0]: groupnorm = 2 must divide the 3 incoming channels"),
    ([{"maxpool": 2, "padding": 2}], "layers[0]: padding = 2 must be at most half of the kernel, which is 2"),
    (["relu", {"dense": 3}, {"conv": 3}],
     "layers[2]: conv needs maps, and a layer before it has flattened them: put it before the first flatten, "
     "globalpool or dense"),
    (["flatten", "globalpool"], "layers[1]: globalpool needs maps, and a layer before it has flattened them"),
])
def test_an_entry_that_cannot_be_built_is_refused_with_its_number(layers, text):
    assert refusal(layers).startswith(text)


def test_a_layer_that_leaves_nothing_is_refused_with_the_arithmetic_and_a_size_that_works():
    layers = [{"conv": 6, "kernel": 3, "dilation": 2}, {"maxpool": 2}, "relu", {"separable": 6, "kernel": 5},
              {"residual": 8, "stride": 2}, {"avgpool": 2}]
    text = refusal(layers, size=(8, 12))
    assert text == ("stack cannot take pictures of 8 x 12 pixels: 8x12, conv1 (5x5) -> 4x8, maxpool1 (2x2) -> 2x4, "
                    "separable1 (5x5) -> nothing. Take larger pictures with pictures.size=18 or more.")
    refusal(layers, size=(17, 17))
    scores(layers, size=(18, 18))


words = st.sampled_from([*ACTIVATIONS, *BARE])
tables = st.one_of(
    st.builds(lambda c, k, s, p, d: {"conv": c, "kernel": k, "stride": s, "padding": p, "dilation": d},
              st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2)),
    st.builds(lambda c, k, s: {"separable": c, "kernel": k, "stride": s},
              st.integers(1, 6), st.integers(1, 5), st.integers(1, 2)),
    st.builds(lambda c, s: {"residual": c, "stride": s}, st.integers(1, 6), st.integers(1, 2)),
    st.builds(lambda kind, k, s: {kind: k, "stride": s}, st.sampled_from(["maxpool", "avgpool"]), st.integers(1, 3),
              st.integers(1, 3)),
    st.builds(lambda n: {"dense": n}, st.integers(1, 9)),
    st.builds(lambda p: {"dropout": p}, st.floats(0, 0.9)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(words, tables), max_size=8), st.integers(1, 24), st.integers(1, 24))
def test_any_list_of_layers_gives_what_it_says_or_a_model_error(layers, height, width):
    try:
        backbone = Stack(layers, inputs=2, size=(height, width))
    except ModelError:
        return
    head = backbone.classifier(5).eval()
    maps = backbone.eval()(torch.zeros(2, 2, height, width))
    assert [map_.shape[1] for map_ in maps] == list(backbone.channels)
    assert list(backbone.strides) == sorted(set(backbone.strides))
    assert tuple(maps[-1].shape[1:]) == backbone.shape
    assert head(maps).shape == (2, 5)


junk = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
                    max_leaves=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(
    junk, st.dictionaries(st.sampled_from([*BUILDERS, "kernel", "stride", "padding", "groups"]),
                          st.one_of(junk, st.integers(-3, 9)), min_size=1, max_size=3)), min_size=1, max_size=3))
def test_anything_else_in_the_list_gives_a_model_error_or_a_network(layers):
    refused = ""
    try:
        with torch.device("meta"):    # an entry may ask for many channels
            stack(layers, inputs=2, size=(16, 16))
    except ModelError as error:
        refused = str(error)
    assert not refused or "layers[" in refused or "cannot take pictures" in refused


def test_a_scale_multiplies():
    values = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = stack([{"scale": 0.25}], inputs=3, size=(8, 8))(values)
    assert torch.equal(maps[-1], values * 0.25)
    with pytest.raises(ModelError, match=r"layers\[0\]: scale must be float above 0, got 0"):
        stack([{"scale": 0}], inputs=3, size=(8, 8))
