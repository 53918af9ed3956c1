"""The smallest networks that learn: 3x3 convolutions that keep the extent, each with relu and a pool."""

from lensmith.models.backbones.stack import Stack


def simple(*, inputs: int, size: tuple[int, int]) -> Stack:
    """One convolution and one dense layer."""
    return Stack(_blocks(32), inputs=inputs, size=size, what="simple")


def simple2(*, inputs: int, size: tuple[int, int]) -> Stack:
    """Two convolutions and one dense layer."""
    return Stack(_blocks(16, 32), inputs=inputs, size=size, what="simple2")


def cnn3(*, inputs: int, size: tuple[int, int]) -> Stack:
    """Three convolutions and two dense layers."""
    return Stack([*_blocks(32, 64, 64), {"dense": 512}, "relu"], inputs=inputs, size=size, what="cnn3")


def _blocks(*channels: int) -> list:
    layers: list = []
    for count in channels:
        layers += [{"conv": count, "kernel": 3, "padding": 1}, "relu", {"maxpool": 2}]
    return layers
