"""Filters are the weights of their layers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from lensmith.base.errors import UserError
from lensmith.study.explain.views.filters import draw_filters, filters
from lensmith.study.explain.views.view import ViewSubject

Sight = Callable[..., ViewSubject]


def test_they_are_the_weights_of_the_first_convolution(sight: Sight):
    subject = sight()
    (one,) = filters(subject).layers
    assert one.layer == "backbone.first.0" and one.kind == "convolution"
    assert torch.equal(one.weights, subject.network.get_parameter("backbone.first.0.weight"))
    before = one.weights.clone()
    with torch.no_grad():
        subject.network.get_parameter("backbone.first.0.weight").zero_()
    assert torch.equal(one.weights, before)    # a copy


def test_layers_of_every_kind_are_drawn(sight: Sight):
    subject = sight(layers=("first.0", "second", "head.dense"))
    found = filters(subject)
    assert [tuple(one.weights.shape) for one in found.layers] == [(4, 3, 3, 3), (6, 4, 3, 3), (3, 6)]
    panels = draw_filters(found)
    assert len(panels) == 3 and all(panel.image.width <= 700 for panel in panels)
    # The first tile begins at the margin: its first pixel is the first weight of red, green and blue.
    weights = found.layers[0].weights
    expected = (127.5 + 127.5 * weights[0, :, 0, 0] / weights.abs().max()).round()
    assert np.array_equal(np.asarray(panels[0].image)[8, 8], expected.numpy().astype(np.uint8))


def test_a_dense_layer_on_the_pixels_has_pictures_as_weights(sight: Sight):
    subject = sight()
    subject.network.backbone = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 40, 3))
    (one,) = filters(subject).layers
    assert one.weights.shape == (3, 3, 32, 40)
    assert torch.equal(one.weights.flatten(1), subject.network.get_parameter("backbone.1.weight"))


def test_a_transposed_convolution_has_a_filter_an_output_channel(sight: Sight):
    subject = sight(layers=("second",))
    subject.network.backbone.second = nn.ConvTranspose2d(4, 6, 2)
    (one,) = filters(subject).layers
    assert one.weights.shape == (6, 4, 2, 2) and one.kind == "transposed convolution"
    assert torch.equal(one.weights[5, 1], subject.network.get_parameter("backbone.second.weight")[1, 5])


@pytest.mark.parametrize(("layer", "expected"), [
    ("secnd", "the network has no layer 'secnd'. Did you mean 'second'?"),
    ("first.2", "layer 'backbone.first.2' has no filters, which convolutions and dense layers have; the first that do: "
                "backbone.first.0, backbone.second, head.dense")])
def test_layers_without_filters_are_refused(layer: str, expected: str, sight: Sight):
    with pytest.raises(UserError) as refused:
        filters(sight(layers=(layer,)))
    assert str(refused.value).startswith(expected)
