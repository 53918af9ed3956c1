"""Maps that are changed in a rectangle each: every function gives what it gives for whole tensors."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.study.explain.partly_changed import PartlyChanged, Spans

HEIGHT, WIDTH, CHANNELS = 13, 17, 3
PLACES = [(0, 0), (4, 5), (10, 13), (0, 13), (9, 2)]    # of rectangles of 3 x 4 cells


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def changed(places: list[tuple[int, int]] = PLACES, edges: tuple[int, int] = (3, 4), seed: int = 0) -> PartlyChanged:
    rows, columns = zip(*places, strict=True)
    return PartlyChanged.of(drawn(seed, 1, CHANNELS, HEIGHT, WIDTH), drawn(seed + 1, len(places), CHANNELS, *edges),
                            Spans(rows, edges[0]), Spans(columns, edges[1]))


def as_tensor(maps: PartlyChanged) -> Tensor:
    """By a plain loop."""
    whole = maps.one.repeat(len(maps), 1, 1, 1)
    for number, (row, column) in enumerate(zip(maps.rows.starts, maps.columns.starts, strict=True)):
        whole[number, :, row : row + maps.rows.length, column : column + maps.columns.length] = maps.patches[number]
    return whole


def plain(maps: Tensor) -> Tensor:
    return maps.whole() if isinstance(maps, PartlyChanged) else maps


def same(function: Callable[[Tensor], Tensor], maps: PartlyChanged, *, part: bool) -> None:
    expected = function(as_tensor(maps))
    found = function(maps)
    assert isinstance(found, PartlyChanged) is part
    assert found.shape == expected.shape and len(found) == len(expected)
    torch.testing.assert_close(plain(found), expected)


KERNEL = drawn(9, 6, CHANNELS, 3, 3)
GATE = drawn(8, 1, CHANNELS, 1, 1)
IN_PART: dict[str, Callable[[Tensor], Tensor]] = {
    "convolution": lambda maps: F.conv2d(maps, KERNEL, padding=1),
    "convolution of single cells": lambda maps: F.conv2d(maps, KERNEL[:, :, :1, :1], drawn(7, 6)),
    "with strides": lambda maps: F.conv2d(maps, KERNEL, stride=2, padding=1),
    "that passes cells over": lambda maps: F.conv2d(maps, KERNEL[:, :, :1, :1], stride=(3, 5)),
    "in groups": lambda maps: F.conv2d(maps, KERNEL[:3, :1], padding=1, groups=3),
    "dilated": lambda maps: F.conv2d(maps, KERNEL[:, :, :1, :2], padding=(0, 1), dilation=(1, 2)),
    "max pool": lambda maps: F.max_pool2d(maps, 3, 2, 1),
    "max pool without overlap": lambda maps: F.max_pool2d(maps, 2),
    "mean pool": lambda maps: F.avg_pool2d(maps, 2, padding=1),
    "relu": F.relu, "in place": lambda maps: F.relu(maps * 2, inplace=True), "silu": F.silu,
    "numbers": lambda maps: 2 * (maps - 1) / 3 + 0.5, "a number a channel": lambda maps: (maps - GATE) * GATE,
    "batch norm": lambda maps: F.batch_norm(maps, drawn(5, CHANNELS), drawn(6, CHANNELS).square()),
    "itself": lambda maps: maps + F.relu(maps),
    "joined": lambda maps: torch.cat([maps, F.max_pool2d(maps, 3, 1, 1)], 1),
    "channels last": lambda maps: maps.contiguous(memory_format=torch.channels_last).float()}
WHOLE: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean((2, 3)), "flat": lambda maps: maps.flatten(1) @ drawn(3, maps.shape[1] * 221, 2),
    "a gate of each picture": lambda maps: maps * F.adaptive_avg_pool2d(maps, 1),
    "softmax": lambda maps: maps.softmax(1), "some of the channels": lambda maps: maps[:, 1:],
    "along rows": lambda maps: torch.cat([maps, maps], 2), "other maps": lambda maps: maps + drawn(2, 5, 1, 13, 17),
    "a number a column": lambda maps: maps * drawn(2, 17), "padding by name": lambda maps: F.conv2d(
        maps, KERNEL, padding="same"), "as large as can be": lambda maps: F.max_pool2d(maps, 2, ceil_mode=True),
    "a large kernel": lambda maps: F.conv2d(maps, KERNEL.repeat(1, 1, 4, 4), padding=6)}


@pytest.mark.parametrize("name", IN_PART)
def test_what_is_computed_in_part(name: str):
    same(IN_PART[name], changed(), part=True)


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_computed_whole(name: str):
    same(WHOLE[name], changed(), part=False)


def test_rectangles_elsewhere_are_joined():
    maps = changed()
    other = changed([(row + 1 if row < 9 else row, column) for row, column in PLACES], seed=5)
    torch.testing.assert_close(plain(maps + other), as_tensor(maps) + as_tensor(other))
    torch.testing.assert_close(plain(torch.cat([maps, other], 1)), torch.cat([as_tensor(maps), as_tensor(other)], 1))
    expected = as_tensor(maps) + as_tensor(other)
    kept = maps
    maps += other
    assert maps is kept
    torch.testing.assert_close(plain(kept), expected)


@pytest.mark.parametrize("change", [
    lambda maps: maps.relu_(), lambda maps: F.relu(maps, inplace=True), lambda maps: maps.add_(1),
    lambda maps: maps.contiguous().mul_(2), lambda maps: maps.__setitem__((slice(None), 1), 0.0),
    lambda maps: maps.cumsum_(1)])
def test_what_works_in_place_changes_the_maps_themselves(change: Callable[[Tensor], object]):
    maps = changed()
    expected = as_tensor(maps)
    change(expected)
    change(maps)
    torch.testing.assert_close(plain(maps), expected)
    torch.testing.assert_close(F.conv2d(maps, KERNEL, padding=1), F.conv2d(expected, KERNEL, padding=1))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.booleans()), min_size=1,
                max_size=3), st.integers(1, 6), st.integers(1, 6), st.data())
def test_layers_one_after_another(layers: list[tuple[int, int, int, bool]], rows: int, columns: int,
                                  data: st.DataObject):
    """Of any kernels, strides and paddings, with rectangles of any size anywhere."""
    places = data.draw(st.lists(st.tuples(st.integers(0, HEIGHT - rows), st.integers(0, WIDTH - columns)), min_size=1,
                                max_size=4))
    modules: list[nn.Module] = []
    for kernel, stride, padding, pooled in layers:
        if pooled:
            modules.append(nn.MaxPool2d(kernel, stride, min(padding, kernel // 2)))
        else:
            modules += [nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding), nn.ReLU(inplace=True)]
    network = nn.Sequential(*modules)
    maps = changed(places, (rows, columns))
    with torch.no_grad():
        try:
            expected = network(as_tensor(maps))
        except RuntimeError:    # the maps are smaller than the kernel
            return
        torch.testing.assert_close(plain(network(maps)), expected)
