"""The receptive field: which pixels a cell of a map can see, followed through every operation of a forward pass."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
Pair = tuple[int, int]


@dataclass(frozen=True)
class Field:
    """Cell i of an axis sees the pixels from i * jump + low to i * jump + high, the border's padding included."""

    low: Pair = (0, 0)        # rows, columns
    high: Pair = (0, 0)
    jump: Pair = (1, 1)       # pixels from cell to cell
    axes: Pair = (-2, -1)     # of the tensor, counted from its end: where its rows and columns lie

    @property
    def edge(self) -> int:
        """Pixels on the longer side."""
        return max(high - low + 1 for low, high in zip(self.low, self.high, strict=True))

    def windowed(self, kernel: Pair, stride: Pair, padding: Pair) -> "Field":
        """The field after a convolution or pool; `kernel` is its extent, dilation included."""
        (low, low_), (high, high_), (jump, jump_) = self.low, self.high, self.jump
        return replace(self, low=(low - padding[0] * jump, low_ - padding[1] * jump_),
                       high=(high + (kernel[0] - 1 - padding[0]) * jump, high_ + (kernel[1] - 1 - padding[1]) * jump_),
                       jump=(stride[0] * jump, stride[1] * jump_))

    def joined(self, other: "Field") -> "Field | None":
        """The union of both, as where branches meet; None where their cells do not lie on one grid."""
        if (self.jump, self.axes) != (other.jump, other.axes):
            return None
        low = (min(self.low[0], other.low[0]), min(self.low[1], other.low[1]))
        high = (max(self.high[0], other.high[0]), max(self.high[1], other.high[1]))
        return replace(self, low=low, high=high)


@dataclass(frozen=True)
class Kernel:
    """What a convolution multiplies by, without the zeros around it."""

    shape: torch.Size
    before: Pair = (0, 0)    # rows of zeros above, columns of zeros on the left


class Follow(TorchDispatchMode):
    """While it is entered, keeps the Field of each tensor that comes from the picture, and counts multiply-adds.

    Zeros that are put around a kernel do not count: they are another way to pad the map. The Field is None where cells
    see the whole picture (after a flatten, a global pool, a squeeze-and-excite gate) and where an operation cannot be
    followed. The statistics of normalisation layers do not count as seeing.
    """

    def __init__(self, picture: Tensor, work: Callable[[int], None]):
        """`picture` is [batch, channels, height, width]; of a vector nothing is followed. `work` is told of each
        product."""
        super().__init__()
        self.fields = WeakTensorKeyDictionary()
        self.kernels = WeakTensorKeyDictionary()    # kernel with zeros around it -> its Kernel without them
        if picture.dim() == 4:
            self.fields[picture] = Field()
        self.work = work

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        # An operation in place changes its argument's entry, so the entries are read before it runs.
        sources = _tensors(args)
        inputs = [(tensor, tensor.shape, self.fields[tensor]) for tensor in sources if tensor in self.fields]
        result = func(*args, **(kwargs or {}))
        kernel = None
        if func.overloadpacket is aten.convolution:
            kernel = self.kernels.get(args[1]) or Kernel(args[1].shape)
        elif func.overloadpacket is aten.constant_pad_nd and not inputs:
            self._note_kernel(result, *args)
        self.work(_multiply_adds(func, args, result, kernel))
        if inputs:
            for output in _tensors((result,)):
                self.fields[output] = _field(func, args, output.shape, inputs, kernel)
        return result

    def _note_kernel(self, output: Tensor, kernel: Tensor, padding: list[int], value: float = 0.0) -> None:
        if kernel.dim() == 4 and len(padding) == 4 and min(padding) >= 0 and value == 0:
            left, _, above, _ = padding
            self.kernels[output] = Kernel(kernel.shape, (above, left))


Inputs = list[tuple[Tensor, torch.Size, Field | None]]    # those that come from the picture


