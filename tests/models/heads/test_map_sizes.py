"""Maps of extents that do not match exactly."""

import torch

from lensmith.models.heads.map_sizes import brought_to


def test_what_rounding_left_over_is_on_the_right_and_below() -> None:
    level = torch.arange(12.0).view(1, 1, 3, 4)
    assert brought_to(level, (3, 4), within=2) is level
    assert torch.equal(brought_to(level, (2, 3), within=2), level[:, :, :2, :3])
    more = brought_to(level, (4, 5), within=2)[0, 0]
    assert torch.equal(more[:3, :4], level[0, 0])
    assert torch.equal(more[3, :4], level[0, 0, 2]) and torch.equal(more[:3, 4], level[0, 0, :, 3])


def test_what_convolutions_took_off_comes_back_on_both_sides() -> None:
    level = torch.arange(12.0).view(1, 1, 3, 4)
    more = brought_to(level, (7, 8), within=2)[0, 0]
    assert torch.equal(more[2:5, 2:6], level[0, 0])
    assert torch.equal(more[0, 2:6], level[0, 0, 0]) and torch.equal(more[2:5, 7], level[0, 0, :, 3])
    assert torch.equal(brought_to(more[None, None], (3, 4), within=2), level)


def test_the_gradient_of_what_was_repeated_comes_back() -> None:
    level = torch.ones(1, 1, 2, 2, requires_grad=True)
    brought_to(level, (6, 2), within=1).sum().backward()
    assert level.grad[0, 0].tolist() == [[3, 3], [3, 3]]
