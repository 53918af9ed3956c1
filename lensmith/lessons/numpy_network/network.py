"""A network of NumPy layers, what moves its weights, and the two networks of the lesson."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lensmith.lessons.numpy_network.activations import Relu
from lensmith.lessons.numpy_network.convolution import NumpyConvolution
from lensmith.lessons.numpy_network.dense import Dense, Flatten
from lensmith.lessons.numpy_network.layer import Array, NumpyLayer
from lensmith.lessons.numpy_network.pooling import NumpyMaxPool
from lensmith.lessons.numpy_network.softmax import numpy_cross_entropy


class NumpyNetwork:
    """Layers one behind the other. The order of `layers` is that of the forward pass."""

    def __init__(self, layers: dict[str, NumpyLayer]):
        self.layers = layers

    def forward(self, pictures: Array) -> Array:
        """Standardised pictures [batch, channels, height, width] -> logits [batch, classes]."""
        values = pictures
        for layer in self.layers.values():
            values = layer.forward(values)
        return values

    def backward(self, gradient: Array) -> None:
        """From the gradient by the logits to that by every weight, the last layer first: the chain rule."""
        for number, layer in reversed(list(enumerate(self.layers.values()))):
            passed = layer.backward(gradient, inputs_too=number > 0)
            if passed is not None:
                gradient = passed

    @property
    def weights(self) -> dict[str, Array]:
        """Every array that is learned, as `conv1.weight`. The arrays themselves: what changes them changes the network.
        """
        return {f"{name}.{key}": array for name, layer in self.layers.items() for key, array in layer.weights.items()}

    @property
    def gradients(self) -> dict[str, Array]:
        """What the newest backward pass found, under the names of `weights`."""
        return {f"{name}.{key}": array for name, layer in self.layers.items() for key, array in layer.gradients.items()}


@dataclass
class Sgd:
    """Stochastic gradient descent with momentum:  v <- momentum v + g,  w <- w - rate v."""

    rate: float
    momentum: float = 0.9
    velocities: dict[str, Array] = field(default_factory=dict)    # v, by the names of the weights

    def move(self, network: NumpyNetwork) -> None:
        """Move every weight along its newest gradient, in place."""
        gradients = network.gradients
        for name, weight in network.weights.items():
            velocity = self.velocities.setdefault(name, np.zeros_like(weight))
            velocity *= self.momentum
            velocity += gradients[name]
            weight -= self.rate * velocity


def train_step(network: NumpyNetwork, pictures: Array, labels: Array, optimizer: Sgd) -> tuple[float, Array]:
    """Forward, loss, backward, update; -> the loss and the logits, both from before the update."""
    logits = network.forward(pictures)
    loss, gradient = numpy_cross_entropy(logits, labels)
    network.backward(gradient)
    optimizer.move(network)
    return loss, logits


def two_layer(seed: int, shape: Sequence[int], classes: int, *, hidden: int = 128,
              dtype: type = np.float32) -> NumpyNetwork:
    """The smallest network that can bend its boundaries: dense, relu, dense. `shape` is [channels, height, width]."""
    draw = np.random.default_rng(seed)
    inputs = int(np.prod(shape))
    return NumpyNetwork({"flatten": Flatten(), "dense1": _dense(draw, inputs, hidden, dtype), "relu1": Relu(),
                         "dense2": _dense(draw, hidden, classes, dtype, last=True)})


def numpy_lenet(seed: int, shape: Sequence[int], classes: int, *, dtype: type = np.float32) -> NumpyNetwork:
    """LeNet-5 as it is taught today (LeCun et al. 1998, with relu and max pooling), layer by layer as the backbone
    `lenet`. `shape` is [channels, height, width]; at least 16 x 16 pixels."""
    draw = np.random.default_rng(seed)
    channels, height, width = shape
    maps = [((edge - 4) // 2 - 4) // 2 for edge in (height, width)]
    return NumpyNetwork({
        "conv1": _convolution(draw, channels, 6, dtype), "relu1": Relu(), "maxpool1": NumpyMaxPool(2, stride=2),
        "conv2": _convolution(draw, 6, 16, dtype), "relu2": Relu(), "maxpool2": NumpyMaxPool(2, stride=2),
        "flatten": Flatten(), "dense1": _dense(draw, 16 * maps[0] * maps[1], 120, dtype), "relu3": Relu(),
        "dense2": _dense(draw, 120, 84, dtype), "relu4": Relu(), "dense3": _dense(draw, 84, classes, dtype, last=True)})


def _convolution(draw: np.random.Generator, inputs: int, outputs: int, dtype: type,
                 kernel: int = 5) -> NumpyConvolution:
    """First weights as He et al. 2015 draw them for the relu behind, standard deviation sqrt(2 / fan in); biases 0."""
    deviation = np.sqrt(2 / (inputs * kernel**2))
    weight: Array = draw.normal(0, deviation, (outputs, inputs, kernel, kernel)).astype(dtype)
    return NumpyConvolution(weight, np.zeros(outputs, dtype))


def _dense(draw: np.random.Generator, inputs: int, outputs: int, dtype: type, *, last: bool = False) -> Dense:
    """The same; the `last` layer, with no relu behind, as Glorot and Bengio 2010: within sqrt(6 / (fan in + fan out)),
    so that the first answers are unsure."""
    bound = np.sqrt(6 / (inputs + outputs))
    weight: Array = draw.uniform(-bound, bound, (outputs, inputs)) if last else \
        draw.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
    return Dense(weight.astype(dtype), np.zeros(outputs, dtype))
