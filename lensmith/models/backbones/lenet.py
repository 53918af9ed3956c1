"""LeNet and its relatives: two convolutions, then dense layers."""

from typing import Literal

from lensmith.models.backbones.stack import Stack


def lenet(*, activation: Literal["sigmoid", "tanh", "relu"] = "relu", pool: Literal["max", "average"] = "max",
          inputs: int, size: tuple[int, int]) -> Stack:
    """LeNet-5 (LeCun et al. 1998) as it is taught today; the classic form is activation "sigmoid"."""
    return _lenet(5, activation, pool=pool, inputs=inputs, size=size, what="lenet")


def lenet3x3(*, inputs: int, size: tuple[int, int]) -> Stack:
    """LeNet with 3x3 kernels and relu, as PyTorch's first tutorials had it."""
    return _lenet(3, "relu", pool="max", inputs=inputs, size=size, what="lenet3x3")


def conv10_20(*, inputs: int, size: tuple[int, int]) -> Stack:
    """Two convolutions, each pooled before its relu, and one dense layer."""
    layers: list = []
    for channels in (10, 20):
        layers += [{"conv": channels, "kernel": 5}, {"maxpool": 2}, "relu"]
    return Stack(layers, inputs=inputs, size=size, what="conv10_20")


def _lenet(kernel: int, activation: str, *, pool: str, inputs: int, size: tuple[int, int], what: str) -> Stack:
    pooled = {"maxpool" if pool == "max" else "avgpool": 2}
    layers: list = []
    for channels in (6, 16):
        layers += [{"conv": channels, "kernel": kernel}, activation, pooled]
    for width in (120, 84):
        layers += [{"dense": width}, activation]
    return Stack(layers, inputs=inputs, size=size, what=what)
