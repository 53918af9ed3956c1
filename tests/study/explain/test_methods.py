"""Each method against captum or a plain form of its formula, and what all of them keep."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.network import Network
from lensmith.study.explain.methods import METHODS
from lensmith.study.explain.methods.guided_backpropagation import guided_backpropagation
from lensmith.study.explain.methods.integrated_gradients import integrated_gradients
from lensmith.study.explain.methods.occlusion import occlusion
from lensmith.study.explain.methods.rise import rise
from lensmith.study.explain.methods.smooth_grad import smooth_grad
from lensmith.study.explain.subject import Subject

with warnings.catch_warnings():
    warnings.simplefilter("ignore")    # of matplotlib, which captum draws with
    from captum import attr

CLASS = 2
QUICK = {"smooth_grad": {"samples": 3}, "integrated_gradients": {"steps": 5}, "rise": {"masks": 40}}


def close(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-4 of the largest value."""
    assert found.shape == expected.shape
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_gives_a_map_of_the_picture_and_the_same_one_again(name: str, subject: Subject, picture: Tensor):
    explain = METHODS[name].explain
    settings = QUICK.get(name, {})
    before = {key: value.clone() for key, value in subject.network.state_dict().items()}
    given = picture.clone()
    found = explain(subject, picture, **settings)
    assert found.shape == picture.shape[1:] and found.dtype == torch.float32 and bool(found.isfinite().all())
    assert float(found.abs().max()) > 0 and not found.requires_grad
    assert torch.equal(explain(subject, picture, **settings), found)
    assert torch.equal(picture, given)
    assert all(torch.equal(value, before[key]) for key, value in subject.network.state_dict().items())
    assert all(parameter.grad is None for parameter in subject.network.parameters())
    assert not any(module._forward_hooks for module in subject.network.modules())


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.gradients])
def test_a_method_without_gradients_takes_none(name: str, subject: Subject, picture: Tensor):
    seen = []
    counted = replace(subject, evidence=lambda output: seen.append(output.requires_grad) or output[:, CLASS])
    METHODS[name].explain(counted, picture, **QUICK.get(name, {}))
    assert seen and not any(seen)


def test_each_cites_its_paper():
    for name, method in METHODS.items():
        documentation = method.explain.__doc__ or ""
        assert any(year in documentation for year in ("2013", "2014", "2017", "2018", "2020", "2021")), name


def test_grad_cam_is_captums(subject: Subject, network: Network, picture: Tensor):
    made = attr.LayerGradCam(network, network.backbone.second)
    map_ = made.attribute(picture[None], target=CLASS, relu_attributions=True)
    expected = attr.LayerAttribution.interpolate(map_, (32, 40), "bilinear")[0, 0]
    close(METHODS["grad_cam"].explain(subject, picture), expected.detach())


