"""Activations: a function of each value by itself. Without them two layers of sums would be one."""

import numpy as np

from lensmith.lessons.numpy_network.layer import Array


class Relu:
    """max(0, x), slope 1 above 0 and 0 elsewhere."""

    def __init__(self) -> None:
        self.weights, self.gradients = dict[str, Array](), dict[str, Array]()
        self.output = np.empty(0)    # the newest

    def forward(self, inputs: Array) -> Array:
        self.output = np.maximum(inputs, 0)
        return self.output

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        return gradient * (self.output > 0)

    def in_words(self) -> str:
        return "relu: negative values become 0"


class Sigmoid:
    """s = 1 / (1 + exp(-x)), slope s (1 - s), at most 1/4."""

    def __init__(self) -> None:
        self.weights, self.gradients = dict[str, Array](), dict[str, Array]()
        self.output = np.empty(0)    # the newest

    def forward(self, inputs: Array) -> Array:
        self.output = (1 + np.tanh(inputs / 2)) / 2    # the same function, and nothing overflows
        return self.output

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        return gradient * self.output * (1 - self.output)

    def in_words(self) -> str:
        return "sigmoid: values are squashed into 0 .. 1"


class Tanh:
    """t = tanh(x), slope 1 - t^2."""

    def __init__(self) -> None:
        self.weights, self.gradients = dict[str, Array](), dict[str, Array]()
        self.output = np.empty(0)    # the newest

    def forward(self, inputs: Array) -> Array:
        self.output = np.tanh(inputs)
        return self.output

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        return gradient * (1 - self.output**2)

    def in_words(self) -> str:
        return "tanh: values are squashed into -1 .. 1"
