"""The first convolution of a user's own network, by the lesson's loops and by the network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from lensmith.api import train
from lensmith.base.errors import DataError, ModelError
from lensmith.lessons.convolution.own_network import first_convolution
from lensmith.training.trained import Trained, load

LAYERS = [{"conv": 4, "kernel": 3, "stride": 2, "padding": 1, "dilation": 2}, "relu", {"maxpool": 2}]
SETTINGS = {"data.count": 60, "data.size": 20, "learner.weights": "none", "run.vitals": False, "plan.mode": "exact"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train("shapes", backbone="stack", epochs=1, device="cpu", runs=tmp_path_factory.mktemp("runs"), name="mine",
                 settings={**SETTINGS, "backbone.layers": LAYERS})


def test_the_loops_give_what_the_network_gave(trained: Trained, tmp_path: Path):
    Image.effect_noise((40, 30), 90).convert("RGB").save(tmp_path / "noise.png")
    for path in (None, tmp_path / "noise.png"):
        found = first_convolution(trained, path)
        value = found.by_hand()
        given = float(found.maps[0, value.row, value.column])
        assert value.total + float(found.bias[0]) == pytest.approx(given, abs=1e-5)
    assert found.layer == "backbone.layers.conv1" and tuple(found.picture.shape) == (3, 20, 20)
    standardised = trained.network.standardise(found.picture[None])
    expected = F.conv2d(standardised, found.weight, found.bias, 2, 1, 2)[0].detach()
    torch.testing.assert_close(found.maps, expected, rtol=1e-5, atol=1e-5)
    assert "weight 4 x 3 x 3 x 3, 3 x 20 x 20 in, 4 x 9 x 9 out" in found.lines()[0]
    assert [picture.size for picture in found.kernel_pictures()] == [(3, 3)] * 4
    assert [picture.size for picture in found.map_pictures()] == [(9, 9)] * 4


def test_a_layer_that_pads_its_kernel_is_read_as_it_is_used():
    imagenet = load("imagenet", device="cpu")    # its first layer pads as TensorFlow does, above less than below
    found = first_convolution(imagenet, None)
    assert tuple(found.weight.shape) == (32, 3, 3, 3) and found.geometry.padding == (0, 0)
    value = found.by_hand()
    given = float(found.maps[0, value.row, value.column])
    assert abs(given) > 1e-4 and value.total + float(found.bias[0]) == pytest.approx(given, abs=1e-5)


def test_a_kernel_is_shown_in_its_colours(trained: Trained):
    found = first_convolution(trained, None)
    weight = found.weight[0]
    pixels = torch.from_numpy(np.array(found.kernel_pictures()[0])).permute(2, 0, 1).float()
    torch.testing.assert_close((pixels - 127.5) / 127.5 * weight.abs().max(), weight, rtol=0,
                               atol=float(weight.abs().max()) / 250)


def test_what_cannot_be_looked_into_is_refused(trained: Trained, tmp_path: Path):
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(DataError, match=r"no.png is .*: name another picture"):
        first_convolution(trained, tmp_path / "no.png")
    flat = train("shapes", backbone="stack", epochs=1, device="cpu", runs=tmp_path, name="flat",
                 settings={**SETTINGS, "backbone.layers": [{"dense": 8}, "relu"]})
    with pytest.raises(ModelError, match=r"flat has no convolution that can be looked into: name the run folder"):
        first_convolution(flat, None)
