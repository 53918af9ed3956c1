"""The backbone for detectors: what it says of its maps, and the settings that it refuses."""

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.models.backbones.csp import csp


@pytest.mark.parametrize(("width", "inputs", "size"), [(16, 3, (96, 64)), (24, 1, (70, 45)), (2, 4, (20, 20))])
def test_its_maps_are_as_it_says(width: int, inputs: int, size: tuple[int, int]) -> None:
    backbone = csp(width=width, inputs=inputs, size=size).eval()
    maps = backbone(torch.zeros(2, inputs, *size))
    assert backbone.strides == (2, 4, 8, 16, 32) and backbone.channels == tuple(width << level for level in range(5))
    for one, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert one.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_a_block_that_says_nothing_leaves_the_bypass() -> None:
    """Half of the channels reach the join as they are, and each block adds to the output before it."""
    stage = csp(width=4, inputs=3, size=(32, 32)).eval().stages[1]
    with torch.no_grad():
        for block in stage.blocks:
            for norm in (block[0][1], block[1][1]):
                norm.weight.zero_()
                norm.bias.zero_()
    joined = []
    stage.join.register_forward_pre_hook(lambda _, given: joined.append(given[0]))
    maps = torch.rand(1, 8, 16, 16)
    stage(maps)
    first, *others = joined[0].split(8, 1)
    halved = stage.halve(maps)
    assert torch.equal(torch.cat((first, others[0]), 1), halved)
    assert all(torch.equal(other, others[0]) for other in others)


@pytest.mark.parametrize("width", [0, 3, -2])
def test_widths_that_cannot_be_halved_are_refused(width: int) -> None:
    with pytest.raises(UserError, match=rf"backbone\.width={width} cannot be: accepted are even numbers from 2 on"):
        csp(width=width, inputs=3, size=(32, 32))
