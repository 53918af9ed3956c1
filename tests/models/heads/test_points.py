"""The head of points: where its points lie, and boxes that begin of a usable size and unsure of every class."""

import pytest
import torch
from torch import nn

from lensmith.models.heads.points import BINS, Points, PointsHead, cell_centres, corners_of


def output(size: tuple[int, int] = (64, 96)) -> Points:
    torch.manual_seed(0)
    head = PointsHead((6, 8, 10), (8, 16, 32), 4, width=16, depth=1)
    maps = [torch.rand(2, own, size[0] // stride, size[1] // stride)
            for own, stride in zip((6, 8, 10), (8, 16, 32), strict=True)]
    found: Points = head(maps)
    return found


def test_points_are_the_middles_of_their_cells() -> None:
    assert cell_centres(torch.zeros(1, 1, 2, 3), 8).tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    found = output()
    points = 8 * 12 + 4 * 6 + 2 * 3
    assert found.logits.shape == (2, points, 4) and found.sides.shape == (2, points, 4, BINS)
    assert found.centres.shape == (points, 2) and found.strides.shape == (points,)
    assert found.centres[-1].tolist() == [80, 48] and found.strides.unique().tolist() == [8, 16, 32]


def test_the_output_of_a_point_comes_from_its_cell() -> None:
    class Through(nn.Module):
        strides = (8, 16)

        def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
            return maps

    head = PointsHead((5, 5), (8, 16), 4, width=5, depth=1).eval()
    head.neck = Through()
    maps = [torch.rand(1, 5, 8, 12, requires_grad=True), torch.rand(1, 5, 4, 6)]
    found = head(maps)
    number = 3 * 12 + 7    # row 3, column 7 of the finest level
    (found.logits[0, number].sum() + found.sides[0, number].sum()).backward()
    seen = maps[0].grad[0].abs().sum(0).nonzero()
    assert seen.amin(0).tolist() == [2, 6] and seen.amax(0).tolist() == [4, 8]
    assert found.centres[number].tolist() == [60, 28]


def test_boxes_are_the_means_of_their_distributions() -> None:
    sides = torch.full((1, 4, BINS), -30.0)
    for side, distance in enumerate((1, 2, 3, 4)):
        sides[0, side, distance] = 30
    found = corners_of(sides, torch.tensor([[100.0, 200.0]]), torch.tensor([8.0]))
    assert torch.allclose(found, torch.tensor([[92.0, 184, 124, 232]]))
    even = torch.full((1, 4, BINS), -30.0, dtype=torch.float64)
    even[:, :, 2:4] = 1.0
    found = corners_of(even, torch.zeros(1, 2), torch.ones(1))
    assert found.dtype == torch.float64 and found[0].tolist() == pytest.approx([-2.5, -2.5, 2.5, 2.5])


def test_before_training_nothing_is_sure_and_boxes_are_a_few_cells_wide() -> None:
    found = output()
    assert 0.005 < found.logits.sigmoid().mean() < 0.02
    wide = (found.corners()[..., 2] - found.corners()[..., 0]) / found.strides
    assert ((wide > 1.5) & (wide < 4)).all()


def test_a_level_has_norms_of_its_own_and_shares_the_rest() -> None:
    head = PointsHead((6, 8, 10), (8, 16, 32), 4, width=16, depth=2)
    names = [name for name, _ in head.class_branch.named_parameters()]
    assert sum("convolutions" in name for name in names) == 2 and sum("norms" in name for name in names) == 2 * 2 * 3


@pytest.mark.parametrize("channels", [(5,), (5, 9)])
def test_any_backbone_serves(channels: tuple[int, ...]) -> None:
    strides = (4, 8)[: len(channels)]
    head = PointsHead(channels, strides, 2, width=8, depth=1)
    found = head([torch.rand(2, own, 64 // s, 64 // s) for own, s in zip(channels, strides, strict=True)])
    assert found.logits.shape == (2, 64 + 16 + 4, 2)