def _field(func: Any, args: tuple, shape: torch.Size, inputs: Inputs, kernel: Kernel | None) -> Field | None:
    """The field of an output of this `shape`; `kernel` is that of a convolution."""
    _, before, first = inputs[0]
    packet = func.overloadpacket
    if first is None:
        return None
    if kernel is not None:
        _, _, _, stride, padding, dilation, transposed, *_ = args
        if transposed or len(kernel.shape) != 4:
            return None
        extents = [(k - 1) * d + 1 for k, d in zip(kernel.shape[2:], dilation, strict=True)]
        around = [p - zeros * d for p, zeros, d in zip(padding, kernel.before, dilation, strict=True)]
        return first.windowed(_pair(extents), _pair(stride), _pair(around))
    if packet in (aten.max_pool2d_with_indices, aten.max_pool2d, aten.avg_pool2d):
        return first.windowed(*_pool(packet, args))
    if packet in (aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d):
        return _adaptive(first, before, shape)
    if packet is aten.constant_pad_nd:
        left, _, top, _ = (*args[1], 0, 0, 0)[:4]
        return replace(first, low=_shifted(first.low, (top, left), first.jump),
                       high=_shifted(first.high, (top, left), first.jump))
    if packet in (aten.permute, aten.transpose, aten.t):
        return _permuted(first, packet, args, len(before))
    if packet in (aten.view, aten._unsafe_view, aten._reshape_alias, aten.reshape):
        return _viewed(first, before, shape)
    return _cell_by_cell(shape, inputs)


def _cell_by_cell(shape: torch.Size, inputs: Inputs) -> Field | None:
    """After an operation from cell to cell: sums, products, concatenations, activations, norms."""
    joined = inputs[0][2]
    for _, before, field in inputs:
        if field is None or joined is None or len(before) != len(shape):
            return None
        if any(before[axis] != shape[axis] for axis in field.axes):
            return None
        joined = joined.joined(field)
    return joined


def _adaptive(field: Field, before: torch.Size, shape: torch.Size) -> Field | None:
    """After an adaptive pool; None where its windows see all of the map or differ in size."""
    edges = [(before[axis], shape[axis]) for axis in (-2, -1)]
    if any((after == 1 and edge > 1) or edge % after for edge, after in edges):
        return None
    step = _pair([edge // after for edge, after in edges])
    return field.windowed(step, step, (0, 0))


def _permuted(field: Field, packet: Any, args: tuple, rank: int) -> Field:
    """After the axes of a tensor of that `rank` were put into another order."""
    order = list(range(rank))
    if packet is aten.permute:
        order = [axis % rank for axis in args[1]]
    else:
        first, second = (args[1], args[2]) if packet is aten.transpose else (0, 1)
        order[first], order[second] = order[second], order[first]
    row, column = (order.index(axis % rank) - rank for axis in field.axes)
    return replace(field, axes=(row, column))


def _viewed(field: Field, before: torch.Size, after: torch.Size) -> Field | None:
    """After a view: an axis stays where one of the same length begins at the same stride; else it was merged: None."""
    axes = []
    for axis in field.axes:
        extent = math.prod(before[axis:])
        same = [i - len(after) for i in range(len(after))
                if after[i] == before[axis] and math.prod(after[i:]) == extent]
        if not same:
            return None
        axes.append(same[-1])
    return replace(field, axes=_pair(axes)) if len(after) >= 3 else None


def _pool(packet: Any, args: tuple) -> tuple[Pair, Pair, Pair]:
    """The extent of a pool's window, dilation included, its stride and its padding."""
    kernel = _pair(args[1])
    stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = _pair(args[3]) if len(args) > 3 else (0, 0)
    dilation = _pair(args[4]) if len(args) > 4 and packet is not aten.avg_pool2d else (1, 1)
    return ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1), stride, padding


def _shifted(bounds: Pair, by: Pair, jump: Pair) -> Pair:
    return bounds[0] - by[0] * jump[0], bounds[1] - by[1] * jump[1]


def _pair(values: Any) -> Pair:
    listed = [values] if isinstance(values, int) else list(values)
    return listed[0], listed[-1]


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [tensor for value in values for tensor in _tensors(value)] if isinstance(values, tuple | list) else []


def _multiply_adds(func: Any, args: tuple, result: Any, kernel: Kernel | None) -> int:
    """The multiply-adds of convolutions and matrix products; those of other operations are few beside them."""
    packet = func.overloadpacket
    if kernel is not None:
        values = args[0] if args[6] else result    # a transposed convolution works once for each value that it takes
        return int(values.numel() * math.prod(kernel.shape[1:]))
    if packet in (aten.mm, aten.bmm):
        return result.numel() * args[0].shape[-1]
    if packet in (aten.addmm, aten.baddbmm):
        return result.numel() * args[1].shape[-1]
    if packet is aten.linear:
        return result.numel() * args[0].shape[-1]
    return 0
