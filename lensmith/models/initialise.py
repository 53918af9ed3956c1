"""First weights that fit the activation behind a layer, so that signals and gradients keep their size."""

import math
from typing import Literal

from torch import nn

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
WEIGHTED = (nn.Conv2d, nn.Linear)


def initialise(module: nn.Module, activation: Activation | None) -> None:
    """Draw the weights of every convolution and dense layer in `module` for the activation that follows; biases 0.

    The relu family gets He's normal weights with the standard deviation sqrt(2 / ((1 + a^2) fan in)), a the slope below
    0 (He et al. 2015, "Delving deep into rectifiers"). Tanh and a layer without an activation get Xavier's uniform ones
    within +- sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010, "Understanding the difficulty of training deep
    feedforward neural networks"). Sigmoid gets four times Xavier's: its slope at 0 is 1/4, and with gain 1 a LeNet of
    sigmoids starts so flat that some seeds never leave the loss of guessing.
    """
    for layer in module.modules():
        # On the meta device there is nothing to draw, and normal_ would import the compiler there, which takes as long
        # as importing PyTorch.
        if not isinstance(layer, WEIGHTED) or layer.weight.is_meta:
            continue
        groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
        fan_in = layer.weight[0].numel()
        if activation is None or activation in ("tanh", "sigmoid"):
            # Not torch's own xavier_uniform_: its fan out forgets the groups, and depthwise weights would be tiny.
            fan_out = fan_in * layer.weight.shape[0] // (groups * layer.weight.shape[1])
            bound = (4 if activation == "sigmoid" else 1) * math.sqrt(6 / (fan_in + fan_out))
            nn.init.uniform_(layer.weight, -bound, bound)
        else:
            slope = 0.01 if activation == "leaky_relu" else 0.0    # nn.LeakyReLU's own
            nn.init.normal_(layer.weight, std=math.sqrt(2 / ((1 + slope**2) * fan_in)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def pass_on(layer: nn.Conv2d) -> None:
    """Let filter i of a convolution copy channel i, for as many as there are of both; the other filters keep their
    weights. A deep network then begins as a shallow one (Zagoruyko and Komodakis 2017, "DiracNets")."""
    if not layer.weight.is_meta:
        nn.init.dirac_(layer.weight.data[:layer.in_channels])
