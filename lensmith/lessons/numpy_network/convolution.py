"""A convolution as one matrix product: im2col writes every window as a column, col2im adds the columns up again."""

import numpy as np

from lensmith.lessons.numpy_network.layer import Array
from lensmith.models.backbone import map_edge


def im2col(maps: Array, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Array:
    """[batch, channels, height, width] -> [batch, channels x kernel x kernel, windows], a copy.

    Column w holds the values that window w covers, the windows in reading order. A value that several windows cover
    stands in as many columns: a 5 x 5 kernel with stride 1 makes 25 times as much of the maps.
    """
    batch, channels = maps.shape[:2]
    if padding:
        maps = np.pad(maps, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    reach = dilation * (kernel - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(maps, (reach, reach), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]    # [batch, channels, rows, columns, k, k]
    rows, columns = windows.shape[2:4]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(batch, channels * kernel * kernel, rows * columns)


def col2im(columns: Array, shape: tuple[int, ...], kernel: int, *, stride: int = 1, padding: int = 0,
           dilation: int = 1) -> Array:
    """The transpose of `im2col`: each value of the columns is added to the place of the maps that it was copied from.

    `shape` is that of the maps, [batch, channels, height, width].
    """
    batch, channels, height, width = shape
    rows, across = (map_edge(edge, dilation * (kernel - 1) + 1, stride, padding) for edge in (height, width))
    columns = columns.reshape(batch, channels, kernel, kernel, rows, across)
    maps = np.zeros((batch, channels, height + 2 * padding, width + 2 * padding), columns.dtype)
    for i in range(kernel):
        for j in range(kernel):
            top, left = i * dilation, j * dilation
            maps[:, :, top : top + stride * (rows - 1) + 1 : stride,
                 left : left + stride * (across - 1) + 1 : stride] += columns[:, :, i, j]
    return maps[:, :, padding : padding + height, padding : padding + width]


class NumpyConvolution:
    """output[m, y, x] = bias[m] + sum over c, i, j of weight[m, c, i, j] inputs[c, y s - p + i d, x s - p + j d]

    with stride s, padding p and dilation d.
    """

    def __init__(self, weight: Array, bias: Array, *, stride: int = 1, padding: int = 0, dilation: int = 1):
        """
        weight: float [outputs, inputs, kernel, kernel].
        bias: float [outputs].
        """
        self.weights, self.gradients = {"weight": weight, "bias": bias}, dict[str, Array]()
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.shape: tuple[int, ...] = ()              # of the newest inputs
        self.columns = np.empty(0, weight.dtype)      # im2col of the newest inputs

    @property
    def kernel(self) -> int:
        return self.weights["weight"].shape[3]

    def forward(self, inputs: Array) -> Array:
        weight, bias = self.weights["weight"], self.weights["bias"]
        self.shape = inputs.shape
        self.columns = im2col(inputs, self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation)
        output = weight.reshape(len(weight), -1) @ self.columns + bias[:, None]    # [batch, outputs, windows]
        reach = self.dilation * (self.kernel - 1) + 1
        rows, across = (map_edge(edge, reach, self.stride, self.padding) for edge in inputs.shape[2:])
        return output.reshape(len(inputs), len(weight), rows, across)

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        weight = self.weights["weight"]
        gradient = gradient.reshape(*gradient.shape[:2], -1)    # [batch, outputs, windows]
        of_each = gradient @ self.columns.transpose(0, 2, 1)    # [batch, outputs, inputs x kernel x kernel]
        self.gradients = {"weight": of_each.sum(0).reshape(weight.shape), "bias": gradient.sum((0, 2))}
        if not inputs_too:
            return None
        columns = weight.reshape(len(weight), -1).T @ gradient
        return col2im(columns, self.shape, self.kernel, stride=self.stride, padding=self.padding,
                      dilation=self.dilation)

    def in_words(self) -> str:
        outputs, inputs = self.weights["weight"].shape[:2]
        more = [f"{name} {value}" for name, value, usual in (("stride", self.stride, 1), ("padding", self.padding, 0),
                                                             ("dilation", self.dilation, 1)) if value != usual]
        return ", ".join([f"convolution from {inputs} to {outputs} channels, kernel {self.kernel} x {self.kernel}",
                          *more])
