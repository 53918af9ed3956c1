"""How far the gradients of the NumPy network are from PyTorch's, in float64."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from lensmith.lessons.numpy_network.in_pytorch import in_pytorch
from lensmith.lessons.numpy_network.layer import Array
from lensmith.lessons.numpy_network.network import NumpyNetwork
from lensmith.lessons.numpy_network.softmax import numpy_cross_entropy

MOST = 1e-6    # of the largest gradient of a weight: a gap that is no rounding


@dataclass(frozen=True)
class GradientGap:
    """One array of weights: the largest gradient in it, and how far apart the two computations of it are."""

    weight: str                # conv1.weight
    shape: tuple[int, ...]
    largest: float             # gradient by PyTorch, of the absolute values
    gap: float                 # the largest difference, as a fraction of `largest`

    @property
    def agrees(self) -> bool:
        return self.gap <= MOST


def gradient_gaps(network: NumpyNetwork, pictures: Array, labels: Array) -> list[GradientGap]:
    """Forward and backward in both on the same standardised pictures, with copies of the weights in float64."""
    exact = in_float64(network)
    twin = in_pytorch(exact)
    _, gradient = numpy_cross_entropy(exact.forward(pictures.astype(np.float64)), labels)
    exact.backward(gradient)
    F.cross_entropy(twin(torch.from_numpy(pictures.astype(np.float64))), torch.from_numpy(labels)).backward()
    gaps = []
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        expected = parameter.grad.numpy()
        largest = float(np.abs(expected).max())
        gap = float(np.abs(exact.gradients[name] - expected).max())
        gaps.append(GradientGap(name, expected.shape, largest, gap / largest if largest else gap))
    return gaps


def in_float64(network: NumpyNetwork) -> NumpyNetwork:
    """A copy of the network that computes in float64."""
    copied = deepcopy(network)
    for layer in copied.layers.values():
        layer.weights = {name: array.astype(np.float64) for name, array in layer.weights.items()}
    return copied
