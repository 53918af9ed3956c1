"""The head for objects with their pixels: its maps, and the prototypes' cells."""

import pytest
import torch

from lensmith.models.heads.points import BINS, PointsHead
from lensmith.models.heads.prototypes import PrototypesHead


@pytest.mark.parametrize(("size", "strides"), [((64, 96), (8, 16, 32)), ((50, 37), (4, 8)), ((64, 64), (16, 32))])
def test_every_point_has_coefficients_and_the_cells_cover_the_picture(size, strides):
    head = PrototypesHead((8,) * len(strides), strides, 5, width=12, depth=1, prototypes=7).eval()
    maps = [torch.randn(2, 8, -(-size[0] // stride), -(-size[1] // stride)) for stride in strides]
    said = head(maps, size)
    number = len(said.centres)
    assert said.logits.shape == (2, number, 5) and said.sides.shape == (2, number, 4, BINS)
    assert said.coefficients.shape == (2, number, 7) and said.coefficients.abs().max() <= 1
    assert said.prototypes.shape == (2, 7, -(-size[0] // 4), -(-size[1] // 4))
    assert said.size.tolist() == list(size)


def test_what_it_says_of_boxes_is_what_the_head_for_boxes_says():
    head = PrototypesHead((8, 8), (8, 16), 3, width=12, depth=1, prototypes=4).eval()
    plain = PointsHead((8, 8), (8, 16), 3, width=12, depth=1).eval()
    plain.load_state_dict(head.points.state_dict())
    maps = [torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4)]
    for own, other in zip(head(maps, (64, 64)).points(), plain(maps), strict=True):
        assert torch.equal(own, other)
    assert torch.equal(head(maps, (64, 64)).corners(), plain(maps).corners())
