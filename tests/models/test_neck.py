"""Levels at strides 8, 16 and 32 from whatever maps a backbone has."""

import pytest
import torch

from lensmith.models.neck import Levels, PyramidNeck

CASES = {    # strides of the backbone -> of the levels
    (2, 4, 8, 16, 32): (8, 16, 32), (2, 4, 8): (8, 16, 32), (4,): (8, 16, 32), (2,): (8, 16, 32), (16, 32): (16, 32),
    (32,): (32,), (64,): (64,), (4, 8, 8, 16): (8, 16, 32), (3, 6): (12, 24, 48), (8, 16, 32, 64): (8, 16, 32)}


@pytest.mark.parametrize(("strides", "wanted"), CASES.items())
def test_levels_have_the_strides_and_channels_that_they_say(strides: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    channels = tuple(range(5, 5 + len(strides)))
    maps = [torch.rand(2, own, -(-192 // stride), -(-384 // stride))
            for own, stride in zip(channels, strides, strict=True)]
    levels = Levels(channels, strides)
    assert levels.strides == wanted
    for level, own, stride in zip(levels(maps), levels.channels, wanted, strict=True):
        assert level.shape == (2, own, -(-192 // stride), -(-384 // stride))
    own = [number for number, stride in enumerate(strides) if 8 <= stride <= 32]
    if own:
        assert levels(maps)[-len(levels.further) - 1] is maps[own[-1]]    # of one stride the last map is taken


@pytest.mark.parametrize("size", [(64, 64), (288, 416), (100, 70), (33, 47)])
def test_the_neck_keeps_the_extents_of_any_picture(size: tuple[int, int]) -> None:
    neck = PyramidNeck((6, 8), (8, 16), width=12, depth=2).eval()
    shapes = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (8, 16, 32)]
    maps = [torch.rand(2, own, *shape) for own, shape in zip((6, 8), shapes, strict=False)]
    found = neck(maps)
    assert [tuple(one.shape) for one in found] == [(2, 12, *shape) for shape in shapes]
    odd = neck([torch.rand(2, 6, 11, 9), torch.rand(2, 8, 5, 4)])    # layers without padding leave a cell out
    assert [tuple(one.shape[2:]) for one in odd] == [(11, 9), (5, 4), (3, 2)]


def test_every_level_hears_of_every_other() -> None:
    torch.manual_seed(0)
    neck = PyramidNeck((4, 4, 4), (8, 16, 32), width=8, depth=1).eval()
    for heard in range(3):
        maps = [torch.rand(1, 4, 16 >> level, 16 >> level, requires_grad=True) for level in range(3)]
        neck(maps)[heard].sum().backward()
        assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in maps)
