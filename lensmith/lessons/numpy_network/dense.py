"""A dense layer, and the flattening before it."""

from math import prod

import numpy as np

from lensmith.lessons.numpy_network.layer import Array


class Dense:
    """output = inputs weight^T + bias: each output is a sum over all inputs."""

    def __init__(self, weight: Array, bias: Array):
        """
        weight: float [outputs, inputs].
        bias: float [outputs].
        """
        self.weights, self.gradients = {"weight": weight, "bias": bias}, dict[str, Array]()
        self.inputs = np.empty(0, weight.dtype)    # the newest, [batch, inputs]

    def forward(self, inputs: Array) -> Array:
        self.inputs = inputs
        return inputs @ self.weights["weight"].T + self.weights["bias"]

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        self.gradients = {"weight": gradient.T @ self.inputs, "bias": gradient.sum(0)}
        return gradient @ self.weights["weight"] if inputs_too else None

    def in_words(self) -> str:
        outputs, inputs = self.weights["weight"].shape
        return f"dense layer from {inputs} to {outputs} values"


class Flatten:
    """All values of a picture in one row: channel by channel, each row by row. Nothing is computed."""

    def __init__(self) -> None:
        self.weights, self.gradients = dict[str, Array](), dict[str, Array]()
        self.shape: tuple[int, ...] = ()    # of the newest inputs

    def forward(self, inputs: Array) -> Array:
        self.shape = inputs.shape
        return inputs.reshape(len(inputs), prod(inputs.shape[1:]))

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        return gradient.reshape(self.shape)

    def in_words(self) -> str:
        return "all values of a picture in one row"
