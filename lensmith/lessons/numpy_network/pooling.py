"""Pooling: the largest value or the mean of each window."""

from collections.abc import Iterator

import numpy as np

from lensmith.lessons.numpy_network.layer import Array
from lensmith.models.backbone import map_edge


class _Windows:
    """The windows of a pool over maps of one size: `places` gives, for each place in a window, where it lies in the
    padded maps for all windows at once."""

    def __init__(self, shape: tuple[int, ...], kernel: int, stride: int, padding: int):
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.height, self.width = shape[2:]
        self.rows, self.across = (map_edge(edge, kernel, stride, padding) for edge in shape[2:])
        self.padded = (*shape[:2], self.height + 2 * padding, self.width + 2 * padding)

    def places(self) -> Iterator[tuple[slice, ...]]:
        reach, breadth = self.stride * (self.rows - 1) + 1, self.stride * (self.across - 1) + 1
        for i in range(self.kernel):
            for j in range(self.kernel):
                yield (slice(None), slice(None), slice(i, i + reach, self.stride), slice(j, j + breadth, self.stride))

    def pad(self, maps: Array, value: float) -> Array:
        if not self.padding:
            return maps
        edge = (self.padding, self.padding)
        return np.pad(maps, ((0, 0), (0, 0), edge, edge), constant_values=value)

    def cut(self, padded: Array) -> Array:
        return padded[:, :, self.padding : self.padding + self.height, self.padding : self.padding + self.width]


class NumpyMaxPool:
    """The largest value of each window. The gradient goes to where it came from; of equal ones to the first, as in
    PyTorch."""

    def __init__(self, kernel: int, *, stride: int, padding: int = 0):
        self.weights, self.gradients = dict[str, Array](), dict[str, Array]()
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.winner = np.empty(0, np.int16)    # the place in its window that each largest value of the newest has
        self.windows: _Windows | None = None

    def forward(self, inputs: Array) -> Array:
        self.windows = _Windows(inputs.shape, self.kernel, self.stride, self.padding)
        padded = self.windows.pad(inputs, -np.inf)
        first, *others = self.windows.places()
        largest = padded[first].copy()
        self.winner = np.zeros(largest.shape, np.int16)
        for number, place in enumerate(others, start=1):
            self.winner[padded[place] > largest] = number
            np.maximum(largest, padded[place], out=largest)
        return largest

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        assert self.windows is not None
        padded = np.zeros(self.windows.padded, gradient.dtype)
        for number, place in enumerate(self.windows.places()):
            padded[place] += gradient * (self.winner == number)
        return self.windows.cut(padded)

    def in_words(self) -> str:
        return f"largest value of each {self.kernel} x {self.kernel} window, stride {self.stride}"


class NumpyAveragePool:
    """The mean of each window, whose padding counts as 0. Each of its places gets the same part of the gradient."""

    def __init__(self, kernel: int, *, stride: int, padding: int = 0):
        self.weights, self.gradients = dict[str, Array](), dict[str, Array]()
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.windows: _Windows | None = None

    def forward(self, inputs: Array) -> Array:
        self.windows = _Windows(inputs.shape, self.kernel, self.stride, self.padding)
        padded = self.windows.pad(inputs, 0.0)
        first, *others = self.windows.places()
        total = padded[first].copy()
        for place in others:
            total += padded[place]
        return total / self.kernel**2

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        assert self.windows is not None
        padded = np.zeros(self.windows.padded, gradient.dtype)
        for place in self.windows.places():
            padded[place] += gradient / self.kernel**2
        return self.windows.cut(padded)

    def in_words(self) -> str:
        return f"mean of each {self.kernel} x {self.kernel} window, stride {self.stride}"
