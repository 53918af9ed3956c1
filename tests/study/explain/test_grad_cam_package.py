"""Class activation maps against pytorch-grad-cam: the same network, the same picture, the same layer."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.network import Network
from lensmith.study.explain.methods import METHODS
from lensmith.study.explain.subject import Subject

with warnings.catch_warnings():
    warnings.simplefilter("ignore")    # of what it imports
    # It asks for OpenCV with windows, which must not stand beside the one without that the tests need.
    peers = pytest.importorskip("pytorch_grad_cam", reason="pip install --no-deps grad-cam ttach")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

CLASS = 2
KINDS = {"grad_cam": "GradCAM", "grad_cam_plus_plus": "GradCAMPlusPlus", "layer_cam": "LayerCAM",
         "score_cam": "ScoreCAM"}


class Standardised(nn.Module):
    """The network behind its own standardising: pytorch-grad-cam takes 0 for a hidden pixel, as we take the mean."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network.head(self.network.backbone(pictures))


def test_each_method_of_maps_is_compared():
    assert {*KINDS, "eigen_cam"} == {name for name, method in METHODS.items() if method.of_maps}


@pytest.mark.parametrize("name", KINDS)
def test_its_maps_are_ours(name: str, subject: Subject, network: Network, picture: Tensor, capsys):
    """Relative to the largest value, 1e-4: it divides its maps by their range, and interpolates them by OpenCV."""
    given = network.standardise(picture[None].clone())
    with getattr(peers, KINDS[name])(Standardised(network), [network.backbone.second]) as cam:
        expected = torch.from_numpy(cam(given, [ClassifierOutputTarget(CLASS)])[0])
    found = METHODS[name].explain(subject, picture)
    found = (found - found.min()) / (found.max() - found.min())
    assert float(expected.max()) > 0.99
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    capsys.readouterr()    # its progress bar


def test_eigen_cam_is_ours_but_for_its_sign(subject: Subject, network: Network, picture: Tensor):
    """A principal component has none of its own, and pytorch-grad-cam takes the one that comes out."""
    given = network.standardise(picture[None].clone())
    maps = network.backbone.second(network.backbone.first(given)).detach()
    along = get_2d_projection(maps.numpy())[0]
    cells = maps[0].sum(0).numpy()
    along = along if ((along - along.mean()) * (cells - cells.mean())).sum() > 0 else -along
    expected = F.interpolate(torch.from_numpy(along).relu()[None, None], (32, 40), mode="bilinear")[0, 0]
    found = METHODS["eigen_cam"].explain(subject, picture)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.max()), rtol=0)