def of_layer(subject: Subject, picture: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The maps of the second layer and the slopes of the score by them, float64 [channels, rows, columns]."""
    maps = subject.network.backbone.second(subject.network.backbone.first(subject.network.standardise(picture[None])))
    maps = maps.detach().requires_grad_()
    score = subject.network.head([maps.relu()])[0, CLASS]
    (slopes,) = torch.autograd.grad(score, maps)
    return maps[0].detach().double().numpy(), slopes[0].double().numpy()


def enlarged(map_: np.ndarray) -> Tensor:
    return F.interpolate(torch.from_numpy(map_)[None, None].float(), (32, 40), mode="bilinear")[0, 0]


def plus_plus(maps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    weights = []
    for one, slope in zip(maps, slopes, strict=True):
        share = np.zeros_like(slope)
        for place in np.argwhere(slope != 0):
            value = slope[tuple(place)]
            share[tuple(place)] = value ** 2 / (2 * value ** 2 + value ** 3 * one.sum() + 1e-6)
        weights.append((share * np.maximum(slope, 0)).sum())
    return np.maximum(np.tensordot(weights, maps, 1), 0)


@pytest.mark.parametrize(("name", "formula"), [
    ("grad_cam_plus_plus", plus_plus),
    ("layer_cam", lambda maps, slopes: np.maximum((np.maximum(slopes, 0) * maps).sum(0), 0))])
def test_maps_by_their_formula(name: str, formula: Callable[..., np.ndarray], subject: Subject, picture: Tensor):
    close(METHODS[name].explain(subject, picture), enlarged(formula(*of_layer(subject, picture))))


def test_eigen_cam_is_the_first_component_of_the_cells(subject: Subject, picture: Tensor):
    maps, _ = of_layer(subject, picture)
    cells = maps.reshape(len(maps), -1).T
    values, vectors = np.linalg.eigh(np.cov(cells.T))
    along = (cells - cells.mean(0)) @ vectors[:, values.argmax()]
    along *= 1 if np.corrcoef(along, cells.sum(1))[0, 1] > 0 else -1
    close(METHODS["eigen_cam"].explain(subject, picture), enlarged(np.maximum(along, 0).reshape(maps.shape[1:])))


def plain_score_cam(network: Network, picture: Tensor, maps: np.ndarray) -> Tensor:
    scores = []
    for one in torch.from_numpy(maps).float():
        mask = F.interpolate(one[None, None], (32, 40), mode="bilinear", align_corners=True)[0, 0]
        # Interpolating a flat map gives it a range of rounding errors.
        mask = (mask - mask.min()) / (mask.max() - mask.min()) if one.max() > one.min() else torch.zeros(32, 40)
        standardised = network.standardise(picture[None].clone()) * mask    # hidden pixels have the mean colour
        scores.append(float(network.head(network.backbone(standardised))[0, CLASS].detach()))
    weights = np.exp(np.array(scores) - max(scores))
    return enlarged(np.maximum(np.tensordot(weights / weights.sum(), maps, 1), 0))


def test_score_cam_runs_the_picture_through_each_map(subject: Subject, network: Network, picture: Tensor):
    maps, _ = of_layer(subject, picture)
    close(METHODS["score_cam"].explain(subject, picture), plain_score_cam(network, picture, maps))


def test_score_cam_asks_once_for_all_maps_that_are_flat(subject: Subject, network: Network, picture: Tensor):
    """A channel that says nothing of a picture leaves it blank, whichever it is."""
    second = network.backbone.second
    with torch.no_grad():    # three more channels, which are 1 everywhere
        for name, value in (("weight", 0.0), ("bias", 1.0)):
            grown = torch.cat((getattr(second, name), torch.full_like(getattr(second, name)[:3], value)))
            setattr(second, name, nn.Parameter(grown))
        network.head.dense.weight = nn.Parameter(torch.cat((network.head.dense.weight, torch.ones(3, 3)), 1))
    maps, _ = of_layer(subject, picture)
    asked = []
    counted = replace(subject, evidence=lambda output: asked.append(len(output)) or output[:, CLASS])
    close(METHODS["score_cam"].explain(counted, picture), plain_score_cam(network, picture, maps))
    assert sum(asked) == 1 + 6 + 1    # for the maps, for each that is not flat, and for the flat ones


def test_saliency_is_captums(subject: Subject, network: Network, picture: Tensor):
    expected = attr.Saliency(network).attribute(picture[None].clone().requires_grad_(), target=CLASS)[0].amax(0)
    close(METHODS["saliency"].explain(subject, picture), expected.detach())


def test_smooth_grad_is_the_mean_slope_of_the_same_noise(subject: Subject, network: Network, picture: Tensor):
    drawn = torch.Generator().manual_seed(subject.seed)
    slopes = []
    for _ in range(4):
        noisy = picture + 0.15 * (picture.max() - picture.min()) * torch.randn(picture.shape, generator=drawn)
        slopes.append(attr.Saliency(network).attribute(noisy[None].requires_grad_(), target=CLASS, abs=False)[0])
    close(smooth_grad(subject, picture, samples=4), torch.stack(slopes).mean(0).abs().amax(0).detach())


def test_integrated_gradients_are_captums_and_add_up(subject: Subject, network: Network, picture: Tensor):
    blank = subject.blank.expand_as(picture)
    expected = attr.IntegratedGradients(network).attribute(
        picture[None], baselines=blank[None], target=CLASS, n_steps=20, method="gausslegendre")[0].sum(0)
    found = integrated_gradients(subject, picture, steps=20)
    close(found, expected.detach().float())
    whole, nothing = subject.scores([picture, blank]).tolist()
    assert float(integrated_gradients(subject, picture, steps=200).sum()) == pytest.approx(whole - nothing, rel=0.01)


class ByModules(nn.Module):
    """The same backbone with modules alone, which captum's guided backpropagation needs."""

    def __init__(self, other: nn.Module):
        super().__init__()
        self.first, self.second = other.first, nn.Sequential(other.second, nn.ReLU())
        self.first[2] = nn.ReLU()

    def forward(self, pictures: Tensor) -> list[Tensor]:
        fine = self.first(pictures)
        return [fine, self.second(fine)]


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_guided_backpropagation_is_captums(subject: Subject, network: Network, picture: Tensor):
    found = guided_backpropagation(subject, picture)
    network.backbone = ByModules(network.backbone)
    expected = attr.GuidedBackprop(network).attribute(picture[None].clone().requires_grad_(), target=CLASS)[0]
    close(found, expected.detach().abs().amax(0))


def test_relu6_is_guided_as_a_relu_below_six(subject: Subject, network: Network, picture: Tensor):
    expected = guided_backpropagation(subject, picture)
    network.backbone.first[2] = nn.ReLU6(inplace=True)
    with torch.no_grad():
        assert float(network.backbone.first(network.standardise(picture[None])).max()) == 6
        network.backbone.first[1].weight /= 100    # nothing reaches 6 any more
        network.backbone.first[1].bias /= 100
    small = guided_backpropagation(subject, picture)
    network.backbone.first[2] = nn.ReLU()
    torch.testing.assert_close(small, guided_backpropagation(subject, picture))
    assert not torch.equal(small, expected)


def test_guided_backpropagation_needs_relus(subject: Subject, network: Network, picture: Tensor):
    network.backbone.first[2] = nn.SiLU()
    smooth = nn.Sequential(network.backbone.first, network.backbone.second)

    class Smooth(nn.Module):
        def forward(self, pictures: Tensor) -> list[Tensor]:
            return [smooth(pictures)]

    network.backbone = Smooth()
    with pytest.raises(UserError, match="goes by ReLUs, and this network has none: take smooth_grad"):
        guided_backpropagation(subject, picture)


def test_occlusion_is_captums(subject: Subject, network: Network, picture: Tensor):
    edge = 32 // 4
    expected = attr.Occlusion(network).attribute(
        picture[None], sliding_window_shapes=(3, edge, edge), strides=(3, edge // 2, edge // 2), target=CLASS,
        baselines=subject.blank.expand_as(picture)[None])[0, 0]
    close(occlusion(subject, picture, patches=4), expected.float())


def test_rise_is_the_mean_score_where_a_pixel_is_seen(subject: Subject, network: Network):
    """A network that looks at one corner alone: that corner stands out, and a constant changes nothing."""
    picture = torch.full((3, 28, 28), 200.0)
    corner = replace(subject, network=Corner(network), evidence=lambda output: output)
    found = rise(corner, picture, masks=400)
    assert float(found[:6, :6].mean()) > 3 * float(found[12:, 12:].abs().mean())
    raised = replace(corner, evidence=lambda output: output + 1000)
    torch.testing.assert_close(rise(raised, picture, masks=400), found, atol=1e-2, rtol=0)


class Corner(nn.Module):
    """The mean of a picture's upper left corner."""

    def __init__(self, network: Network):
        super().__init__()
        self.mean = network.mean

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures[:, :, :6, :6].mean((1, 2, 3))


class TakesApart(nn.Module):
    """A backbone that works on a part of its maps by another name."""

    def __init__(self, other: nn.Module):
        super().__init__()
        self.first, self.second = other.first, other.second

    def forward(self, pictures: Tensor) -> list[Tensor]:
        fine = self.first(pictures)
        half, _ = fine.chunk(2, 1)
        half.mul_(3)
        return [fine, self.second(fine)]


def test_occlusion_of_a_network_whose_maps_cannot_be_followed_is_computed_whole(subject: Subject, network: Network,
                                                                                picture: Tensor):
    network.backbone = TakesApart(network.backbone)
    edge = 32 // 4
    expected = attr.Occlusion(network).attribute(
        picture[None], sliding_window_shapes=(3, edge, edge), strides=(3, edge // 2, edge // 2), target=CLASS,
        baselines=subject.blank.expand_as(picture)[None])[0, 0]
    close(occlusion(subject, picture, patches=4), expected.float())
