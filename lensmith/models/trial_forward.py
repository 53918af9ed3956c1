"""Shapes of what a network gives, found without computing: on torch's meta device."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call

MOST = 1024    # pixels: no network for pictures needs more
REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, IndexError)    # how networks refuse a picture
LARGE = 512    # pixels: an edge at which borders do not blur the strides


def map_shapes(network: nn.Module, inputs: int, size: tuple[int, int]) -> list[tuple[int, ...]]:
    """The shapes of the maps that `network` gives for two pictures; raises one of REFUSALS as its layers do."""
    empty = {name: torch.empty_like(tensor, device="meta")
             for name, tensor in chain(network.named_parameters(), network.named_buffers())}
    with in_evaluation_mode(network):
        maps: list[Tensor] = functional_call(network, empty, (torch.empty(2, inputs, *size, device="meta"),))
    return [tuple(feature_map.shape) for feature_map in maps]


def strides_of(maps: list[tuple[int, ...]]) -> list[int]:
    """The stride of each map, from their shapes for a picture of LARGE x LARGE pixels.

    A convolution without padding takes a few pixels more than its stride says, hence the rounding from map to map.
    """
    strides = [1]
    for before, after in pairwise([LARGE, *(shape[2] for shape in maps)]):
        strides.append(strides[-1] * round(before / after))
    return strides[1:]


def least_edge(network: nn.Module, inputs: int) -> int:
    """The smallest edge of a square picture that `network` can take."""
    low, high = 1, MOST    # every layer that can take an extent can take a larger one
    while low < high:
        middle = (low + high) // 2
        try:
            map_shapes(network, inputs, (middle, middle))
            high = middle
        except REFUSALS:
            low = middle + 1
    return high


@contextmanager
def in_evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is in the mode in which it was."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
