"""The whitening layer: against numpy's own eigenvectors, by what comes out, and in a whole training."""

import numpy as np
import pytest
import torch
from torch import nn

import lensmith
from lensmith.base.errors import ModelError, UserError
from lensmith.engine.optimize import leaves
from lensmith.models.backbones.stack import stack
from lensmith.models.backbones.whitening import Whitening, whitenings


def photographs(count: int = 200, *, seed: int = 0) -> torch.Tensor:
    """Standardised pictures whose neighbouring pixels and channels go together, as those of photographs do."""
    noise = torch.randn(count, 3, 14, 14, generator=torch.Generator().manual_seed(seed))
    smooth = nn.functional.avg_pool2d(noise, 3, 1)
    mixed = torch.einsum("ij,njhw->nihw", torch.tensor([[1.0, 0.2, 0.0], [1.0, 0.0, 0.2], [1.0, -0.2, 0.1]]), smooth)
    return mixed / mixed.std()


def patches(pictures: torch.Tensor, kernel: int) -> np.ndarray:
    """float64 [n, values of a patch], cut out one by one."""
    values, edge = pictures.double().numpy(), pictures.shape[-1] - kernel + 1
    return np.stack([values[:, :, y : y + kernel, x : x + kernel].reshape(len(values), -1)
                     for y in range(edge) for x in range(edge)], 1).reshape(-1, values.shape[1] * kernel**2)


def test_directions_are_uncorrelated_of_variance_1_and_come_with_their_opposites():
    pictures = photographs()
    layer = Whitening(3, 2, directions=5)
    layer.fit(pictures)
    found = layer(pictures)
    assert torch.equal(found[:, :5], -found[:, 5:])
    values = found[:, :5].transpose(0, 1).flatten(1)
    assert torch.allclose(values @ values.T / values.shape[1], torch.eye(5), atol=0.05)


def test_they_are_the_directions_of_greatest_variance():
    pictures = photographs()
    layer = Whitening(3, 2, directions=4)
    layer.fit(pictures)
    given = patches(pictures, 2)
    variances, directions = np.linalg.eigh(given.T @ given / len(given))
    for number in range(4):
        own = layer.weight[number].flatten().double().numpy()
        wanted = directions[:, -1 - number] / np.sqrt(variances[-1 - number] + 5e-4)
        assert np.abs(own) == pytest.approx(np.abs(wanted), rel=1e-3, abs=1e-6)
        assert own[np.abs(own).argmax()] > 0


def test_what_hardly_varies_is_not_blown_up():
    flat = torch.zeros(10, 3, 8, 8)
    layer = Whitening(3, 2, directions=12)
    layer.fit(flat)
    assert layer.weight.isfinite().all() and float(layer.weight.abs().max()) <= 1 / 5e-4**0.5 + 1e-3


def test_it_does_not_learn():
    backbone = stack([{"whitening": 2, "directions": 4}, "relu", {"conv": 6, "kernel": 3}], inputs=3, size=(8, 8))
    assert [leaf.name for leaf in leaves(backbone)] == ["layers.conv1.weight", "layers.conv1.bias"]
    assert whitenings(backbone) == [backbone.layers[0]]
    assert backbone.layers[0].weight.shape == (8, 3, 2, 2)


@pytest.mark.parametrize(("layers", "text"), [
    ([{"conv": 4}, {"whitening": 2}], "layers[1]: whitening must be the first layer: it is set from the pictures"),
    ([{"dense": 4}, {"whitening": 2}], "layers[1]: whitening must be the first layer: it is set from the pictures"),
    ([{"whitening": 2, "directions": 13}], "layers[0]: directions = 13 must be at most the 3 x 2 x 2 = 12 values"),
    ([{"whitening": 30}], "layers[0]: whitening = 30: the 3 x 30 x 30 = 2700 values of a patch are more than 1024"),
    ([{"whitening": 2, "directions": 0}], "layers[0]: directions must be int from 1")])
def test_wrong_entries_are_refused(layers, text):
    with pytest.raises(ModelError) as raised:
        stack(layers, inputs=3, size=(40, 40))
    assert text in str(raised.value)


SETTINGS = {"data.count": 120, "data.size": 16, "backbone.layers": [
                {"whitening": 2, "directions": 3}, "relu", {"conv": 8, "kernel": 3, "padding": 1, "bias": False},
                {"maxpool": 2}, "batchnorm", "relu", {"globalpool": "max"}],
            "augment.flip": "alternate", "augment.shrink": [0.5], "optimizer.name": "muon",
            "optimizer.normalise": True, "loading.batch": 20, "plan.threads": 1}


def test_a_training_sets_it_from_its_own_pictures_once(tmp_path, monkeypatch):
    fitted = []
    plain = Whitening.fit
    monkeypatch.setattr(Whitening, "fit", lambda layer, pictures: (plain(layer, pictures), fitted.append(pictures))[0])
    trained = lensmith.train("shapes", backbone="stack", epochs=2, runs=tmp_path, settings=SETTINGS)
    (pictures,) = fitted
    assert pictures.shape[1:] == (3, 16, 16) and len(pictures) > 60
    assert pictures.mean((0, 2, 3)).abs().max() < 0.1 and 0.9 < pictures.std() < 1.1
    alone = Whitening(3, 2, directions=3)
    alone.fit(pictures)
    (layer,) = whitenings(trained.network)
    assert torch.allclose(layer.weight, alone.weight, atol=1e-6)
    again = lensmith.load(trained.run.folder)
    assert torch.equal(whitenings(again.network)[0].weight, layer.weight) and len(fitted) == 2


def test_pictures_shown_smaller_need_a_network_that_takes_them(tmp_path):
    with pytest.raises(UserError) as raised:
        lensmith.train("shapes", backbone="lenet", epochs=2, runs=tmp_path,
                       settings={"data.count": 60, "augment.shrink": [0.8]})
    assert "augment.shrink" in str(raised.value) and "lenet" in str(raised.value)
