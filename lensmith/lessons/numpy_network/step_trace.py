"""Every value of one training step on one picture: what each layer takes, gives, passes back and learns."""

from dataclasses import dataclass, field

import numpy as np

from lensmith.lessons.numpy_network.convolution import NumpyConvolution
from lensmith.lessons.numpy_network.layer import Array, NumpyLayer
from lensmith.lessons.numpy_network.network import NumpyNetwork, Sgd
from lensmith.lessons.numpy_network.softmax import numpy_cross_entropy, numpy_softmax


@dataclass(frozen=True)
class WeightTrace:
    """One array of weights: before the step, its gradient, and after the step."""

    before: Array
    gradient: Array
    after: Array


@dataclass(frozen=True)
class LayerTrace:
    """One layer in the step; all arrays without the axis of the batch, which has one picture."""

    name: str
    layer: NumpyLayer
    inputs: Array
    output: Array
    output_gradient: Array              # of the loss by `output`
    inputs_gradient: Array              # of the loss by `inputs`
    weights: dict[str, WeightTrace] = field(default_factory=dict)
    columns: Array | None = None        # im2col of `inputs`, of a convolution


@dataclass(frozen=True)
class StepTrace:
    """The step from the picture to the moved weights."""

    picture: Array            # as it lies in the file, [channels, height, width]
    label: int
    loss: float
    loss_after: float         # of the same picture with the moved weights
    probabilities: Array      # [classes]
    layers: tuple[LayerTrace, ...]
    rate: float


def trace_step(network: NumpyNetwork, picture: Array, standardised: Array, label: int, *, rate: float) -> StepTrace:
    """One step of gradient descent at this rate, which changes the network.

    picture: as it lies in the file, [channels, height, width].
    standardised: the same as the network takes it.
    """
    values, labels = [standardised[None]], np.array([label])
    for layer in network.layers.values():
        values.append(layer.forward(values[-1]))
    loss, gradient = numpy_cross_entropy(values[-1], labels)
    gradients = [gradient]
    for layer in reversed(network.layers.values()):
        passed = layer.backward(gradients[0])
        assert passed is not None
        gradients.insert(0, passed)
    before = {name: array.copy() for name, array in network.weights.items()}
    by_weight = network.gradients
    Sgd(rate, momentum=0.0).move(network)
    traces = []
    for number, (name, layer) in enumerate(network.layers.items()):
        weights = {key: WeightTrace(before[f"{name}.{key}"], by_weight[f"{name}.{key}"], array.copy())
                   for key, array in layer.weights.items()}
        columns = layer.columns[0].copy() if isinstance(layer, NumpyConvolution) else None
        traces.append(LayerTrace(name, layer, values[number][0], values[number + 1][0], gradients[number + 1][0],
                                 gradients[number][0], weights, columns))
    loss_after, _ = numpy_cross_entropy(network.forward(standardised[None]), labels)
    return StepTrace(picture, label, loss, loss_after, numpy_softmax(values[-1])[0], tuple(traces), rate)
