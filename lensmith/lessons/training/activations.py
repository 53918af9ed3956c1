"""Activations beside each other: their curves, their slopes, and what is left of a gradient behind ten layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lensmith.base.errors import choose
from lensmith.models.backbones.stack_layers import ACTIVATIONS
from lensmith.models.initialise import Activation, initialise

USUAL = ("sigmoid", "relu", "leaky_relu", "elu")
LAYERS, _WIDTH, _BATCH = 10, 64, 128
_REACH, _POINTS = 4.0, 161    # of a curve: from -4 to 4
Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ActivationCurves:
    """One activation over its input, and through ten dense layers of 64 units."""

    values: Curve                # (input, output)
    slopes: Curve                # (input, derivative)
    plain: tuple[float, ...]     # norm of the gradient at each layer's output as a fraction of that at the last one,
                                 # the first layer first; weights for no activation (Glorot and Bengio 2010)
    fitted: tuple[float, ...]    # the same with the weights that `models/initialise.py` draws for the activation


def check_activations(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once. Raises UserError for one that is not known, with the nearest."""
    for name in names:
        choose(ACTIVATIONS, name, "activation")
    return tuple(dict.fromkeys(names))


def activation_curves(names: Sequence[str], seed: int) -> Mapping[str, ActivationCurves]:
    """The curves of each activation, in the same order."""
    return {name: ActivationCurves(*_curves(ACTIVATIONS[name]()), gradients_through(name, seed, fitted=False),
                                   gradients_through(name, seed, fitted=True)) for name in names}


def _curves(function: nn.Module) -> tuple[Curve, Curve]:
    inputs = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64, requires_grad=True)
    outputs = function(inputs)
    slopes, = torch.autograd.grad(outputs.sum(), inputs)
    across = inputs.detach().tolist()
    return (tuple(zip(across, outputs.detach().tolist(), strict=True)),
            tuple(zip(across, slopes.tolist(), strict=True)))


def gradients_through(name: str, seed: int, *, fitted: bool) -> tuple[float, ...]:
    """The norm of the gradient at the output of each of ten layers, as a fraction of that at the last, for drawn inputs
    and a drawn gradient at the end. A layer is dense, and the activation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Sequential(nn.Linear(_WIDTH, _WIDTH), ACTIVATIONS[name]()) for _ in range(LAYERS)]
        for layer in layers:
            initialise(layer, cast(Activation, name) if fitted else None)
        values: Tensor = torch.randn(_BATCH, _WIDTH)
        end = torch.randn(_BATCH, _WIDTH)
    outputs = []
    for layer in layers:
        values = layer(values)
        outputs.append(values)
    gradients = torch.autograd.grad(values, outputs, end)
    last = float(gradients[-1].norm())
    return tuple(float(gradient.norm()) / last for gradient in gradients)
