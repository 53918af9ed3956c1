"""Feature maps are what the layers give."""

from collections.abc import Callable

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.study.explain.views.feature_maps import draw_feature_maps, feature_maps
from lensmith.study.explain.views.layers import stages
from lensmith.study.explain.views.view import ViewSubject

Sight = Callable[..., ViewSubject]


def test_they_are_what_the_modules_give(sight: Sight, images: torch.Tensor):
    """Of a module before a ReLU in place what it gave itself."""
    subject = sight(layers=("first.1", "backbone.second"))
    found = feature_maps(subject)
    assert [one.file for one in found.pictures] == ["00.png", "01.png"]
    backbone = subject.network.backbone
    for one, row in zip(found.pictures, (4, 1), strict=True):
        given = subject.network.standardise(images[row][None])
        normed = backbone.first[1](backbone.first[0](given))
        assert torch.allclose(one.layers[0].maps, normed[0]) and bool((normed < 0).any())
        assert torch.allclose(one.layers[1].maps, backbone.second(normed.relu())[0])


def test_by_themselves_the_last_block_of_each_size(sight: Sight):
    (first, _) = feature_maps(sight()).pictures
    assert [(one.layer, tuple(one.maps.shape)) for one in first.layers] == [
        ("backbone.first", (4, 16, 20)), ("backbone.second", (6, 8, 10))]
    maps = {"a": torch.zeros(1, 2, 8, 8), "b": torch.zeros(1, 2, 4, 4), "c": torch.zeros(1, 5, 4, 4),
            "pool": torch.zeros(1, 5, 1, 1), "up": torch.zeros(1, 2, 8, 8), "dense": torch.zeros(1, 2)}
    assert stages(maps) == ["a", "c", "up"]
    large, small = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4)
    blocks = {"stem": large, "block.conv": large, "block": large, "next.wide": large, "next.conv": small, "next": small}
    assert stages(blocks) == ["block", "next"]


def test_the_picture_and_a_sheet_for_each_layer(sight: Sight):
    panels = draw_feature_maps(feature_maps(sight(), channels=3))
    assert [panel.title for panel in panels] == ["00.png", "backbone.first", "backbone.second",
                                               "01.png", "backbone.first", "backbone.second"]
    assert "the 3 that vary most are shown" in panels[1].lines[0]


@pytest.mark.parametrize(("layer", "expected"), [
    ("secnd", "the network has no layer 'secnd'. Did you mean 'second'?"),
    ("head.dense", "layer 'head.dense' gives no maps; the last ones that do: backbone.first.0")])
def test_layers_without_maps_are_refused(layer: str, expected: str, sight: Sight):
    with pytest.raises(UserError) as refused:
        feature_maps(sight(layers=(layer,)))
    assert str(refused.value).startswith(expected)
