"""The tests of an explanation: random weights, covered pixels, and the pointing game."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from lensmith.study.explain.believable import (
    covered,
    is_believable,
    largest_in_boxes,
    likeness_to_random,
    rank_correlation,
    with_random_weights,
)
from lensmith.study.explain.methods.saliency import saliency
from lensmith.study.explain.subject import Subject


def test_random_weights_keep_the_shape_of_their_distribution_and_the_network_its_own(subject: Subject):
    before = {name: value.clone() for name, value in subject.network.state_dict().items()}
    other = with_random_weights(subject)
    for name, value in subject.network.state_dict().items():
        drawn = other.network.state_dict()[name]
        assert torch.equal(value, before[name])
        assert torch.equal(drawn, value) == (value.ndim < 2 or "mean" in name or "deviation" in name)
    assert not torch.equal(with_random_weights(subject, 1).network.backbone.second.weight,
                           other.network.backbone.second.weight)


def test_a_map_of_the_picture_alone_is_not_believed(subject: Subject, picture: Tensor):
    edges = likeness_to_random(subject, picture, lambda _, shown: shown.sum(0), picture.sum(0))
    assert edges == pytest.approx(1) and not is_believable(edges)
    noise = likeness_to_random(subject, picture, lambda one, shown: torch.rand(
        32, 40, generator=torch.Generator().manual_seed(int(1e6 * one.network.head.dense.weight.abs().sum()))),
        torch.rand(32, 40))
    assert abs(noise) < 0.3 and is_believable(noise)
    assert likeness_to_random(subject, picture, saliency, saliency(subject, picture)) < 1


def test_rank_correlation_is_scipys():
    drawn = torch.Generator().manual_seed(1)
    one = torch.rand(30, 30, generator=drawn).round(decimals=1)    # with equal values
    other = (one + torch.rand(30, 30, generator=drawn)).round(decimals=1)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.flatten(), other.flatten()).statistic)
    assert rank_correlation(one, torch.ones(30, 30)) == 0


class Left(nn.Module):
    """The mean of a picture's left half."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(1, 3, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures[:, :, :, : pictures.shape[3] // 2].mean((1, 2, 3))


def test_deletion_and_insertion_tell_a_right_map_from_a_wrong_one(subject: Subject):
    left = replace(subject, network=Left(), evidence=lambda output: output)
    picture = torch.full((3, 28, 28), 100.0)
    across = torch.arange(28.0).expand(28, 28)
    right, wrong = covered(left, picture, -across), covered(left, picture, across)
    assert right is not None and wrong is not None
    # The left half is gone after half of the steps: 1, 0.9 ... 0, and then ten times 0.
    assert right.deletion == pytest.approx(sum(1 - step / 10 for step in range(11)) / 21, abs=0.02)
    assert right.insertion == pytest.approx(1 - right.deletion, abs=0.02)
    assert right.beats_random and not wrong.beats_random
    assert right.deletion < right.deletion_at_random < wrong.deletion
    assert covered(left, torch.zeros(3, 28, 28), across) is None


def test_the_strongest_pixel_lies_in_a_box_or_outside():
    found = torch.zeros(10, 20)
    found[4, 15] = 1
    assert largest_in_boxes(found, torch.tensor([[0.0, 0, 1, 1], [14, 3, 18, 6]]))
    assert not largest_in_boxes(found, torch.tensor([[0.0, 3, 15, 6]]))
    assert not largest_in_boxes(found, torch.zeros(0, 4))
    found[0, 0] = float("nan")    # which the network did not see
    assert largest_in_boxes(found, torch.tensor([[14.0, 3, 18, 6]]))
